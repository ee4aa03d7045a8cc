/** Messages of the actors that decide and prepare: whoever wants a plan -> Planner, Reconfig -> Executors, Executor -> Scheduler. */
import { Schema } from "effect"
import { DeviceId, RequestId, StrategyId, WireStrategy } from "./DeviceId.ts"
import { ErrorBody } from "./ErrorReply.ts"
import { DecisionOrigin, Finder, Slo, TaskTiming } from "./InferMessages.ts"

/** Scheduler -> Planner: what to run for this goal, now. */
export const PlanRequest = Schema.Struct({
  requestId: RequestId,
  slo: Slo,
  /** Devices that must not be used: they failed this request already. */
  exclude: Schema.Array(DeviceId),
  /** How long the request waited for its turn: a latency objective is for what is left. */
  waitedMs: Schema.optionalKey(Schema.Finite),
  /** How long the request has been under way, where a try was lost or is overdue: what is planned now must begin at once. */
  spentMs: Schema.optionalKey(Schema.Finite),
})
export type PlanRequest = typeof PlanRequest.Type

export const PlanReply = Schema.Struct({
  strategyId: StrategyId,
  strategy: WireStrategy,
  predicted: Schema.Struct({ latencyMs: Schema.Finite, accuracy: Schema.Finite }),
  origin: DecisionOrigin,
  /** Absent where the client gave the strategy. */
  foundBy: Schema.optionalKey(Finder),
  /** False where the planner knows that nothing it has can meet the SLO; the strategy is then the nearest miss. */
  feasible: Schema.Boolean,
  planMs: Schema.Finite,
})
export type PlanReply = typeof PlanReply.Type

/** Reconfig of the serving device -> Executor: make this strategy's segments ready and keep them. */
export const ReconfigRequest = Schema.Struct({
  from: DeviceId,
  strategyId: StrategyId,
  strategy: WireStrategy,
  /** Both sides must hold the same weights; otherwise the refusal is `Incompatible`. */
  supernet: Schema.Struct({ name: Schema.String, version: Schema.String }),
})
export type ReconfigRequest = typeof ReconfigRequest.Type

export const ReconfigAck = Schema.Struct({
  device: DeviceId,
  strategyId: StrategyId,
  /** Number of this device's tasks in the strategy, and how many of their sessions had to be built now. */
  tasks: Schema.Int,
  built: Schema.Int,
  prepareMs: Schema.Finite,
})
export type ReconfigAck = typeof ReconfigAck.Type

const resultHead = {
  requestId: RequestId,
  strategyId: StrategyId,
  /** Counts the plans of a request: results of an earlier attempt are recognised and dropped. */
  attempt: Schema.Int,
  device: DeviceId,
  /** Work that this device has taken on for others than the serving one, ms: fresher than its last beat. */
  othersMs: Schema.optionalKey(Schema.Finite),
}

/** Executor -> serving Scheduler, once per task: the head's carries the logits. And back, when nobody waits for a try any more. */
export const ResultMessage = Schema.Union([
  Schema.TaggedStruct("Logits", {
    ...resultHead,
    /** Little-endian float32, one per class. */
    logits: Schema.Uint8Array,
    timing: TaskTiming,
  }),
  /** A task that is not the head finished: for the timeline, for the latency model, and as a sign of life. */
  Schema.TaggedStruct("TaskDone", { ...resultHead, timing: TaskTiming }),
  /** A task cannot be run: the Scheduler plans anew at once instead of waiting for a deadline. */
  Schema.TaggedStruct("TaskFailed", {
    ...resultHead,
    task: Schema.Int,
    /** The device that the outputs could not be sent to, where that is what failed. */
    blame: Schema.optionalKey(DeviceId),
    error: ErrorBody,
  }),
  /** Serving Scheduler -> Executor: a try was given up, so what is left of it need not be computed. */
  Schema.TaggedStruct("GivenUp", { requestId: RequestId, attempt: Schema.Int, device: DeviceId }),
]).pipe(Schema.toTaggedUnion("_tag"))
export type ResultMessage = typeof ResultMessage.Type
/** What became of a task. */
export type TaskResult = Exclude<ResultMessage, { readonly _tag: "GivenUp" }>

/** Logits as float32 of the host; copies, so it does not keep the network buffer alive. */
export const logitsOf = (bytes: Uint8Array): Float32Array => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Float32Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, i) =>
    view.getFloat32(i * 4, true),
  )
}

export const logitsBytes = (logits: ArrayLike<number>): Uint8Array => {
  const view = new DataView(new ArrayBuffer(logits.length * 4))
  for (let i = 0; i < logits.length; i++) view.setFloat32(i * 4, logits[i] ?? 0, true)
  return new Uint8Array(view.buffer)
}
