/**
 * Sends tiles with a credit window per peer. Core NATS has no end-to-end back-pressure: a receiver that cannot keep up is
 * cut off and loses everything on its way. So at most `window` chunks per peer are unacknowledged; the next one waits, and
 * that wait is the sender's back-pressure. Chunks that were under way when the connection broke are sent again.
 */
import { Effect, type Scope, Stream, SubscriptionRef } from "effect"
import { Bus, type BusShape, type BusState, busDown } from "./Bus.ts"
import { Late } from "./BusErrors.ts"
import { chunkBytesAt } from "./Chunks.ts"
import { monotonicMs } from "./Connection.ts"
import type { DeviceId } from "./DeviceId.ts"
import { defaultWindow, Outbox, type OutboxOptions, type Outstanding, type TileSendError } from "./Outbox.ts"
import { lastingEach } from "./Lasting.ts"
import * as Subjects from "./Subjects.ts"
import { chunksOf, type Tile, type TileChunk } from "./TileCodec.ts"

export interface TileSenderOptions extends OutboxOptions {
  /** A multiple of 4. Default: by the speed that the path was seen to have (`Chunks.ts`). */
  readonly chunkBytes?: number
}

export interface SendReceipt {
  readonly chunks: number
  /** Of values, without envelopes. */
  readonly bytes: number
  /** From the call to the last acknowledgement. */
  readonly elapsedMs: number
}

export interface TileSender {
  /**
   * Resolves when the receiver has taken every chunk. Interrupting it gives the credits back; what was sent is still on its
   * way, counts as outstanding, and is timed when it is acknowledged after all.
   */
  readonly send: (
    to: DeviceId,
    tile: Tile,
    options: { readonly timeoutMs: number },
  ) => Effect.Effect<SendReceipt, TileSendError>
  readonly outstanding: (to: DeviceId) => Outstanding
}

export const makeTileSender = (
  options: TileSenderOptions,
): Effect.Effect<TileSender, never, Bus | Scope.Scope> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const outbox = new Outbox(bus, options)
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        bus.nats.subscribe(`${outbox.prefix}.*`, {
          callback: (error, message) => {
            if (error === null) outbox.onAck(message)
          },
        }),
      ),
      (subscription) => Effect.sync(() => subscription.unsubscribe()),
    )
    yield* reconnections(bus).pipe(
      Stream.runForEach(lastingEach("sending again", () => Effect.sync(() => outbox.resend()))),
      Effect.forkScoped({ startImmediately: true }),
    )
    const window = options.window ?? defaultWindow
    const send: TileSender["send"] = (to, tile, { timeoutMs }) =>
      Effect.suspend(() => {
        const beganMs = monotonicMs()
        const peer = outbox.peer(to)
        const chunks = chunksOf(tile, options.chunkBytes ?? chunkBytesAt(1 / peer.bytesPerMs))
        const one = (chunk: TileChunk) => peer.credit.withPermits(1)(outbox.sendChunk(peer, chunk))
        const [only] = chunks
        const all =
          chunks.length === 1 && only !== undefined
            ? one(only)
            : Effect.forEach(chunks, one, { concurrency: window, discard: true })
        return all.pipe(
          Effect.timeoutOrElse({
            duration: timeoutMs,
            orElse: () => Effect.fail(lateOrDown(bus, to, options, timeoutMs)),
          }),
          Effect.map(() => ({
            chunks: chunks.length,
            bytes: tile.bytes.length,
            elapsedMs: monotonicMs() - beganMs,
          })),
        )
      })
    return {
      send,
      outstanding: (to) => outbox.outstanding(to),
    }
  })

/** Emits once after each time that the connection came back, however often that state is said. */
const reconnections = (bus: BusShape): Stream.Stream<BusState> => {
  const now = SubscriptionRef.getUnsafe(bus.state)
  let seen = now._tag === "Closed" ? 0 : now.reconnects
  return SubscriptionRef.changes(bus.state).pipe(
    Stream.filter((state) => {
      if (state._tag !== "Up" || state.reconnects <= seen) return false
      seen = state.reconnects
      return true
    }),
  )
}

const lateOrDown = (bus: BusShape, to: DeviceId, options: TileSenderOptions, timeoutMs: number) => {
  const subject = Subjects.tile(to, options.device)
  return bus.isUp()
    ? new Late({ subject, timeoutMs })
    : busDown(bus, subject, "part of the tile may have been sent")
}
