import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { admission } from "../../actors/Admission.ts"
import type { AttemptFailed, OpenAttempt } from "../../actors/Results.ts"
import type { Job } from "../../actors/Job.ts"
import { awaitedDevices, stillNeeds } from "../../actors/Progress.ts"
import { makeTries, type TryActors } from "../../actors/Tries.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { localStrategy, normalizeStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { taskGraph } from "../../supernet/TaskGraph.ts"
import { waitUntil } from "../support/Wait.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const [here, there] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const local = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), here)
const split = normalizeStrategy(tinySpec, {
  ...local,
  devices: [here, there],
  blocks: local.blocks.map((b, i) => ({ ...b, placement: [i > 2 && i < 6 ? 1 : 0] })),
})

interface Script {
  /** What an attempt does: never ends, answers, fails after a device is lost; or the device dies before it, or after its part. */
  readonly attempts: ReadonlyArray<"silent" | "answer" | "lost" | "never ready" | "outlived">
  readonly predictedMs?: number
  /** Of a plan for this device alone, and what the other one has to do already. */
  readonly hereMs?: number
  readonly backlogMs?: number
  /** The first try answers while the second one is planned. */
  readonly answersMeanwhile?: boolean
}

/** The actors of a device as a script; what they were asked is written down. */
const scripted = (script: Script) => {
  const { attempts, predictedMs = 10, hereMs = predictedMs, backlogMs = 0, answersMeanwhile = false } = script
  const said = {
    excluded: [] as Array<ReadonlyArray<string>>,
    /** Whether each plan was asked for as that of a request that is under way already. */
    again: [] as Array<boolean>,
    begun: 0,
    /** How often it was asked what a try still needs. */
    needed: 0,
    cancelled: [] as Array<number>,
    booked: 0,
  }
  const open = new Map<number, OpenAttempt>()
  const died = Deferred.makeUnsafe<void>()
  const graphOf = (strategy: Strategy) => taskGraph(tinySpec, strategy)
  const actors = {
    self: { spec: tinySpec, device: here, counters: { replans: 0, hedges: 0 }, noteError: () => undefined },
    planner: {
      predict: () => Effect.succeed({ latencyMs: predictedMs, accuracy: 0.5 }),
      plan: ({ exclude, spentMs }: { exclude: ReadonlyArray<string>; spentMs?: number }) => {
        said.excluded.push(exclude)
        said.again.push(spentMs !== undefined && spentMs >= 0)
        const isHere = exclude.includes(there)
        const strategy = isHere ? local : split
        const predicted = { latencyMs: isHere ? hereMs : predictedMs, accuracy: 0.5 }
        const plan = Effect.succeed({ strategy, predicted, origin: "cache", feasible: true })
        const first = open.get(0)
        if (!answersMeanwhile || first === undefined) return plan
        const over = waitUntil("the first try is over", () => said.booked === 0)
        return Deferred.succeed(first.logits, Float32Array.of(0)).pipe(
          Effect.andThen(over),
          Effect.andThen(plan),
        )
      },
    },
    backlog: {
      book: () => said.booked++,
      close: () => said.booked--,
      ms: () => backlogMs,
      workOf: () => new Map([[there, 40]]),
    },
    membership: {
      awaitLoss: () => Effect.as(Deferred.await(died), there),
      isPresent: () => true,
      table: () => new Map([[there, {}]]),
    },
    reconfig: {
      activate: (strategy: Strategy) =>
        Effect.suspend(() => {
          const prepared = { strategyId: "s", strategy, graph: graphOf(strategy), device: 0 }
          if (attempts[said.begun] !== "never ready") return Effect.succeed(prepared)
          said.begun++
          return Effect.andThen(Deferred.succeed(died, undefined), Effect.never)
        }),
    },
    results: {
      open: (_: string, attempt: number) => {
        const waiting: OpenAttempt = { logits: Deferred.makeUnsafe(), timings: [] }
        open.set(attempt, waiting)
        return waiting
      },
      close: (_: string, attempt: number) => open.delete(attempt),
    },
    executor: {
      begin: ({ attempt }: { attempt: number }) =>
        Effect.suspend(() => {
          const waiting = open.get(attempt)
          const what = attempts[said.begun++]
          // Its own first part is done; the other device never says anything.
          const none = { gatherMs: 0, queueMs: 0, computeMs: 0, packMs: 0, bytesIn: 0, bytesOut: 0 }
          waiting?.timings.push({ task: 0, device: here, ...none })
          if (waiting === undefined || what === "silent") return Effect.void
          if (what === "outlived") {
            waiting.timings.push({ task: 1, device: there, ...none })
            const noticed = waitUntil("its loss is noticed", () => said.needed > 0)
            const answers = Deferred.succeed(waiting.logits, Float32Array.of(attempt))
            return Effect.andThen(Effect.andThen(Deferred.succeed(died, undefined), noticed), answers)
          }
          if (what === "answer") return Deferred.succeed(waiting.logits, Float32Array.of(attempt))
          const error = { tag: "DeviceLost" as const, message: "gone", retryable: true, hint: "" }
          const failed: AttemptFailed = { _tag: "AttemptFailed", blame: there, task: 0, error }
          return Deferred.fail(waiting.logits, failed)
        }),
      missing: () => {
        said.needed++
        return []
      },
      cancel: (_: string, attempt: number) => Effect.sync(() => void said.cancelled.push(attempt)),
    },
  }
  const answer = makeTries(actors as unknown as TryActors, admission(8), { remoteAttempts: 2 })
  return { answer, said }
}

