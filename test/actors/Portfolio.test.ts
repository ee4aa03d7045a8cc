import { assert, describe, it } from "vitest"
import { Portfolio } from "../../actors/Portfolio.ts"
import type { Slo } from "../../policies/Condition.ts"
import { decodeGenome, localGenome } from "../../policies/Genome.ts"
import { mutate } from "../../policies/Moves.ts"
import { score } from "../../policies/Objective.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { type Strategy, strategyId } from "../../supernet/Strategy.ts"
import { sampleSubmodel } from "../../supernet/Submodel.ts"
import { conditionAt, portfolioOf, spec, world } from "./BusySwarm.ts"

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

  it("are used as they are ready, and what is worth making ready is noticeably better", () => {
    const { known, split } = portfolioOf(ids, slo)
    const found = strategyId(spec, split)
    const under = (isReady: (id: string) => boolean, objective: Slo = slo) =>
      known.bestUnderLoad(idle, objective, { prices: [0, 0, 0], workOf: () => new Map(), isReady })
    const without = under((id) => id !== found)
    assert.notDeepEqual(without.best?.strategy, split)
    assert.isTrue(without.best?.meets)
    assert.deepStrictEqual(without.better?.strategy, split)
    assert.deepStrictEqual(under(() => true).best?.strategy, split)
    assert.isUndefined(under(() => true).better)
    // Nothing is ready: the best of all has to be made ready anyway.
    assert.deepStrictEqual(under(() => false).best?.strategy, split)
    assert.isUndefined(under(() => false).better)
    // With time enough the largest network is as accurate as anything.
    const loose: Slo = { kind: "latency", latencyMs: 10_000 }
    assert.isUndefined(under((id) => id !== found, loose).better)
  })

  it("are not waited for behind a link that is late, where a whole network here is much sooner", () => {
    const { known } = portfolioOf(ids, slo)
    const isElsewhere = (_: string, s: Strategy) => s.devices.length > 1
    const choose = (lateMs: number, objective: Slo) =>
      known.bestUnderLoad(
        conditionAt(ids, (id) => (id === "a" ? 0 : lateMs)),
        objective,
        { prices: [0, 0, 0], workOf: () => new Map(), isReady: isElsewhere },
      ).best
    for (const objective of [slo, { kind: "accuracy", accuracy: 0.6 } as const]) {
      const late = choose(30_000, objective)
      assert.deepStrictEqual(late?.strategy.devices, ["a"])
      assert.isBelow(late?.outcome.latencyMs ?? Infinity, 1000)
      // What is ready is used where it is not much later.
      assert.isAbove(choose(100, objective)?.strategy.devices.length ?? 0, 1)
    }
  })

  it("are looked at as far as need be: none of those left out would have been better", () => {
    const random = seededRandom(3)
    const known = new Portfolio(world)
    const strategies = Array.from({ length: 120 }, () => {
      const local = localGenome(world.space, sampleSubmodel(spec, random))
      return decodeGenome(world.space, mutate(world.space, local, [0, 1, 2], random, 6), ids)
    })
    for (const s of strategies) known.add(s, "search")
    const isReady = (id: string) => id.charCodeAt(0) % 2 === 0
    const readyOf = (s: Strategy) => isReady(strategyId(spec, s))
    for (let n = 0; n < 60; n++) {
      const now = conditionAt(ids, () => 60 * random.next())
      const objective: Slo =
        n % 2 === 0
          ? { kind: "latency", latencyMs: 20 + 180 * random.next() }
          : { kind: "accuracy", accuracy: 0.5 + 0.4 * random.next() }
      const scoreOf = (s: Strategy | undefined) => {
        const outcome = s === undefined ? undefined : known.judge(s, now, objective)?.outcome
        return outcome === undefined ? Number.NaN : score(objective, outcome)
      }
      const load = { prices: [0, 0, 0], workOf: () => new Map<string, number>(), isReady }
      const most = (some: ReadonlyArray<Strategy>) => Math.max(...some.map(scoreOf))
      assert.strictEqual(scoreOf(known.best(now, objective)?.strategy), most(strategies))
      const ready = most(strategies.filter(readyOf))
      assert.strictEqual(scoreOf(known.bestReady(now, objective, load)?.strategy), ready)
      assert.strictEqual(scoreOf(known.bestUnderLoad(now, objective, load).best?.strategy), ready)
      if (n % 10 === 0) for (const s of strategies.slice(n, n + 3)) known.add(s, "shared")
    }
  })
})
