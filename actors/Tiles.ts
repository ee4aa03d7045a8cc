/**
 * This device's outgoing tiles: one sender with a credit window per peer, shared by everyone who sends, and the timings of
 * its acknowledged chunks, from which the Monitor learns about links for free.
 */
import { Context, Effect, Layer } from "effect"
import { monotonicMs } from "../subjects/Connection.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { TileSendError, Transfer } from "../subjects/Outbox.ts"
import type { Tile } from "../subjects/TileCodec.ts"
import { makeTileSender, type SendReceipt, type TileSender } from "../subjects/TileSender.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"

export interface TilesShape {
  /** Resolves when the receiver has the whole tile; gives up when the tile's budget is over. */
  readonly send: (to: DeviceId, tile: Tile) => Effect.Effect<SendReceipt, TileSendError>
  /** What a peer has not acknowledged yet. */
  readonly outstanding: TileSender["outstanding"]
  /** How long what is to be sent to a peer, and what is under way, occupies a link of this bandwidth. */
  readonly queuedMs: (to: DeviceId, mbps: number) => number
  /**
   * By how much the oldest of what a peer has not acknowledged is late on a link like this. Whatever is sent now comes after
   * it: so long before a sample tells that the link got worse, plans know that something is wrong with it.
   */
  readonly lateMs: (to: DeviceId, link: LinkLike) => number
  /** Called for every acknowledged chunk, in the network callback. */
  readonly onTransfer: (listener: (transfer: Transfer) => void) => void
}

interface LinkLike {
  readonly bandwidthMbps: number
  /** One way. */
  readonly delayMs: number
}

/** Tiles to one peer that are not acknowledged in full, and their bytes that are not acknowledged. */
interface Queue {
  readonly tiles: number
  bytes: number
}

/** For tiles without a budget. */
const defaultTimeoutMs = 10_000
/** A pause of a loaded device's event loop; less is not late. */
const pauseMs = 20

const wireMs = (bytes: number, mbps: number): number => (bytes * 8) / (mbps * 1000)

const make = Effect.gen(function* () {
  const self = yield* Self
  const membership = yield* Membership
  const queues = new Map<DeviceId, Queue>()
  const listeners: Array<(transfer: Transfer) => void> = []
  const sender = yield* makeTileSender({
    device: self.device,
    onTransfer: (transfer) => {
      membership.heard(transfer.peer)
      const queue = queues.get(transfer.peer)
      if (queue !== undefined && !transfer.abandoned) queue.bytes = Math.max(0, queue.bytes - transfer.bytes)
      for (const listener of listeners) listener(transfer)
    },
  })
  const queued = (to: DeviceId, bytes: number) =>
    Effect.sync(() => {
      const queue = queues.get(to) ?? { tiles: 0, bytes: 0 }
      queues.set(to, { tiles: queue.tiles + 1, bytes: queue.bytes + bytes })
    })
  const sent = (to: DeviceId) =>
    Effect.sync(() => {
      const { tiles, bytes } = queues.get(to) ?? { tiles: 0, bytes: 0 }
      if (tiles <= 1) queues.delete(to)
      else queues.set(to, { tiles: tiles - 1, bytes })
    })
  return Tiles.of({
    send: (to, tile) =>
      sender.send(to, tile, { timeoutMs: tile.budgetMs > 0 ? tile.budgetMs : defaultTimeoutMs }).pipe(
        Effect.tapError((e) => (e._tag === "NobodyListens" ? membership.suspect(to) : Effect.void)),
        (sending) =>
          Effect.acquireUseRelease(
            queued(to, tile.bytes.length),
            () => sending,
            () => sent(to),
          ),
      ),
    queuedMs: (to, mbps) =>
      wireMs((queues.get(to)?.bytes ?? 0) + sender.outstanding(to).abandonedBytes, mbps),
    lateMs: (to, { bandwidthMbps, delayMs }) => {
      const { bytes, firstSentMs } = sender.outstanding(to)
      if (firstSentMs === undefined) return 0
      const lateMs = monotonicMs() - firstSentMs - 2 * delayMs - wireMs(bytes, bandwidthMbps)
      return lateMs > pauseMs ? lateMs : 0
    },
    outstanding: sender.outstanding,
    onTransfer: (listener) => void listeners.push(listener),
  })
})

export class Tiles extends Context.Service<Tiles, TilesShape>()("actors/Tiles") {
  static readonly layer = Layer.effect(Tiles, make)
}