const job = (deadlineMs = 20_000): Job => ({
  id: RequestId.make("r"),
  key: RequestId.make("r"),
  request: { image: new Uint8Array(1), slo: { latencyMs: 100 }, topK: 1, include: [] },
  arrivedMs: performance.now(),
  deadlineMs: performance.now() + deadlineMs,
  image: () => Effect.succeed(new Uint8Array(1)),
})

describe("a request", () => {
  it.live("whose try is overdue is answered by a second one without the device that it waits for", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: ["silent", "answer"] })
      const startMs = performance.now()
      const done = yield* answer(job())
      assert.deepStrictEqual([...done.outcome.logits], [1])
      assert.deepStrictEqual(said.excluded, [[], [there]])
      assert.deepStrictEqual(said.again, [false, true])
      assert.deepStrictEqual(done.recovery, {
        lost: [there],
        overdue: [there],
        hedged: true,
        predictedMs: 10,
      })
      assert.deepStrictEqual(said.cancelled, [0])
      assert.strictEqual(said.booked, 0)
      assert.isBelow(performance.now() - startMs, 5000)
    }),
  )

  it.live("whose overdue try answers while a second one is planned leaves nothing in the books", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: ["silent"], answersMeanwhile: true })
      const done = yield* answer(job())
      assert.deepStrictEqual([...done.outcome.logits], [0])
      assert.deepStrictEqual(said.excluded, [[], [there]])
      assert.strictEqual(said.booked, 0)
    }),
  )

  it.live("whose device is lost is planned anew without it, at once", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: ["lost", "answer"], predictedMs: 10_000 })
      const startMs = performance.now()
      const done = yield* answer(job(60_000))
      assert.isBelow(performance.now() - startMs, 5000)
      assert.deepStrictEqual(said.excluded, [[], [there]])
      assert.deepStrictEqual(said.again, [false, true])
      assert.deepStrictEqual(done.recovery, {
        lost: [there],
        overdue: [],
        hedged: false,
        predictedMs: 10_000,
      })
      assert.strictEqual(done.planned.strategy.devices.length, 1)
    }),
  )

  it.live("whose device dies while it is made ready does not wait for its answer", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: ["never ready", "answer"], predictedMs: 10_000 })
      const startMs = performance.now()
      const done = yield* answer(job(60_000))
      assert.isBelow(performance.now() - startMs, 5000)
      assert.deepStrictEqual(done.recovery, {
        lost: [there],
        overdue: [],
        hedged: false,
        predictedMs: 10_000,
      })
      assert.strictEqual(said.booked, 0)
    }),
  )

  it.live("whose device dies when its part is done goes on without it", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: ["outlived"], predictedMs: 10_000 })
      const done = yield* answer(job(60_000))
      assert.isUndefined(done.recovery)
      assert.deepStrictEqual(done.planned.strategy.devices, [here, there])
      assert.strictEqual(said.begun, 1)
    }),
  )

  it.live("that another device would answer too late is answered here, where that is in time", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({
        attempts: ["answer"],
        predictedMs: 30_000,
        hereMs: 100,
        backlogMs: 50,
      })
      const done = yield* answer(job())
      assert.deepStrictEqual(done.planned.strategy.devices, [here])
      assert.deepStrictEqual(said.excluded, [[], [there]])
      assert.strictEqual(done.replans, 0)
      assert.isUndefined(done.recovery)
    }),
  )

  it.live("that nobody would answer in time is refused at once", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: [], predictedMs: 30_000, hereMs: 25_000, backlogMs: 50 })
      const refused = yield* Effect.flip(answer(job()))
      assert.strictEqual(refused.tag, "Overloaded")
      assert.include(refused.detail, "25000 ms behind what is under way")
      assert.strictEqual(said.begun, 0)
    }),
  )

  it.live(
    "for a strategy is tried though its link is feared, and refused where its devices have too much to do",
    () =>
      Effect.gen(function* () {
        const insisting: Job = { ...job(), request: { ...job().request, strategy: split } }
        const feared = scripted({ attempts: ["answer"], predictedMs: 30_000, backlogMs: 50 })
        const done = yield* feared.answer(insisting)
        assert.deepStrictEqual(done.planned.strategy, split)
        const busy = scripted({ attempts: [], predictedMs: 50_000, backlogMs: 40_000 })
        const refused = yield* Effect.flip(busy.answer(insisting))
        assert.include(refused.detail, "40040 ms behind what is under way")
        assert.strictEqual(busy.said.begun, 0)
      }),
  )

  it.live("that is in time has one try and nothing to tell about recovery", () =>
    Effect.gen(function* () {
      const { answer, said } = scripted({ attempts: ["answer"] })
      const done = yield* answer(job())
      assert.strictEqual(done.replans, 0)
      assert.isUndefined(done.recovery)
      assert.strictEqual(said.begun, 1)
    }),
  )
})

