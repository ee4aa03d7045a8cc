/**
 * Receives tiles: decodes, checks, assembles, hands whole regions to the executor and acknowledges every chunk. Runs in
 * the network callback, because a tile costs microseconds here; what takes time belongs behind `accept`'s own queue.
 */
import { Effect, Result, Schedule, type Scope } from "effect"
import type { Msg } from "nats"
import { Bus } from "./Bus.ts"
import { monotonicMs } from "./Connection.ts"
import { type DeviceId, isDeviceId } from "./DeviceId.ts"
import { type EndpointStats, endpointStats, tracked } from "./EndpointStats.ts"
import { type ErrorBody, errorBody, errorBodyOf, refusal } from "./ErrorReply.ts"
import { lasting } from "./Lasting.ts"
import * as Subjects from "./Subjects.ts"
import { encodeRefused, encodeTaken } from "./TileAck.ts"
import { type AssemblyLimits, TileAssembly } from "./TileAssembly.ts"
import { decodeTileChunk, type Tile } from "./TileCodec.ts"

export interface TileReceiverOptions {
  readonly device: DeviceId
  /**
   * Takes a whole region (undefined) or says why not: UnknownStrategy, BadTile, Overloaded ... The sender gets it as a
   * typed error at once. `tile.bytes` is a view of the network buffer and may be kept. Must not block.
   */
  readonly accept: (tile: Tile, from: DeviceId) => ErrorBody | undefined
  readonly limits?: AssemblyLimits
}

export interface TileReceiver {
  readonly stats: EndpointStats
}

/** Resolves once the server knows the subscription. */
export const makeTileReceiver = (
  options: TileReceiverOptions,
): Effect.Effect<TileReceiver, never, Bus | Scope.Scope> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const subject = Subjects.tile(options.device, Subjects.anyDevice)
    const stats = yield* tracked(bus.endpoints, endpointStats("tile", subject))
    const assembly = new TileAssembly(options.limits)
    const take = (message: Msg) => onMessage(options, assembly, stats, message)
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        bus.nats.subscribe(subject, { callback: (error, m) => (error === null ? take(m) : undefined) }),
      ),
      (subscription) => Effect.sync(() => subscription.unsubscribe()),
    )
    yield* Effect.promise(() => bus.nats.flush().catch(() => undefined))
    yield* lasting(
      "sweep of regions",
      Effect.sync(() => assembly.sweep(monotonicMs())),
    ).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)
    return { stats }
  })

const full = errorBodyOf(
  refusal(
    "Overloaded",
    "too many regions are half received",
    "send less at once, or finish what was begun",
    true,
  ),
)

const stalled = errorBodyOf(
  refusal(
    "Overloaded",
    "nothing came of the region for too long: what was there of it has been dropped",
    "send the whole region again, as another attempt",
    true,
  ),
)

const onMessage = (
  options: TileReceiverOptions,
  assembly: TileAssembly,
  stats: EndpointStats,
  message: Msg,
): void => {
  const arrivedMs = monotonicMs()
  stats.requests++
  const error = verdict(options, assembly, stats, message, arrivedMs)
  const processingMs = monotonicMs() - arrivedMs
  stats.processingNs += Math.round(processingMs * 1e6)
  if (error === undefined) {
    if (message.reply) message.respond(encodeTaken(processingMs))
    return
  }
  stats.errors++
  stats.lastError = `${error.tag}: ${error.message}`
  if (message.reply) message.respond(encodeRefused(error))
}

const verdict = (
  options: TileReceiverOptions,
  assembly: TileAssembly,
  stats: EndpointStats,
  message: Msg,
  nowMs: number,
): ErrorBody | undefined => {
  const bad = (detail: string) => {
    stats.bad++
    return errorBodyOf(refusal("BadTile", detail, "sender and receiver disagree about the tile format"))
  }
  const from = message.subject.split(".")[2] ?? ""
  const chunk = decodeTileChunk(message.data)
  if (Result.isFailure(chunk)) return bad(chunk.failure.message)
  if (!isDeviceId(from)) return bad("malformed sender id")
  const out = assembly.accept(from, chunk.success, nowMs)
  if (out._tag === "Partial" || out._tag === "Duplicate") return undefined
  if (out._tag === "Refused") return bad(out.error.message)
  if (out._tag === "Full" || out._tag === "Stalled") {
    stats.dropped++
    return out._tag === "Full" ? full : stalled
  }
  const error = guarded(options, out.tile, from)
  if (error !== undefined) assembly.forget(from, out.tile)
  return error
}

const guarded = (options: TileReceiverOptions, tile: Tile, from: DeviceId): ErrorBody | undefined => {
  try {
    return options.accept(tile, from)
  } catch (cause) {
    return errorBody(cause)
  }
}
