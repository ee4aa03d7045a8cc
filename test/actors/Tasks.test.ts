import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Self } from "../../actors/Self.ts"
import { makeTasks } from "../../actors/Tasks.ts"
import { Tiles } from "../../actors/Tiles.ts"
import { Underway } from "../../actors/Underway.ts"
import { Engine, type RunTask, TaskFailed } from "../../devices/engine/Engine.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { localStrategy, normalizeStrategy, strategyId } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { taskGraph } from "../../supernet/TaskGraph.ts"
import { waitUntil } from "../support/Wait.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const here = DeviceId.make("pi-2")
const local = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), "pi-1")
/** The stem in two tiles, both of which are computed here; the rest by the device that serves the request. */
const strategy = normalizeStrategy(tinySpec, {
  ...local,
  devices: ["pi-1", here],
  blocks: local.blocks.map((b, i) => (i === 0 ? { ...b, grid: "1x2", placement: [1, 1] } : b)),
})
const graph = taskGraph(tinySpec, strategy)
const prepared = {
  strategyId: strategyId(tinySpec, strategy),
  strategy,
  graph,
  device: 1,
  timings: { built: 0, elapsedMs: 0 },
}
const [id, inputs] = [RequestId.make("r"), graph.edges.filter((e) => e.toDevice === 1)]
const broken = new TaskFailed({
  problem: "MissingActivation",
  requestId: "r/0",
  task: 0,
  found: "nothing",
  retryable: true,
  hint: "",
})

/** A device whose engine does with each task what the test says; what became of it is written down. */
const device = Effect.fnUntraced(function* (runTask: (task: RunTask) => Effect.Effect<never, TaskFailed>) {
  const said: Array<string> = []
  const engine = {
    run: (task: RunTask) =>
      runTask(task).pipe(Effect.onInterrupt(() => Effect.sync(() => void said.push(`${task.task} ended`)))),
    drop: () => Effect.void,
  }
  const books = { host: () => undefined, hostDone: () => undefined, hostClose: () => undefined }
  const underway = new Underway(here, engine, books, 1e6)
  const reports = {
    done: () => Effect.void,
    failed: (_: unknown, task: number) => Effect.sync(() => void said.push(`${task} failed`)),
    givenUp: () => Effect.void,
  }
  const counters = { tasksQueued: 0 }
  const fakes = Layer.mergeAll(
    Layer.succeed(Self, { device: here, counters } as unknown as Self["Service"]),
    Layer.succeed(Engine, engine as unknown as Engine["Service"]),
    Layer.succeed(Tiles, {} as unknown as Tiles["Service"]),
  )
  const tasks = yield* Effect.provide(makeTasks(underway, reports), fakes)
  const r = underway.open(id, 0, prepared, 10_000)
  const take = () => {
    for (const e of inputs)
      tasks.take(r, { edge: e.index, bits: 32, scale: 1, zeroPoint: 0, data: new ArrayBuffer(4) })
  }
  return { underway, counters, take, said }
})

describe("an attempt of which a task cannot be run", () => {
  it.live("is stopped as a whole, and its first failure is told", () =>
    Effect.gen(function* () {
      const [first, second] = inputs.map((e) => e.to)
      const begun = yield* Deferred.make<void>()
      const { underway, counters, take, said } = yield* device(({ task }) =>
        task === first
          ? Effect.andThen(Deferred.await(begun), Effect.andThen(Effect.yieldNow, Effect.fail(broken)))
          : Effect.andThen(Deferred.succeed(begun, undefined), Effect.never),
      )
      take()
      yield* waitUntil("the other task ends", () => said.includes(`${second} ended`), 2000)
      assert.deepStrictEqual(said, [`${first} failed`, `${second} ended`])
      assert.strictEqual(counters.tasksQueued, 0)
      assert.strictEqual(underway.size, 0)
      // A tile of it that is still on its way is not the beginning of a new one.
      assert.isTrue(underway.wasGivenUp(id, 0, prepared))
    }).pipe(Effect.scoped),
  )

  it.live("says nothing of what fails because of it", () =>
    Effect.gen(function* () {
      const { counters, take, said } = yield* device(() => Effect.fail(broken))
      take()
      yield* waitUntil("both are over", () => said.length > 0 && counters.tasksQueued === 0, 2000)
      yield* Effect.yieldNow
      assert.deepStrictEqual(said, [`${inputs[0]?.to} failed`])
    }).pipe(Effect.scoped),
  )
})
