/**
 * Runs this device's tasks of every request under way: takes tiles in (`Intake.ts`), starts a task when its last input is
 * there and sends its pieces straight to the devices that need them (`Tasks.ts`), and the logits to the device that serves
 * the client (`Reports.ts`).
 *
 * Nothing here knows what a request is for. What it needs to know is in the tile: request, attempt, strategy, edge.
 */
import { Context, Effect, Layer, Schedule } from "effect"
import { Engine } from "../devices/engine/Engine.ts"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import { imagePiece } from "../devices/engine/Pieces.ts"
import type { RequestId } from "../subjects/DeviceId.ts"
import { lasting } from "../subjects/Lasting.ts"
import type { ResultMessage } from "../subjects/PlanMessages.ts"
import { type Edge, imageSource } from "../supernet/TaskGraph.ts"
import { Backlog } from "./Backlog.ts"
import { makeIntake } from "./Intake.ts"
import { makeReports } from "./Reports.ts"
import type { Running } from "./Running.ts"
import { Self } from "./Self.ts"
import { makeTasks } from "./Tasks.ts"
import { Underway } from "./Underway.ts"

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

const make = Effect.gen(function* () {
  const self = yield* Self
  const engine = yield* Engine
  const underway = new Underway(self.device, engine, yield* Backlog, self.memory.tileBytes)
  const reports = yield* makeReports
  const tasks = yield* makeTasks(underway, reports)

  const begin: ExecutorShape["begin"] = Effect.fnUntraced(function* (options) {
    const { requestId, attempt, prepared, image, budgetMs } = options
    const r = underway.open(requestId, attempt, prepared, budgetMs)
    const size = prepared.strategy.submodel.resolution
    const pieceOf = (e: Edge) => imagePiece(e.index, image, size, e.region)
    const ofImage = prepared.graph.edges.filter((e) => e.from === imageSource)
    const away = ofImage.filter((e) => e.crosses).map(pieceOf)
    for (const e of ofImage) if (!e.crosses) tasks.take(r, pieceOf(e))
    if (r.work.tasks.length === 0) underway.over(r)
    yield* tasks.send(r, -1, away)
  })
  const stop = (r: Running | undefined) => (r === undefined ? Effect.void : tasks.stop(r))
  const cancel: ExecutorShape["cancel"] = (requestId, attempt, { strategy }) =>
    Effect.suspend(() =>
      // Marked as given up here too: a tile that comes late must not open it again.
      Effect.andThen(
        stop(underway.giveUp(requestId, attempt, self.device)),
        reports.givenUp(requestId, attempt, strategy),
      ),
    )
  const abandon: ExecutorShape["abandon"] = ({ requestId, attempt, device }) =>
    Effect.suspend(() => stop(underway.giveUp(requestId, attempt, device)))

  const sweep = Effect.suspend(() => {
    const late = underway.late()
    self.counters.dropped += late.length
    return Effect.forEach(late, (r) => underway.forget(r), { discard: true })
  })
  const count = Effect.map(
    engine.stats,
    ({ strategies, sessions, built }) => void Object.assign(self.counters, { strategies, sessions, built }),
  )

  yield* makeIntake(underway, tasks)
  yield* Effect.forkScoped(lasting("sweep", sweep).pipe(Effect.repeat(Schedule.spaced("1 second"))))
  yield* Effect.forkScoped(lasting("counts", count).pipe(Effect.repeat(Schedule.spaced("5 seconds"))))
  return Executor.of({
    begin,
    cancel,
    abandon,
    missing: (requestId, attempt) => underway.get(requestId, attempt)?.work.missing() ?? [],
    active: () => underway.size + tasks.sending(),
  })
})

export class Executor extends Context.Service<Executor, ExecutorShape>()("actors/Executor") {
  static readonly layer = Layer.effect(Executor, make)
}
