/**
 * Where the results of tasks meet the requests that wait for them. A request may have two open attempts, when one is
 * overdue; what belongs to an attempt that was given up, or to a request that is over, is late: counted and dropped. So is
 * what a device says about a task that is not its own.
 */
import { Context, Deferred, Effect, Layer } from "effect"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { type ErrorBody, errorBodyOf, refusal } from "../subjects/ErrorReply.ts"
import type { TaskTiming } from "../subjects/InferMessages.ts"
import { logitsOf, type TaskResult } from "../subjects/PlanMessages.ts"
import { imageSource } from "../supernet/TaskGraph.ts"
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
  /** One per task at most. */
  readonly timings: Array<TaskTiming>
}

/** What results of an attempt are checked against. */
export type Tried = Pick<PreparedStrategy, "strategyId" | "strategy" | "graph">

/** Names an attempt in books of all kinds. */
export const attemptKey = (requestId: string, attempt: number): string => `${requestId}/${attempt}`

export interface ResultsShape {
  readonly open: (requestId: RequestId, attempt: number, tried: Tried) => OpenAttempt
  readonly close: (requestId: RequestId, attempt: number) => void
  readonly deliver: (message: TaskResult) => Effect.Effect<void>
}

const failed = (blame: DeviceId, task: number, error: ErrorBody): AttemptFailed => ({
  _tag: "AttemptFailed",
  blame,
  task,
  error,
})

/** Whether a message speaks of this strategy, of a task of it, and comes from the device that runs that task. */
const belongs = ({ strategyId, strategy, graph }: Tried, message: TaskResult): boolean => {
  if (message.strategyId !== strategyId) return false
  const { devices } = strategy
  if (message._tag === "TaskFailed" && message.task === imageSource) return message.device === devices[0]
  const index = message._tag === "TaskFailed" ? message.task : message.timing.task
  const task = graph.tasks[index]
  if (task === undefined || devices[task.device] !== message.device) return false
  if (message._tag === "TaskFailed") return true
  const isHead = index === graph.tasks.length - 1
  return message.timing.device === message.device && (message._tag === "Logits") === isHead
}

interface Waiting extends OpenAttempt {
  readonly tried: Tried
}

const make = Effect.gen(function* () {
  const self = yield* Self
  const backlog = yield* Backlog
  const open = new Map<string, Waiting>()
  const took = ({ timings }: Waiting, timing: TaskTiming) => {
    if (!timings.some((t) => t.task === timing.task)) timings.push(timing)
  }
  const settle = (waiting: Waiting, message: TaskResult) => {
    if (message._tag === "TaskDone") {
      took(waiting, message.timing)
      return Effect.void
    }
    if (message._tag === "Logits") {
      const logits = logitsOf(message.logits)
      if (logits.length !== self.spec.classes.length || !logits.every(Number.isFinite)) {
        const detail = `${logits.length} logits, finite or not, where ${self.spec.classes.length} finite ones belong`
        const error = errorBodyOf(refusal("Internal", detail, "", true))
        return Deferred.fail(waiting.logits, failed(message.device, -1, error))
      }
      took(waiting, message.timing)
      return Deferred.succeed(waiting.logits, logits)
    }
    const { device, blame = device, task, error } = message
    // Nobody else can have been sent to.
    const isPart = waiting.tried.strategy.devices.includes(blame)
    return Deferred.fail(waiting.logits, failed(isPart ? blame : device, task, error))
  }
  return Results.of({
    open: (requestId, attempt, tried) => {
      const waiting: Waiting = { logits: Deferred.makeUnsafe(), timings: [], tried }
      open.set(attemptKey(requestId, attempt), waiting)
      return waiting
    },
    close: (requestId, attempt) => void open.delete(attemptKey(requestId, attempt)),
    deliver: (message) =>
      Effect.suspend(() => {
        const key = attemptKey(message.requestId, message.attempt)
        const waiting = open.get(key)
        // How much it has to do a device may say at any time; it says so about itself.
        if (message._tag !== "TaskFailed") backlog.said(message.device, message.othersMs)
        if (waiting !== undefined && belongs(waiting.tried, message)) {
          if (message._tag !== "TaskFailed") backlog.done(key, message.timing.task)
          return Effect.asVoid(settle(waiting, message))
        }
        if (waiting !== undefined || message._tag !== "TaskDone") self.counters.dropped++
        return Effect.void
      }),
  })
})

export class Results extends Context.Service<Results, ResultsShape>()("actors/Results") {
  static readonly layer = Layer.effect(Results, make)
}
