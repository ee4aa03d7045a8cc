/**
 * Runs the tasks of attempts under way: each starts when its last input is there; when it is done, the tasks that it
 * completes start, its pieces go to the devices that need them, and the device that serves the request hears of it.
 */
import { Effect, FiberMap } from "effect"
import {
  Engine,
  type EngineShape,
  type EngineUnavailable,
  type TaskFailed,
} from "../devices/engine/Engine.ts"
import type { Piece } from "../devices/engine/Pieces.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type ErrorBody, errorBody, errorBodyOf, refusal } from "../subjects/ErrorReply.ts"
import { sendPieces } from "./Outgoing.ts"
import type { Reports } from "./Reports.ts"
import { originOf, type Running, takeIn, takeOut } from "./Running.ts"
import { type Counters, Self } from "./Self.ts"
import { taskTiming } from "./TileChecks.ts"
import { Tiles } from "./Tiles.ts"
import type { Underway } from "./Underway.ts"

export interface Tasks {
  /** Takes an input in; starts the tasks that it completes. */
  readonly take: (r: Running, piece: Piece) => void
  /** Sends pieces that a task made (-1: of the image) to other devices; the attempt fails where one does not arrive. */
  readonly send: (r: Running, task: number, pieces: ReadonlyArray<Piece>) => Effect.Effect<void>
  /** Forgets an attempt and stops its tasks. */
  readonly stop: (r: Running) => Effect.Effect<void>
  /** Tasks whose output is being sent. */
  readonly sending: () => number
}

/** The outcome of a task, or none once nobody waits for it. */
const compute = (
  engine: EngineShape,
  counters: Counters,
  r: Running,
  task: number,
  pieces: ReadonlyArray<Piece>,
) =>
  Effect.suspend(() => {
    counters.tasksQueued++
    // Earliest deadline first: the last segment of an old request goes before the first one of a new request.
    const priority = -r.expiresMs
    return engine
      .run({ requestId: r.key, strategyId: r.prepared.strategyId, task, pieces, priority })
      .pipe(
        Effect.timeoutOption(Math.max(1, r.expiresMs - performance.now())),
        Effect.result,
        Effect.ensuring(Effect.sync(() => counters.tasksQueued--)),
      )
  })

/** A strategy that the engine lost is said to be unknown: it can be made ready again. */
const bodyOf = (failure: TaskFailed | EngineUnavailable): ErrorBody =>
  failure._tag === "TaskFailed" && failure.problem === "StrategyNotPrepared"
    ? errorBodyOf(refusal("UnknownStrategy", failure.found, failure.hint, true))
    : errorBody(failure)

export const makeTasks = (underway: Underway, reports: Reports) =>
  Effect.gen(function* () {
    const { device: me, counters } = yield* Self
    const tiles = yield* Tiles
    const engine = yield* Engine
    const fibers = yield* FiberMap.make<string>()
    const startFiber = yield* FiberMap.runtime(fibers)()
    let sending = 0

    const start = (r: Running, ready: ReadonlyArray<number>) => {
      for (const task of ready) if (!r.hasFailed) startFiber(`${r.key}/${task}`, run(r, task))
    }
    const end = (r: Running, which: ReadonlyArray<number>) =>
      Effect.forEach(which, (task) => FiberMap.remove(fibers, `${r.key}/${task}`), { discard: true })
    /** The first failure is told, and ends all else: what fails after it, fails because of it. */
    const fail = (r: Running, task: number, error: ErrorBody, blame: DeviceId = me) =>
      Effect.suspend(() => {
        if (r.hasFailed) return Effect.void
        r.hasFailed = true
        // A tile that comes late must not open it again.
        underway.giveUp(r.requestId, r.attempt, originOf(r))
        const others = r.work.tasks.filter((t) => t !== task)
        return Effect.andThen(
          underway.forget(r),
          Effect.andThen(reports.failed(r, task, error, blame), end(r, others)),
        )
      })
    const send: Tasks["send"] = (r, task, pieces) =>
      sendPieces(tiles, r, pieces, (error, peer) => fail(r, task, error, peer))

    const run = Effect.fnUntraced(function* (r: Running, task: number) {
      const { inputs, gathered } = takeOut(r, task)
      const exit = yield* compute(engine, counters, r, task, inputs)
      r.heldBytes -= gathered.bytesIn
      if (exit._tag === "Failure") return yield* fail(r, task, bodyOf(exit.failure))
      if (exit.success._tag === "None") {
        // Nobody waits for it any more; the worker was told to skip it.
        counters.dropped++
        return yield* underway.forget(r)
      }
      const { outgoing, logits, timings } = exit.success.value
      counters.tasks++
      counters.computeMs += timings.computeMs + timings.heldMs
      start(r, underway.done(r, task))
      const told = reports.done(r, taskTiming({ device: me, ...gathered }, exit.success.value), logits)
      sending++
      yield* Effect.all([send(r, task, outgoing), told], { concurrency: "unbounded", discard: true }).pipe(
        Effect.ensuring(Effect.sync(() => sending--)),
      )
    })
    const stop: Tasks["stop"] = (r) => Effect.andThen(underway.forget(r), end(r, r.work.tasks))
    const tasks: Tasks = {
      take: (r, piece) => start(r, takeIn(r, piece)),
      send,
      stop,
      sending: () => sending,
    }
    return tasks
  })
