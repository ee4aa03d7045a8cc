/**
 * This device's outgoing tiles: one sender with a credit window per peer, shared by everyone who sends, and the timings of
 * its acknowledged chunks, from which the Monitor learns about links for free.
 */
import { Context, Effect, Layer } from "effect"
import { monotonicMs } from "../subjects/Connection.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ChunkTransfer, TileSendError } from "../subjects/Outbox.ts"
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
  readonly onTransfer: (listener: (transfer: ChunkTransfer) => void) => void
}

interface LinkLike {
  readonly bandwidthMbps: number
  /** One way. */
  readonly delayMs: number
}

/** A tile that is not acknowledged in full, and how much of it is not. */
interface Waiting {
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
  const queues = new Map<DeviceId, Set<Waiting>>()
  /** Acknowledged bytes belong to the oldest tile that has some left. */
  const acknowledged = (to: DeviceId, bytes: number) => {
    let rest = bytes
    for (const tile of queues.get(to) ?? []) {
      const taken = Math.min(tile.bytes, rest)
      tile.bytes -= taken
      rest -= taken
    }
  }
  const listeners: Array<(transfer: ChunkTransfer) => void> = []
  const sender = yield* makeTileSender({
    device: self.device,
    onTransfer: (transfer) => {
      membership.heard(transfer.peer)
      if (!transfer.abandoned) acknowledged(transfer.peer, transfer.bytes)
      for (const listener of listeners) listener(transfer)
    },
  })
  const queued = (to: DeviceId, bytes: number) =>
    Effect.sync((): Waiting => {
      const tile = { bytes }
      queues.set(to, (queues.get(to) ?? new Set()).add(tile))
      return tile
    })
  /** Sent, or given up: what is under way of it then counts as abandoned. */
  const over = (to: DeviceId, tile: Waiting) =>
    Effect.sync(() => {
      const queue = queues.get(to)
      queue?.delete(tile)
      if (queue?.size === 0) queues.delete(to)
    })
  const queuedBytes = (to: DeviceId): number => {
    let bytes = sender.outstanding(to).abandonedBytes
    for (const tile of queues.get(to) ?? []) bytes += tile.bytes
    return bytes
  }
  return Tiles.of({
    send: (to, tile) =>
      sender.send(to, tile, { timeoutMs: tile.budgetMs > 0 ? tile.budgetMs : defaultTimeoutMs }).pipe(
        Effect.tapError((e) => (e._tag === "NobodyListens" ? membership.suspect(to) : Effect.void)),
        (sending) =>
          Effect.acquireUseRelease(
            queued(to, tile.bytes.length),
            () => sending,
            (waiting) => over(to, waiting),
          ),
      ),
    queuedMs: (to, mbps) => wireMs(queuedBytes(to), mbps),
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
