import { assert, it, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { Engine, type EngineShape } from "../../../devices/engine/Engine.ts"
import { imagePiece } from "../../../devices/engine/Pieces.ts"
import { walk } from "../../../devices/engine/Walk.ts"
import { seededRandom } from "../../../supernet/Random.ts"
import { localStrategy, sampleStrategy, type Strategy, strategyId } from "../../../supernet/Strategy.ts"
import { minSubmodel, uniformSubmodel } from "../../../supernet/Submodel.ts"
import { image, largestDifference, tinySpec } from "../../supernet/Tiny.ts"
import { imageTask, local, reference, start, there, weights, wholeImage } from "./Engines.ts"

const devices = ["a", "b", "c", "d"]

/** Four engines that several tests share: a worker takes longer to start than most tests to run. */
class Swarm extends Context.Service<Swarm, ReadonlyMap<string, EngineShape>>()("test/Swarm") {
  static readonly layer = Layer.effect(
    Swarm,
    Effect.forEach(devices, (deviceId) => start({ deviceId, preload: false }), {
      concurrency: "unbounded",
    }).pipe(Effect.map((started) => new Map(started.map(({ engine }) => [engine.deviceId, engine])))),
  )
}

layer(Swarm.layer, { excludeTestServices: true })("a swarm of engines", (it) => {
  it.effect(
    "engines that share a strategy answer as one session does, with 32, 16 and 8 bits on the way",
    () =>
      Effect.gen(function* () {
        const engines = yield* Swarm
        const random = seededRandom(11)
        for (let i = 0; i < 20; i++) {
          const strategy = sampleStrategy(tinySpec, devices, random)
          const size = strategy.submodel.resolution
          const pixels = image(size, i)
          const { logits } = yield* walk(engines, `one ${i}`, strategy, pixels)
          const expected = yield* Effect.promise(() =>
            reference.evaluate(strategy, { count: 1, size, pixels }),
          )
          assert.isBelow(largestDifference(logits, expected), 1e-5, JSON.stringify(strategy.blocks))
        }
        for (const engine of engines.values()) assert.strictEqual((yield* engine.stats).waitingBytes, 0)
      }),
  )

  it.effect("many requests in flight at once get each its own answer", () =>
    Effect.gen(function* () {
      const engines = yield* Swarm
      const random = seededRandom(3)
      const strategies = [1, 2, 3].map(() => sampleStrategy(tinySpec, devices, random, { bits: [8] }))
      yield* Effect.forEach(
        Array.from({ length: 24 }, (_, i) => i),
        Effect.fnUntraced(function* (i) {
          const strategy = strategies[i % 3] ?? local
          const size = strategy.submodel.resolution
          const { logits } = yield* walk(engines, `many ${i}`, strategy, image(size, i))
          const batch = { count: 1, size, pixels: image(size, i) }
          const expected = yield* Effect.promise(() => reference.evaluate(strategy, batch))
          assert.isBelow(largestDifference(logits, expected), 1e-5)
        }),
        { concurrency: "unbounded" },
      )
    }),
  )
})

it.live("a crashed worker fails the calls in flight, comes back, and knows its strategies", () =>
  Effect.gen(function* () {
    let ms = 60_000
    const { engine, host } = yield* start({ emulatedMs: () => ms, preload: false })
    const { strategyId } = yield* engine.prepare(local)
    const inFlight = yield* Effect.forkChild(Effect.flip(engine.run(imageTask(strategyId, "r"))), {
      startImmediately: true,
    })
    // Not a message that it knows: the worker throws.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    host.worker.postMessage(undefined)
    const error = yield* Fiber.join(inFlight)
    assert.strictEqual(error._tag, "EngineUnavailable")
    assert.strictEqual(error.retryable, true)
    ms = 0
    const { logits } = yield* engine.run(imageTask(strategyId, "r"))
    const batch = { count: 1, size: 64, pixels: image(64, 1) }
    const expected = yield* Effect.promise(() => reference.evaluate(local, batch))
    assert.isBelow(largestDifference(logits ?? new Float32Array(1), expected), 1e-5)
    assert.strictEqual((yield* engine.stats).restarts, 1)
  }),
)

it.live(
  "a worker that crashes again and again is not started for ever: the engine says so, and can be closed",
  () =>
    Effect.gen(function* () {
      const { engine, host } = yield* start({ preload: false })
      const failed = yield* Effect.forkChild(Effect.flip(engine.failed), { startImmediately: true })
      for (let crash = 0; crash < 6; crash++) {
        const { worker } = host
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
        worker.postMessage(undefined)
        yield* Effect.promise(() => new Promise((resolve) => worker.once("exit", resolve)))
      }
      const error = yield* Fiber.join(failed)
      assert.isFalse(error.retryable)
      assert.include(error.message, "6 crashes within a minute")
      assert.isFalse((yield* Effect.flip(engine.prepare(local))).retryable)
      yield* Effect.promise(() => host.stop()).pipe(Effect.timeout("2 seconds"))
    }),
)

it.live("a strategy whose preparation nobody waits for any more is forgotten by the worker too", () =>
  Effect.gen(function* () {
    const { engine } = yield* start({ preload: false })
    yield* engine.prepare(local)
    const preparing = yield* Effect.forkChild(engine.prepare(there), { startImmediately: true })
    yield* Fiber.interrupt(preparing)
    const stats = yield* engine.stats
    assert.strictEqual(stats.strategies, 1)
    assert.strictEqual((yield* engine.prepare(there)).graph.tasks.length, 3)
    assert.strictEqual((yield* engine.stats).strategies, 2)
  }),
)

it.live("a strategy that is given up while the worker prepares it is forgotten when it is done", () =>
  Effect.gen(function* () {
    const { engine } = yield* start({ preload: false, tier: "fused" })
    yield* engine.prepare(local)
    const submodels = tinySpec.kernels.flatMap((kernel) =>
      tinySpec.expands.flatMap((expand) =>
        tinySpec.resolutions.map((resolution) => uniformSubmodel(tinySpec, resolution, 2, kernel, expand)),
      ),
    )
    for (const submodel of submodels) {
      const strategy = localStrategy(tinySpec, submodel, "a")
      if (strategyId(tinySpec, strategy) === strategyId(tinySpec, local)) continue
      const preparing = yield* Effect.forkChild(engine.prepare(strategy), { startImmediately: true })
      // Answered when the worker has begun.
      yield* engine.stats
      yield* Fiber.interrupt(preparing)
    }
    // When this is done, what came before it is.
    yield* engine.prepare(there)
    const ids = submodels.map((submodel) => strategyId(tinySpec, localStrategy(tinySpec, submodel, "a")))
    // One or another may have been ready before it was given up.
    const known = new Set([strategyId(tinySpec, local), ...ids]).values()
    const ready = [...known].filter((id) => engine.prepared(id) !== undefined)
    assert.strictEqual((yield* engine.stats).strategies, 1 + ready.length)
  }),
)

it.live(
  "an emulated device takes the time that it is told, one task after the other, and answers meanwhile",
  () =>
    Effect.gen(function* () {
      const { engine } = yield* start({ emulatedMs: (graph) => graph.blocks.length * 5 })
      const { strategyId, graph } = yield* engine.prepare(local)
      yield* engine.run(imageTask(strategyId, "warm"))
      const oneMs = graph.blocks.length * 5
      const begin = performance.now()
      const order: Array<string> = []
      const run = (id: string) => Effect.map(engine.run(imageTask(strategyId, id)), () => order.push(id))
      const other = localStrategy(tinySpec, minSubmodel(tinySpec, 64), "a")
      const prepare = Effect.map(engine.prepare(other), () => order.push("prepared"))
      yield* Effect.all([run("r1"), run("r2"), run("r3"), prepare], { concurrency: "unbounded" })
      assert.isAtLeast(performance.now() - begin, 3 * oneMs)
      assert.isBelow(order.indexOf("prepared"), order.indexOf("r2"))
      assert.deepStrictEqual(
        order.filter((id) => id !== "prepared"),
        ["r1", "r2", "r3"],
      )
    }),
)

it.live("a task of higher priority overtakes those that wait", () =>
  Effect.gen(function* () {
    const { engine } = yield* start({ emulatedMs: () => 20, preload: false })
    const { strategyId } = yield* engine.prepare(local)
    const order: Array<string> = []
    const run = (id: string, priority: number) =>
      Effect.map(engine.run(imageTask(strategyId, id, 1, priority)), () => order.push(id))
    yield* Effect.all([run("first", 0), run("second", 0), run("third", 0), run("urgent", 5)], {
      concurrency: "unbounded",
    })
    assert.deepStrictEqual(order, ["first", "urgent", "second", "third"])
  }),
)

it.live("an interrupted task is taken back, and a dropped request leaves nothing behind", () =>
  Effect.gen(function* () {
    const { engine } = yield* start({ emulatedMs: () => 30 })
    const { strategyId } = yield* engine.prepare(there)
    const fibers = yield* Effect.forEach([1, 2, 3], (i) =>
      Effect.forkChild(engine.run(imageTask(strategyId, `r${i}`)), { startImmediately: true }),
    )
    yield* Fiber.interrupt(fibers[2] as Fiber.Fiber<unknown, unknown>)
    const refused = yield* Effect.forkChild(Effect.flip(engine.run(imageTask(strategyId, "r4"))), {
      startImmediately: true,
    })
    yield* engine.drop("r4")
    assert.strictEqual((yield* Fiber.join(refused))._tag, "TaskFailed")
    yield* Fiber.join(fibers[1] as Fiber.Fiber<unknown, unknown>)
    assert.strictEqual((yield* engine.stats).queued, 0)
  }),
)

it.live("values that wait for a task on this device are bounded: the oldest request loses its own", () =>
  Effect.gen(function* () {
    const split: Strategy = {
      ...local,
      devices: ["a", "b"],
      // Cut once, so that both tiles stay on `a` while `b` works on nothing yet.
      blocks: local.blocks.map((plan, i) => ({
        ...plan,
        grid: i < 3 ? "1x2" : "1x1",
        placement: i < 3 ? [0, 1] : [0],
      })),
    }
    const { engine } = yield* start({ activationBudgetBytes: 20_000 })
    const { strategyId, graph } = yield* engine.prepare(split)
    const tile = graph.tasks[0]?.input ?? wholeImage
    const runTile = (requestId: string) =>
      engine.run({ requestId, strategyId, task: 0, pieces: [imagePiece(0, image(64, 1), 64, tile)] })
    for (let i = 0; i < 20; i++) yield* runTile(`r${i}`)
    const stats = yield* engine.stats
    assert.isAbove(stats.evictedRequests, 0)
    assert.isAtMost(stats.waitingBytes, 20_000)
    const last = graph.tasks.length - 1
    const crossing = graph.edges.find((e) => e.to === last && e.crosses)
    assert.isDefined(crossing)
    const { edge, data } = { edge: crossing?.index ?? 0, data: new ArrayBuffer(0) }
    const error = yield* Effect.flip(
      engine.run({
        requestId: "r0",
        strategyId,
        task: last,
        pieces: [{ edge, bits: 32, scale: 1, zeroPoint: 0, data }],
      }),
    )
    assert.strictEqual(error._tag === "TaskFailed" ? error.problem : "", "MissingActivation")
  }),
)

it.live(
  "wrong pieces, foreign tasks, unknown strategies and invalid ones are four answers, not crashes",
  () =>
    Effect.gen(function* () {
      const { engine } = yield* start()
      const { strategyId } = yield* engine.prepare(there)
      const problemOf = (task: Parameters<typeof engine.run>[0]) =>
        Effect.map(Effect.flip(engine.run(task)), (e) => (e._tag === "TaskFailed" ? e.problem : e._tag))
      const good = imageTask(strategyId, "r")
      assert.strictEqual(yield* problemOf({ ...good, pieces: [] }), "BadPieces")
      const short = { edge: 0, bits: 8 as const, scale: 1, zeroPoint: 0, data: new ArrayBuffer(5) }
      assert.strictEqual(yield* problemOf({ ...good, pieces: [short] }), "BadPieces")
      assert.strictEqual(yield* problemOf({ ...imageTask(strategyId, "r"), task: 1 }), "BadPieces")
      assert.strictEqual(yield* problemOf(imageTask("no such strategy", "r")), "StrategyNotPrepared")
      const foreign = yield* Effect.flip(engine.prepare({ ...local, devices: ["z"] }))
      assert.strictEqual(foreign._tag, "StrategyRefused")
      const invalid = yield* Effect.flip(engine.prepare({ ...local, blocks: [] }))
      assert.include(invalid.message, "0 block plans")
      yield* engine.release(strategyId)
      assert.strictEqual(yield* problemOf(imageTask(strategyId, "r")), "StrategyNotPrepared")
    }),
)

it.live("an execution provider that is not installed is a clear error at the start", () =>
  Effect.gen(function* () {
    const options = { deviceId: "a", spec: tinySpec, weights, runtime: { providers: ["antigravity", "cpu"] } }
    const error = yield* Effect.flip(Effect.scoped(Layer.build(Engine.layer(options))))
    assert.include(error.message, "antigravity")
    assert.include(error.message, "cpu")
  }),
)
