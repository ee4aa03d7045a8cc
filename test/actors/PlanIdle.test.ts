import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makePlanIdle } from "../../actors/PlanIdle.ts"
import type { Load } from "../../actors/Portfolio.ts"
import type { Thoughts } from "../../actors/Thoughts.ts"
import type { Slo } from "../../policies/Condition.ts"
import { type Refusal, refusal } from "../../subjects/ErrorReply.ts"
import { type Strategy, strategyId } from "../../supernet/Strategy.ts"
import { conditionAt, portfolioOf, spec } from "./BusySwarm.ts"

const ids = ["a", "b", "c"]
const idle = conditionAt(ids, () => 0)
const slo: Slo = { kind: "latency", latencyMs: 60 }
const { known, split: best } = portfolioOf(ids, slo)
const bestId = strategyId(spec, best)

/** Plans once; `isDecided`: the best is what was decided for this condition. Gives the plan and what was made ready for later. */
const planWith = (
  isReady: (strategy: Strategy) => boolean,
  isDecided: boolean,
  wished: Slo = slo,
  thought: Effect.Effect<never, Refusal> = Effect.never,
) =>
  Effect.gen(function* () {
    const madeReady: Array<Strategy> = []
    const thinking = yield* Effect.forkChild(thought)
    const thoughts: Thoughts = {
      topic: (now, wanted) => ({ now, slo: wanted, bucket: "" }),
      decided: () => (isDecided ? { id: bestId, strategy: best, foundBy: "policy" } : undefined),
      think: () => Effect.succeed(thinking),
      makeReady: (strategy) => Effect.sync(() => void madeReady.push(strategy)),
      isWorthIt: () => true,
      isIdle: () => true,
      isFull: () => false,
    }
    const loadOf = (): Load => ({
      prices: ids.map(() => 0),
      workOf: () => new Map(),
      isReady: (_, strategy) => isReady(strategy),
    })
    const plan = yield* makePlanIdle(known, thoughts, loadOf, 10)(idle, wished)
    return { plan, madeReady }
  })

describe("planning over devices that have nothing to do", () => {
  it.effect("uses what is known where no decision can be had, though it misses the objective", () =>
    Effect.gen(function* () {
      const failing = Effect.fail(refusal("Internal", "the thread died", "", true))
      const { plan } = yield* planWith(() => true, false, { kind: "latency", latencyMs: 1 }, failing)
      assert.deepStrictEqual(plan.strategy.devices, ["a"])
      assert.isAbove(plan.predicted.latencyMs, 1)
    }),
  )

  for (const isDecided of [true, false]) {
    const what = isDecided ? "what was decided" : "the best that is known"

    it.effect(`runs ${what} where its devices have it ready`, () =>
      Effect.gen(function* () {
        const { plan, madeReady } = yield* planWith(() => true, isDecided)
        assert.deepStrictEqual(plan.strategy, best)
        assert.strictEqual(plan.foundBy, isDecided ? "policy" : "search")
        assert.isEmpty(madeReady)
      }),
    )

    it.effect(`has ${what} made ready beside, where something ready keeps the objective`, () =>
      Effect.gen(function* () {
        const { plan, madeReady } = yield* planWith((s) => s !== best, isDecided)
        assert.notDeepEqual(plan.strategy, best)
        assert.isAtMost(plan.predicted.latencyMs, slo.latencyMs)
        assert.deepStrictEqual(madeReady, [best])
      }),
    )

    it.effect(`waits until ${what} is ready, where nothing that is keeps the objective`, () =>
      Effect.gen(function* () {
        const { plan, madeReady } = yield* planWith(() => false, isDecided)
        assert.deepStrictEqual(plan.strategy, best)
        assert.isEmpty(madeReady)
      }),
    )
  }
})
