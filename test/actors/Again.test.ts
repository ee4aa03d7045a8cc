import { assert, describe, it } from "vitest"
import { leftAfter, readyAtOnce, remaining } from "../../actors/Again.ts"
import type { Load } from "../../actors/Portfolio.ts"
import type { Slo } from "../../policies/Condition.ts"
import { strategyId } from "../../supernet/Strategy.ts"
import { conditionAt, portfolioOf, spec } from "./BusySwarm.ts"

const ids = ["a", "b", "c"]
const slo: Slo = { kind: "latency", latencyMs: 60 }
const { known, split } = portfolioOf(ids, slo)
const idle = conditionAt(ids, () => 0)
const readyFor = (isReady: Load["isReady"]): Load => ({
  prices: ids.map(() => 0),
  workOf: () => new Map(),
  isReady,
})

describe("a request whose try was lost", () => {
  it("aims for the time that is left, at least for a quarter of its objective", () => {
    assert.deepStrictEqual(remaining(slo, 20), { kind: "latency", latencyMs: 40 })
    assert.deepStrictEqual(remaining(slo, 500), { kind: "latency", latencyMs: 15 })
    const accuracy: Slo = { kind: "accuracy", accuracy: 0.7 }
    assert.deepStrictEqual(remaining(accuracy, 500), accuracy)
  })

  it("aims for what is left of its objective where it waited for its turn", () => {
    assert.deepStrictEqual(leftAfter(slo, 2), slo)
    assert.deepStrictEqual(leftAfter(slo, 20), { kind: "latency", latencyMs: 40 })
    const accuracy: Slo = { kind: "accuracy", accuracy: 0.7 }
    assert.deepStrictEqual(leftAfter(accuracy, 500), accuracy)
  })

  it("takes what is ready on its devices where that meets the objective", () => {
    const ready = strategyId(spec, split)
    const chosen = readyAtOnce(
      known,
      idle,
      slo,
      readyFor((id) => id === ready),
    )
    assert.isTrue(chosen?.meets)
    assert.strictEqual(strategyId(spec, chosen?.strategy ?? split), ready)
  })

  it("is answered here, as soon as it can be, where nothing else is ready in time", () => {
    const nothing = readyFor(() => false)
    const hurried = readyAtOnce(known, idle, remaining(slo, 500), nothing)
    assert.deepStrictEqual(hurried?.strategy.devices, ["a"])
    assert.isFalse(hurried?.meets)
    const calm = readyAtOnce(known, idle, { kind: "latency", latencyMs: 1e6 }, nothing)
    assert.isBelow(hurried?.outcome.latencyMs ?? NaN, calm?.outcome.latencyMs ?? NaN)
    assert.isAtLeast(calm?.outcome.accuracy ?? NaN, hurried?.outcome.accuracy ?? NaN)
  })
})
