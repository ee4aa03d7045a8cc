import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer } from "effect"
import { Backlog } from "../../actors/Backlog.ts"
import { Results, type ResultsShape } from "../../actors/Results.ts"
import { Self } from "../../actors/Self.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { logitsBytes, type TaskResult } from "../../subjects/PlanMessages.ts"
import { localStrategy, normalizeStrategy, strategyId } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { imageSource, taskGraph } from "../../supernet/TaskGraph.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const [here, there, stranger] = [DeviceId.make("pi-1"), DeviceId.make("pi-2"), DeviceId.make("pi-3")]
const local = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), here)
/** Three tasks: the first and the head here, the middle of the network there. */
const strategy = normalizeStrategy(tinySpec, {
  ...local,
  devices: [here, there],
  blocks: local.blocks.map((b, i) => ({ ...b, placement: [i > 2 && i < 6 ? 1 : 0] })),
})
const tried = {
  strategyId: strategyId(tinySpec, strategy),
  strategy,
  graph: taskGraph(tinySpec, strategy),
}
const head = tried.graph.tasks.length - 1
const id = RequestId.make("r")

const none = { gatherMs: 0, queueMs: 0, computeMs: 0, packMs: 0, bytesIn: 0, bytesOut: 0 }
const headOf = (device: DeviceId) => ({
  requestId: id,
  strategyId: tried.strategyId,
  attempt: 0,
  device,
  othersMs: 7,
})
const done = (device: DeviceId, task: number): TaskResult => ({
  _tag: "TaskDone",
  ...headOf(device),
  timing: { task, device, ...none },
})
const logits = (device: DeviceId, task = head): TaskResult => ({
  _tag: "Logits",
  ...headOf(device),
  logits: logitsBytes(tinySpec.classes.map(() => 1)),
  timing: { task, device, ...none },
})
const failed = (device: DeviceId, task: number, blame: DeviceId): TaskResult => {
  const error = { tag: "Internal", message: "it broke", retryable: true, hint: "" } as const
  return { _tag: "TaskFailed", ...headOf(device), task, blame, error }
}

/** The results of a device that waits for one attempt; what its books were told. */
const waiting = Effect.gen(function* () {
  const booked: Array<string> = []
  const self = { device: here, spec: tinySpec, counters: { dropped: 0 } } as unknown as Self["Service"]
  const books = {
    done: (key: string, task: number) => booked.push(`${key} ${task}`),
    said: (device: DeviceId, othersMs: number) => booked.push(`${device} has ${othersMs} ms`),
  } as unknown as Backlog["Service"]
  const fakes = Layer.merge(Layer.succeed(Self, self), Layer.succeed(Backlog, books))
  const built = yield* Layer.build(Results.layer.pipe(Layer.provide(fakes)))
  const results: ResultsShape = Context.get(built, Results)
  const open = results.open(id, 0, tried)
  const settled = () => Effect.result(Deferred.await(open.logits))
  return { results, open, booked, self, settled, isSettled: () => Deferred.isDoneUnsafe(open.logits) }
})

describe("results", () => {
  it.effect("count for the attempt whose task that device runs", () =>
    Effect.gen(function* () {
      const { results, open, booked, self, settled } = yield* waiting
      for (const m of [done(here, 0), done(there, 1), logits(here)]) yield* results.deliver(m)
      assert.strictEqual((yield* settled())._tag, "Success")
      assert.deepStrictEqual(
        open.timings.map((t) => t.task),
        [0, 1, 2],
      )
      assert.deepStrictEqual(
        booked.filter((b) => b.startsWith("r/0")),
        ["r/0 0", "r/0 1", "r/0 2"],
      )
      assert.strictEqual(self.counters.dropped, 0)
    }),
  )

  it.effect("of tasks that a device does not run are dropped and counted, whoever says so", () =>
    Effect.gen(function* () {
      const { results, open, booked, self, isSettled } = yield* waiting
      const lies: ReadonlyArray<TaskResult> = [
        done(stranger, 1),
        done(there, 0),
        done(there, 99),
        done(here, head),
        { ...done(there, 1), strategyId: "0".repeat(16) },
        { ...done(there, 1), timing: { task: 1, device: here, ...none } } as TaskResult,
        logits(there),
        logits(stranger),
        logits(there, 1),
        failed(stranger, 1, there),
        failed(there, 0, here),
        failed(there, imageSource, here),
      ]
      for (const lie of lies) yield* results.deliver(lie)
      assert.isFalse(isSettled())
      assert.deepStrictEqual(open.timings, [])
      assert.deepStrictEqual(
        booked.filter((b) => b.startsWith("r/0")),
        [],
      )
      assert.strictEqual(self.counters.dropped, lies.length)
      // How much it has to do, each says for itself.
      assert.include(booked, "pi-3 has 7 ms")
    }),
  )

  it.effect("that come again add nothing", () =>
    Effect.gen(function* () {
      const { results, open } = yield* waiting
      for (let i = 0; i < 100; i++) yield* results.deliver(done(there, 1))
      assert.strictEqual(open.timings.length, 1)
    }),
  )

  it.effect("blame devices of the strategy only, or else the one that says so", () =>
    Effect.gen(function* () {
      for (const [message, blame] of [
        [failed(there, 1, here), here],
        [failed(there, 1, stranger), there],
        [failed(here, imageSource, there), there],
      ] as const) {
        const { results, settled } = yield* waiting
        yield* results.deliver(message)
        const outcome = yield* settled()
        assert(outcome._tag === "Failure")
        assert.strictEqual(outcome.failure.blame, blame)
      }
    }),
  )
})
