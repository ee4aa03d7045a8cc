/** Who asks about the same condition at once waits for one thought; what it finds is for others once it is ready. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Portfolio } from "../../actors/Portfolio.ts"
import { Reconfig } from "../../actors/Reconfig.ts"
import { Self } from "../../actors/Self.ts"
import { Thinker } from "../../actors/Thinker.ts"
import { makeThoughts } from "../../actors/Thoughts.ts"
import type { Slo } from "../../policies/Condition.ts"
import type { Decision } from "../../policies/Decision.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import { minSubmodel } from "../../supernet/Submodel.ts"
import { conditionAt, spec, wholeOn, world } from "./BusySwarm.ts"

const ids = ["a", "b"]
const now = conditionAt(ids, () => 0)
const slo: Slo = { kind: "latency", latencyMs: 60 }
const found = wholeOn(minSubmodel(spec), ids, 1)

/** A thinker that counts questions and answers none before it may, and devices that are ready when they may be. */
const scene = Effect.gen(function* () {
  const [mayAnswer, mayBeReady] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const known = new Portfolio(world)
  known.addLocal("a")
  const asked: Array<Slo> = []
  const readied: Array<Strategy> = []
  const decision: Decision = {
    strategy: found,
    predictedLatencyMs: 50,
    predictedAccuracy: 0.9,
    meetsSlo: true,
    source: "policy",
    evaluations: 1,
    decisionMs: 1,
  }
  const thinker = {
    decide: (query: { readonly slo: Slo }) =>
      Effect.suspend(() => {
        asked.push(query.slo)
        return Effect.as(Deferred.await(mayAnswer), decision)
      }),
    policies: () => new Map(),
    pending: () => 0,
  }
  const reconfig = {
    activate: (strategy: Strategy) =>
      Effect.suspend(() => {
        readied.push(strategy)
        return Deferred.await(mayBeReady)
      }),
  }
  const fakes = Layer.mergeAll(
    Layer.succeed(Self, { device: "a" } as unknown as Self["Service"]),
    Layer.succeed(Thinker, thinker as unknown as Thinker["Service"]),
    Layer.succeed(Reconfig, reconfig as unknown as Reconfig["Service"]),
  )
  const thoughts = yield* Effect.provide(makeThoughts(known, 10), fakes)
  return { thoughts, asked, readied, mayAnswer, mayBeReady }
})

describe("thoughts", () => {
  it.effect("are one for all who ask for the same condition and objective meanwhile", () =>
    Effect.gen(function* () {
      const { thoughts, asked, mayAnswer } = yield* scene
      const topic = thoughts.topic(now, slo)
      const fibers = yield* Effect.forEach([1, 2, 3, 4], () => thoughts.think(topic, "search"))
      const other = yield* thoughts.think(thoughts.topic(now, { ...slo, latencyMs: 80 }), "search")
      yield* Effect.yieldNow
      assert.deepStrictEqual(asked, [slo, { ...slo, latencyMs: 80 }])
      yield* Deferred.succeed(mayAnswer, undefined)
      const plans = yield* Effect.forEach(fibers, Fiber.join)
      assert.isTrue(plans.every((plan) => plan === plans[0]))
      assert.notStrictEqual(yield* Fiber.join(other), plans[0])
      // Over now: whoever asks from here on has it thought about anew.
      yield* Effect.flatMap(thoughts.think(topic, "search"), Fiber.join)
      assert.lengthOf(asked, 3)
    }).pipe(Effect.scoped),
  )

  it.effect("are found by other requests only when what they found is ready on its devices", () =>
    Effect.gen(function* () {
      const { thoughts, readied, mayAnswer, mayBeReady } = yield* scene
      const topic = thoughts.topic(now, slo)
      const fiber = yield* thoughts.think(topic, "search")
      yield* Deferred.succeed(mayAnswer, undefined)
      const plan = yield* Fiber.join(fiber)
      assert.deepInclude(plan, { strategy: found, origin: "policy", foundBy: "policy", feasible: true })
      yield* Effect.yieldNow
      assert.deepStrictEqual(readied, [found])
      assert.isUndefined(thoughts.decided(topic))
      yield* Deferred.succeed(mayBeReady, undefined)
      while (thoughts.decided(topic) === undefined) yield* Effect.yieldNow
      assert.deepInclude(thoughts.decided(topic), { strategy: found, foundBy: "policy" })
    }).pipe(Effect.scoped),
  )
})
