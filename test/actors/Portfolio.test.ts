import { assert, describe, it } from "vitest"
import { Portfolio } from "../../actors/Portfolio.ts"
import type { Slo } from "../../policies/Condition.ts"
import { conditionAt, portfolioOf, world } from "./BusySwarm.ts"

const ids = ["a", "b", "c"]
const idle = conditionAt(ids, () => 0)
const slo: Slo = { kind: "latency", latencyMs: 60 }

describe("the strategies that a device knows", () => {
  it("are those that were found, with their finder, beside whole networks that nobody had to find", () => {
    const { known, split } = portfolioOf(ids, slo)
    const best = known.best(idle, slo)
    assert.deepStrictEqual(best?.strategy, split)
    assert.strictEqual(best?.foundBy, "search")
    const alone = conditionAt(["a"], () => 0)
    const fresh = new Portfolio(world)
    fresh.addLocal("a")
    assert.strictEqual(fresh.best(alone, slo)?.foundBy, "built-in")
  })

  it("belong to the first who thought of them", () => {
    const known = new Portfolio(world)
    known.addLocal("a")
    const alone = conditionAt(["a"], () => 0)
    const best = known.best(alone, slo)
    assert.isDefined(best)
    known.add(best.strategy, "policy")
    known.add(best.strategy, "shared")
    assert.strictEqual(known.best(alone, slo)?.foundBy, "policy")
  })
})
