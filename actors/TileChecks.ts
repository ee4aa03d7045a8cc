/** What an Executor says about tiles and tasks: what is wrong with one that arrives, why one did not get away, how long one took. */
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { TaskOutcome } from "../devices/engine/EngineProtocol.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type ErrorBody, errorBodyOf, refusal } from "../subjects/ErrorReply.ts"
import type { TaskTiming } from "../subjects/InferMessages.ts"
import type { Tile } from "../subjects/TileCodec.ts"
import type { TileSendError } from "../subjects/Outbox.ts"
import { regionHeight, regionWidth } from "../supernet/Partition.ts"

/** How a tile contradicts the strategy that it names; empty when it does not. */
export const tileProblem = (
  { graph, strategy, device }: PreparedStrategy,
  tile: Tile,
  from: DeviceId,
): string => {
  const edge = graph.edges[tile.edge]
  if (edge === undefined) return `edge ${tile.edge} of a strategy with ${graph.edges.length} edges`
  if (edge.toDevice !== device || !edge.crosses)
    return `edge ${edge.index} does not lead from another device to this one`
  const sender = strategy.devices[edge.fromDevice]
  if (sender !== from) return `edge ${edge.index} from ${from}, which comes from ${sender}`
  const [height, width] = [regionHeight(edge.region), regionWidth(edge.region)]
  const [c, h, w] = tile.shape
  if (c !== edge.channels || h !== height || w !== width) {
    return `shape ${c}x${h}x${w} for edge ${edge.index}, which carries ${edge.channels}x${height}x${width}`
  }
  return tile.bits === edge.bits ? "" : `${tile.bits} bits for edge ${edge.index}, which carries ${edge.bits}`
}

/** What the receiver said, or that there is no receiver (any more). */
export const sendError = (e: TileSendError, to: DeviceId): ErrorBody => {
  if (e._tag === "Refused") return { tag: e.tag, message: e.detail, retryable: e.retryable, hint: e.hint }
  return errorBodyOf(refusal("DeviceLost", `${to} did not take a tile: ${e.message}`, "", true))
}

type Before = Pick<TaskTiming, "device" | "task" | "gatherMs" | "bytesIn">

/** What was known before the task ran, and what the engine measured. */
export const taskTiming = (before: Before, { timings, outgoing }: TaskOutcome): TaskTiming => ({
  ...before,
  queueMs: timings.queueMs,
  computeMs: timings.assembleMs + timings.computeMs + timings.heldMs,
  packMs: timings.encodeMs,
  bytesOut: outgoing.reduce((sum, p) => sum + p.data.byteLength, 0),
  ...(timings.overrunMs > 0 ? { overrunMs: timings.overrunMs } : {}),
})