describe("whom a try waits for", () => {
  it("are the devices of tasks whose inputs have all been computed", () => {
    const graph = taskGraph(tinySpec, split)
    assert.deepStrictEqual([...awaitedDevices(graph, new Set())], [0])
    assert.deepStrictEqual([...awaitedDevices(graph, new Set([0]))], [1])
    assert.deepStrictEqual([...awaitedDevices(graph, new Set([0, 1]))], [0])
  })

  it("are needed until what they made has arrived where it is used", () => {
    const graph = taskGraph(tinySpec, split)
    const returning = graph.edges.flatMap((e) => (e.crosses && e.fromDevice === 1 ? [e.index] : []))
    assert.isAbove(returning.length, 0)
    assert.isTrue(stillNeeds(graph, 1, new Set([0]), []))
    assert.isTrue(stillNeeds(graph, 1, new Set([0, 1]), returning))
    assert.isFalse(stillNeeds(graph, 1, new Set([0, 1]), []))
    // Nobody but a third device itself can tell what has arrived there.
    const third = normalizeStrategy(tinySpec, {
      ...split,
      devices: [here, there, "pi-3"],
      blocks: split.blocks.map((b, i) => (i > 5 ? { ...b, placement: [2] } : b)),
    })
    assert.isTrue(stillNeeds(taskGraph(tinySpec, third), 1, new Set([0, 1]), []))
    assert.isFalse(stillNeeds(taskGraph(tinySpec, third), 1, new Set([0, 1, 2]), []))
  })
})
