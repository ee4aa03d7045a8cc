/**
 * Where the results of tasks meet the requests that wait for them. A request may have two open attempts, when one is
 * overdue; what belongs to an attempt that was given up, or to a request that is over, is late: counted and dropped.
 */
import { Context, Deferred, Effect, Layer } from "effect"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { type ErrorBody, errorBodyOf, refusal } from "../subjects/ErrorReply.ts"
import type { TaskTiming } from "../subjects/InferMessages.ts"
import { logitsOf, type TaskResult } from "../subjects/PlanMessages.ts"
import { Backlog } from "./Backlog.ts"
import { Self } from "./Self.ts"

/** An attempt ended because a device could not run its task. */
export interface AttemptFailed {
  readonly _tag: "AttemptFailed"
  /** The device that is at fault: the one that failed, or the one that it could not send to. */
  readonly blame: DeviceId
  readonly task: number
  readonly error: ErrorBody
}

export interface OpenAttempt {
  readonly logits: Deferred.Deferred<Float32Array, AttemptFailed>
  readonly timings: Array<TaskTiming>
}

/** Names an attempt in books of all kinds. */
export const attemptKey = (requestId: string, attempt: number): string => `${requestId}/${attempt}`

export interface ResultsShape {
  readonly open: (requestId: RequestId, attempt: number) => OpenAttempt
  readonly close: (requestId: RequestId, attempt: number) => void
  readonly deliver: (message: TaskResult) => Effect.Effect<void>
}

const failed = (blame: DeviceId, task: number, error: ErrorBody): AttemptFailed => ({
  _tag: "AttemptFailed",
  blame,
  task,
  error,
})

const make = Effect.gen(function* () {
  const self = yield* Self
  const backlog = yield* Backlog
  const open = new Map<string, OpenAttempt>()
  const settle = (waiting: OpenAttempt, message: TaskResult) => {
    if (message._tag === "TaskDone") {
      waiting.timings.push(message.timing)
      return Effect.void
    }
    if (message._tag === "Logits") {
      const logits = logitsOf(message.logits)
      if (logits.length !== self.spec.classes.length || !logits.every(Number.isFinite)) {
        const detail = `${logits.length} logits, finite or not, where ${self.spec.classes.length} finite ones belong`
        const error = errorBodyOf(refusal("Internal", detail, "", true))
        return Deferred.fail(waiting.logits, failed(message.device, -1, error))
      }
      waiting.timings.push(message.timing)
      return Deferred.succeed(waiting.logits, logits)
    }
    const { device, blame = device, task, error } = message
    return Deferred.fail(waiting.logits, failed(blame, task, error))
  }
  return Results.of({
    open: (requestId, attempt) => {
      const waiting: OpenAttempt = { logits: Deferred.makeUnsafe(), timings: [] }
      open.set(attemptKey(requestId, attempt), waiting)
      return waiting
    },
    close: (requestId, attempt) => void open.delete(attemptKey(requestId, attempt)),
    deliver: (message) =>
      Effect.suspend(() => {
        if (message._tag !== "TaskFailed") {
          const { requestId, attempt, timing, device, othersMs } = message
          backlog.done(attemptKey(requestId, attempt), timing.task, device, othersMs)
        }
        const waiting = open.get(attemptKey(message.requestId, message.attempt))
        if (waiting !== undefined) return Effect.asVoid(settle(waiting, message))
        if (message._tag !== "TaskDone") self.counters.dropped++
        return Effect.void
      }),
  })
})

export class Results extends Context.Service<Results, ResultsShape>()("actors/Results") {
  static readonly layer = Layer.effect(Results, make)
}
