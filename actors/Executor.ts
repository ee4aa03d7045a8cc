/**
 * Runs this device's tasks of every request under way: takes tiles in, starts a task when its last input is there, sends
 * its pieces straight to the devices that need them, and the logits to the device that serves the client.
 *
 * Nothing here knows what a request is for. What it needs to know is in the tile: request, attempt, strategy, edge.
 */
import { Context, Effect, FiberMap, Layer, Schedule } from "effect"
import { Engine, type PreparedStrategy } from "../devices/engine/Engine.ts"
import { imagePiece, type Piece } from "../devices/engine/Pieces.ts"
import { Bus } from "../subjects/Bus.ts"
import { resultMessage } from "../subjects/Codecs.ts"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { type ErrorBody, errorBody, errorBodyOf, type ErrorTag, refusal } from "../subjects/ErrorReply.ts"
import { logitsBytes, type ResultMessage, type TaskResult } from "../subjects/PlanMessages.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { Tile } from "../subjects/TileCodec.ts"
import { makeTileReceiver } from "../subjects/TileReceiver.ts"
import { regionHeight, regionWidth } from "../supernet/Partition.ts"
import { type Edge, imageSource } from "../supernet/TaskGraph.ts"
import { Backlog } from "./Backlog.ts"
import { lru } from "./Decided.ts"
import { Membership } from "./Membership.ts"
import { attemptKey, Results } from "./Results.ts"
import { budgetLeftMs, originOf, type Running, startRunning } from "./Running.ts"
import { Self } from "./Self.ts"
import { sendError, taskTiming, tileProblem } from "./TileChecks.ts"
import { Tiles } from "./Tiles.ts"

export interface BeginOptions {
  readonly requestId: RequestId
  readonly attempt: number
  readonly prepared: PreparedStrategy
  /** RGB bytes, resolution x resolution x 3. */
  readonly image: Uint8Array
  readonly budgetMs: number
}

export interface ExecutorShape {
  /** On the serving device: hands out the image's pieces and starts what can start. */
  readonly begin: (options: BeginOptions) => Effect.Effect<void>
  /** On the serving device: gives up an attempt. What is left of it is dropped, here and on the others. */
  readonly cancel: (requestId: RequestId, attempt: number, prepared: PreparedStrategy) => Effect.Effect<void>
  /** Another device gave up an attempt that it serves. */
  readonly abandon: (message: Extract<ResultMessage, { readonly _tag: "GivenUp" }>) => Effect.Effect<void>
  /** Edges that tasks of an attempt on this device still wait for. */
  readonly missing: (requestId: RequestId, attempt: number) => ReadonlyArray<number>
  /** Attempts under way on this device, and tasks whose output is being sent. */
  readonly active: () => number
}

/** Attempts that a device works on at once; tiles of further ones are refused as Overloaded. */
const maxRunning = 512
/** Attempts given up by others that are remembered: their tiles may still be on their way. */
const maxGivenUp = 512

const ownBytes = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

