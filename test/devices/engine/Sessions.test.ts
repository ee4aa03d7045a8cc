import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { seededRandom } from "../../../supernet/Random.ts"
import { localStrategy } from "../../../supernet/Strategy.ts"
import { sampleSubmodel } from "../../../supernet/Submodel.ts"
import { image, largestDifference, tinySpec } from "../../supernet/Tiny.ts"
import { imageTask, local, reference, start } from "./Engines.ts"

it.live(
  "block sessions and fused ones give the same logits, and idle time turns the one into the other",
  () =>
    Effect.gen(function* () {
      const { engine } = yield* start({ preload: false })
      const { engine: blocks } = yield* start({ tier: "block" })
      const { engine: fused } = yield* start({ tier: "fused" })
      const logits: Array<Float32Array | undefined> = []
      for (const each of [engine, blocks, fused]) {
        const { strategyId } = yield* each.prepare(local)
        const outcome = yield* each.run(imageTask(strategyId, "r"))
        logits.push(outcome.logits)
        assert.strictEqual(outcome.timings.tier, each === blocks ? "block" : "fused")
        assert.strictEqual((yield* each.run(imageTask(strategyId, "r"))).timings.built, 0)
      }
      const [auto, block, fuse] = logits
      assert.isBelow(largestDifference(block ?? new Float32Array(1), fuse ?? new Float32Array(1)), 1e-6)
      assert.deepStrictEqual(auto, fuse)
    }),
)

it.live("with resident blocks a new strategy needs no session, and is fused when it keeps running", () =>
  Effect.gen(function* () {
    const { engine } = yield* start({ preload: true, sessionBudgetBytes: 512e6 })
    const variants = 2 + 10 * 9 + 1
    const resident = engine.stats.pipe(
      Effect.repeat({ until: (s) => s.sessions >= variants }),
      Effect.timeout("20 seconds"),
    )
    assert.strictEqual((yield* resident).sessions, variants)
    const random = seededRandom(8)
    for (let i = 0; i < 5; i++) {
      const submodel = { ...sampleSubmodel(tinySpec, random), resolution: 64 }
      const { timings, strategyId } = yield* engine.prepare(localStrategy(tinySpec, submodel, "a"))
      assert.strictEqual(timings.built, 0)
      const outcome = yield* engine.run(imageTask(strategyId, `r${i}`))
      assert.strictEqual(outcome.timings.built, 0)
      const fused = Effect.suspend(() => engine.run(imageTask(strategyId, `r${i}`))).pipe(
        Effect.repeat({ until: (o) => o.timings.tier === "fused" }),
        Effect.timeout("10 seconds"),
      )
      assert.isBelow(
        largestDifference(
          (yield* fused).logits ?? new Float32Array(1),
          outcome.logits ?? new Float32Array(1),
        ),
        1e-5,
      )
    }
  }),
)

it.live("strategies that run once take each other's place, not that of one that runs all the time", () =>
  Effect.gen(function* () {
    const budget = { tier: "fused" as const, preload: false, sessionBudgetBytes: 2_500_000 }
    const { engine } = yield* start(budget)
    const often = yield* engine.prepare(local)
    for (let i = 0; i < 5; i++) yield* engine.run(imageTask(often.strategyId, "often"))
    const random = seededRandom(9)
    for (let i = 0; i < 12; i++) {
      const submodel = { ...sampleSubmodel(tinySpec, random), resolution: 64 }
      const { strategyId } = yield* engine.prepare(localStrategy(tinySpec, submodel, "a"))
      yield* engine.run(imageTask(strategyId, `once ${i}`))
    }
    const { evicted } = yield* engine.stats
    assert.isAbove(evicted, 3)
    assert.strictEqual((yield* engine.run(imageTask(often.strategyId, "often"))).timings.built, 0)
  }),
)

it.live("a small session budget is kept by releasing the coldest, and answers stay right", () =>
  Effect.gen(function* () {
    const { engine } = yield* start({ preload: false, sessionBudgetBytes: 700_000 })
    const random = seededRandom(21)
    for (let i = 0; i < 12; i++) {
      const strategy = localStrategy(tinySpec, { ...sampleSubmodel(tinySpec, random), resolution: 64 }, "a")
      const { strategyId } = yield* engine.prepare(strategy)
      const { logits } = yield* engine.run(imageTask(strategyId, `r${i}`, i))
      const expected = yield* Effect.promise(() =>
        reference.evaluate(strategy, { count: 1, size: 64, pixels: image(64, i) }),
      )
      assert.isBelow(largestDifference(logits ?? new Float32Array(1), expected), 1e-5)
    }
    const stats = yield* engine.stats
    assert.isAbove(stats.evicted, 0)
    assert.isAtMost(stats.bytes, 700_000)
  }),
)