const make = Effect.gen(function* () {
  const engine = yield* Engine
  const bus = yield* Bus
  const backlog = yield* Backlog
  const self = yield* Self
  const results = yield* Results
  const tiles = yield* Tiles
  const membership = yield* Membership
  const me = self.device
  const running = new Map<string, Running>()
  /** By whom, by attempt. */
  const givenUp = lru<DeviceId>(maxGivenUp)
  const fibers = yield* FiberMap.make<string>()
  let sending = 0

  const tell = (to: DeviceId, message: ResultMessage): Effect.Effect<void> =>
    bus
      .publish(Subjects.result(to, me), resultMessage.encode(message))
      .pipe(Effect.catch((e) => Effect.sync(() => self.noteError(e._tag, e.message))))
  const report = (r: Running, message: TaskResult): Effect.Effect<void> => {
    const origin = originOf(r)
    return origin === me ? results.deliver(message) : tell(origin, message)
  }
  const head = (r: Running) => ({
    requestId: r.requestId,
    strategyId: r.prepared.strategyId,
    attempt: r.attempt,
    device: me,
    othersMs: backlog.othersMs(originOf(r)),
  })
  const fail = (r: Running, task: number, error: ErrorBody, blame: DeviceId = me) => {
    self.noteError(error.tag, error.message)
    return Effect.andThen(forget(r), report(r, { _tag: "TaskFailed", ...head(r), task, blame, error }))
  }
  const forget = (r: Running) =>
    Effect.suspend(() => {
      over(r)
      return engine.drop(r.key)
    })
  const over = (r: Running) => {
    running.delete(r.key)
    backlog.hostClose(r.key)
  }

  const open = (
    requestId: RequestId,
    attempt: number,
    prepared: PreparedStrategy,
    budgetMs: number,
  ): Running => {
    const key = attemptKey(requestId, attempt)
    const found = running.get(key)
    if (found !== undefined) return found
    const started = startRunning(requestId, attempt, prepared, budgetMs)
    running.set(key, started)
    // What this device serves itself was booked when it was planned.
    if (originOf(started) !== me) backlog.host(key, originOf(started), prepared)
    return started
  }

  /** Takes an input in; starts the tasks that it completes. */
  const take = (r: Running, piece: Piece) => {
    const task = r.prepared.graph.edges[piece.edge]?.to ?? -1
    const arrival = r.work.arrive(piece.edge)
    if (arrival.kind !== "taken") return
    r.pieces.set(task, [...(r.pieces.get(task) ?? []), piece])
    if (!r.firstInputMs.has(task)) r.firstInputMs.set(task, performance.now())
    for (const ready of arrival.ready) start(r, ready)
  }

  const start = (r: Running, task: number) => {
    startFiber(`${r.key}/${task}`, runTask(r, task))
  }

  const runTask = Effect.fnUntraced(function* (r: Running, task: number) {
    const readyMs = performance.now()
    const pieces = r.pieces.get(task) ?? []
    r.pieces.delete(task)
    const bytesIn = pieces.reduce((sum, p) => sum + p.data.byteLength, 0)
    self.counters.tasksQueued++
    const exit = yield* (
      engine
        // Earliest deadline first: the last segment of an old request goes before the first one of a new request.
        .run({ requestId: r.key, strategyId: r.prepared.strategyId, task, pieces, priority: -r.expiresMs })
        .pipe(
          Effect.timeoutOption(Math.max(1, r.expiresMs - performance.now())),
          Effect.result,
          Effect.ensuring(Effect.sync(() => self.counters.tasksQueued--)),
        )
    )
    if (exit._tag === "Failure") return yield* fail(r, task, errorBody(exit.failure))
    if (exit.success._tag === "None") {
      // Nobody waits for it any more; the worker was told to skip it.
      self.counters.dropped++
      return yield* forget(r)
    }
    const outcome = exit.success.value
    backlog.hostDone(r.key, task)
    self.counters.tasks++
    self.counters.computeMs += outcome.timings.computeMs + outcome.timings.heldMs
    const timing = taskTiming(
      { device: me, task, gatherMs: readyMs - (r.firstInputMs.get(task) ?? readyMs), bytesIn },
      outcome,
    )
    for (const next of r.work.done(task)) start(r, next)
    if (r.work.remaining() === 0) over(r)
    const done: TaskResult =
      outcome.logits === undefined
        ? { _tag: "TaskDone", ...head(r), timing }
        : { _tag: "Logits", ...head(r), logits: logitsBytes(outcome.logits), timing }
    sending++
    yield* Effect.all([send(r, task, outcome.outgoing), report(r, done)], {
      concurrency: "unbounded",
      discard: true,
    }).pipe(Effect.ensuring(Effect.sync(() => sending--)))
  })

  /** All pieces at once: each peer has its own window, so a slow link holds up nobody else. */
  const send = (r: Running, task: number, pieces: ReadonlyArray<Piece>) =>
    Effect.forEach(
      pieces,
      (piece) => {
        const edge = r.prepared.graph.edges[piece.edge]
        const to = edge === undefined ? undefined : r.prepared.strategy.devices[edge.toDevice]
        if (edge === undefined || to === undefined) return Effect.void
        const tile: Tile = {
          requestId: r.requestId,
          attempt: r.attempt,
          strategyId: r.prepared.strategyId,
          edge: piece.edge,
          shape: [edge.channels, regionHeight(edge.region), regionWidth(edge.region)],
          bits: piece.bits,
          scale: piece.scale,
          zeroPoint: piece.zeroPoint,
          budgetMs: Math.max(1, budgetLeftMs(r)),
          bytes: new Uint8Array(piece.data),
        }
        const peer = to as DeviceId
        return tiles.send(peer, tile).pipe(Effect.catch((e) => fail(r, task, sendError(e, peer), peer)))
      },
      { concurrency: "unbounded", discard: true },
    )

  const refuse = (tag: ErrorTag, detail: string, hint: string, retryable = false) => {
    self.counters.dropped++
    return errorBodyOf(refusal(tag, detail, hint, retryable))
  }
  /** A tile from another device: taken (undefined), or refused in words. */
  const accept = (tile: Tile): ErrorBody | undefined => {
    if (!membership.takesWork()) return refuse("Leaving", `${me} is shutting down`, "plan without it", true)
    const prepared = engine.prepared(tile.strategyId)
    if (prepared === undefined) {
      const hint = "send reconfig.<device> with the strategy first"
      return refuse("UnknownStrategy", `strategy ${tile.strategyId} is not known here`, hint, true)
    }
    const problem = tileProblem(prepared, tile)
    if (problem !== "") return refuse("BadTile", problem, "both devices must hold the same strategy")
    if (givenUp.get(attemptKey(tile.requestId, tile.attempt)) === prepared.strategy.devices[0]) {
      self.counters.dropped++
      return undefined
    }
    if (running.size >= maxRunning && !running.has(attemptKey(tile.requestId, tile.attempt))) {
      return refuse("Overloaded", `${running.size} requests are under way here`, "try again later", true)
    }
    const { edge, bits, scale, zeroPoint } = tile
    const r = open(tile.requestId, tile.attempt, prepared, tile.budgetMs)
    take(r, { edge, bits, scale, zeroPoint, data: ownBytes(tile.bytes) })
    return undefined
  }

  const begin = Effect.fnUntraced(function* ({
    requestId,
    attempt,
    prepared,
    image,
    budgetMs,
  }: BeginOptions) {
    const r = open(requestId, attempt, prepared, budgetMs)
    const { edges } = prepared.graph
    const size = prepared.strategy.submodel.resolution
    const pieceOf = (e: Edge) => imagePiece(e.index, image, size, e.region)
    const ofImage = edges.filter((e) => e.from === imageSource)
    const away = ofImage.filter((e) => e.crosses).map(pieceOf)
    for (const e of ofImage) if (!e.crosses) take(r, pieceOf(e))
    if (r.work.tasks.length === 0) over(r)
    yield* send(r, -1, away)
  })

  const drop = (r: Running | undefined) =>
    r === undefined
      ? Effect.void
      : Effect.andThen(
          forget(r),
          Effect.forEach(r.work.tasks, (t) => FiberMap.remove(fibers, `${r.key}/${t}`), { discard: true }),
        )
  const cancel: ExecutorShape["cancel"] = (requestId, attempt, { strategy }) =>
    Effect.suspend(() => {
      const message = { _tag: "GivenUp", requestId, attempt, device: me } as const
      const others = Effect.forEach(strategy.devices.slice(1), (d) => tell(d as DeviceId, message), {
        discard: true,
      })
      return Effect.andThen(drop(running.get(attemptKey(requestId, attempt))), others)
    })
  const abandon: ExecutorShape["abandon"] = ({ requestId, attempt, device }) =>
    Effect.suspend(() => {
      const key = attemptKey(requestId, attempt)
      givenUp.set(key, device)
      const r = running.get(key)
      // Whose attempt it is, is in its strategy; nobody else can give it up.
      return drop(r !== undefined && originOf(r) === device ? r : undefined)
    })

  const sweep = Effect.suspend(() => {
    const now = performance.now()
    const late = [...running.values()].filter((r) => r.expiresMs < now)
    self.counters.dropped += late.length
    return Effect.forEach(late, forget, { discard: true })
  })

  const count = Effect.map(engine.stats, ({ sessions }) => void (self.counters.sessions = sessions))

  const startFiber = yield* FiberMap.runtime(fibers)()
  yield* makeTileReceiver({ device: me, accept })
  yield* Effect.forkScoped(sweep.pipe(Effect.repeat(Schedule.spaced("1 second"))))
  yield* Effect.forkScoped(Effect.ignore(count).pipe(Effect.repeat(Schedule.spaced("5 seconds"))))
  return Executor.of({
    begin,
    cancel,
    abandon,
    missing: (requestId, attempt) => running.get(attemptKey(requestId, attempt))?.work.missing() ?? [],
    active: () => running.size + sending,
  })
})

export class Executor extends Context.Service<Executor, ExecutorShape>()("actors/Executor") {
  static readonly layer = Layer.effect(Executor, make)
}
