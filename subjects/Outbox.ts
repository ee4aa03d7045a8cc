/**
 * Chunks of tiles that are under way: sent, and not acknowledged yet. Those that nobody waits for any more still occupy the
 * link, and their acknowledgements still tell how fast it is. What was under way when the connection broke is sent again.
 */
import { Effect, Semaphore } from "effect"
import { createInbox, type Msg } from "nats"
import type { BusShape } from "./Bus.ts"
import { type BusDown, type Late, NobodyListens, PayloadTooLarge, Refused } from "./BusErrors.ts"
import { bytesPerMsAfter } from "./Chunks.ts"
import { monotonicMs } from "./Connection.ts"
import type { DeviceId } from "./DeviceId.ts"
import * as Subjects from "./Subjects.ts"
import { decodeTileAck } from "./TileAck.ts"
import { encodeTileChunk, type TileChunk } from "./TileCodec.ts"

/** One acknowledged chunk: what a passive link estimator learns from. */
export interface ChunkTransfer {
  readonly peer: DeviceId
  /** Size of the message. */
  readonly bytes: number
  /** From publishing to the acknowledgement. */
  readonly elapsedMs: number
  /** Of which the receiver spent this; elapsed minus this is one message and one tiny answer on the link. */
  readonly processingMs: number
  /** Bytes to the same peer that were unacknowledged when this chunk was sent: they went first. */
  readonly aheadBytes: number
  /** Sent more than once: its time says nothing about the link. */
  readonly resent: boolean
  /** Nobody waited for it any more; it was under way all the same. */
  readonly abandoned: boolean
}

export type TileSendError = BusDown | NobodyListens | Late | Refused | PayloadTooLarge

/** What a peer has not acknowledged now. Times are monotonic. */
export interface Outstanding {
  readonly chunks: number
  readonly bytes: number
  /** Of those: sent, and waited for by nobody any more. */
  readonly abandonedBytes: number
  /** When the oldest of it was sent; absent where there is none. */
  readonly firstSentMs?: number
  /** When something was last sent at all. */
  readonly lastSentMs: number
}

export interface OutboxOptions {
  readonly device: DeviceId
  /** Unacknowledged chunks per peer. Default 8: fills 150 Mbps at 40 ms round trip, and drains in 1.3 s at 5 Mbps. */
  readonly window?: number
  /** A peer that nothing was sent to for so long may be forgotten. Default: ten minutes. */
  readonly idleMs?: number
  /** Called for each acknowledged chunk, in the network callback: be quick. */
  readonly onTransfer?: (transfer: ChunkTransfer) => void
}

interface Pending {
  readonly peer: Peer
  readonly subject: string
  readonly reply: string
  readonly message: Uint8Array
  readonly aheadBytes: number
  sentMs: number
  sends: number
  isAbandoned: boolean
  readonly done: (outcome: Effect.Effect<void, TileSendError>) => void
}

export interface Peer {
  readonly id: DeviceId
  readonly credit: Semaphore.Semaphore
  readonly sinceMs: number
  chunks: number
  bytes: number
  abandonedBytes: number
  lastSentMs: number
  /** What the path has carried lately, as far as its acknowledgements tell (`Chunks.ts`). 0: not known yet. */
  bytesPerMs: number
}

export const defaultWindow = 8

const defaultIdleMs = 600_000

/** A peer's subscription takes some ms to become known everywhere: one more try for a peer that is new to us. */
const newPeerMs = 2000
const secondTryMs = 25
/** A chunk that nobody waits for is forgotten when it was not acknowledged by then. */
const abandonedForMs = 5000

const noResponders = (message: Msg) => message.data.length === 0 && message.headers?.code === 503

/** Chunks that are under way to all peers. */
export class Outbox {
  readonly peers = new Map<string, Peer>()
  private readonly pending = new Map<string, Pending>()
  private readonly bus: BusShape
  private readonly options: OutboxOptions
  readonly prefix = createInbox()
  private next = 0

  constructor(bus: BusShape, options: OutboxOptions) {
    this.bus = bus
    this.options = options
  }

  peer(id: DeviceId): Peer {
    const known = this.peers.get(id)
    if (known !== undefined) return known
    this.forgetIdle()
    const credit = Semaphore.makeUnsafe(this.options.window ?? defaultWindow)
    const peer: Peer = {
      id,
      credit,
      sinceMs: monotonicMs(),
      chunks: 0,
      bytes: 0,
      abandonedBytes: 0,
      lastSentMs: 0,
      bytesPerMs: 0,
    }
    this.peers.set(id, peer)
    return peer
  }

  /** Of those that nothing was sent to for so long, devices that left among them, only the speed of their path is lost. */
  private forgetIdle(): void {
    const sinceMs = monotonicMs() - (this.options.idleMs ?? defaultIdleMs)
    for (const [id, peer] of this.peers) {
      if (peer.chunks === 0 && Math.max(peer.sinceMs, peer.lastSentMs) < sinceMs) this.peers.delete(id)
    }
  }

  /** Publishes one chunk and resolves with its acknowledgement. Must hold a credit. */
  sendChunk(peer: Peer, chunk: TileChunk): Effect.Effect<void, TileSendError> {
    return Effect.callback<void, TileSendError>((resume) => {
      const message = encodeTileChunk(chunk)
      const token = String(this.next++)
      const subject = Subjects.tile(peer.id, this.options.device)
      const entry: Pending = {
        peer,
        subject,
        reply: `${this.prefix}.${token}`,
        message,
        aheadBytes: peer.bytes,
        sentMs: 0,
        sends: 0,
        isAbandoned: false,
        done: (outcome) => {
          this.forget(token)
          if (!entry.isAbandoned) resume(outcome)
        },
      }
      peer.chunks++
      peer.bytes += message.length
      this.pending.set(token, entry)
      this.publish(entry)
      return Effect.sync(() => this.abandon(token))
    })
  }

  private forget(token: string): void {
    const entry = this.pending.get(token)
    if (entry === undefined) return
    this.pending.delete(token)
    entry.peer.chunks--
    entry.peer.bytes -= entry.message.length
    if (entry.isAbandoned) entry.peer.abandonedBytes -= entry.message.length
  }

  /** Nobody waits for it any more. If it is under way it occupies the link all the same, and will tell how fast that is. */
  private abandon(token: string): void {
    const entry = this.pending.get(token)
    if (entry === undefined) return
    if (entry.sends === 0) return this.forget(token)
    entry.isAbandoned = true
    entry.peer.abandonedBytes += entry.message.length
    setTimeout(() => this.forget(token), abandonedForMs).unref()
  }

  outstanding(to: DeviceId): Outstanding {
    const peer = this.peers.get(to)
    if (peer === undefined) return { chunks: 0, bytes: 0, abandonedBytes: 0, lastSentMs: 0 }
    const { chunks, bytes, abandonedBytes, lastSentMs } = peer
    const sent = [...this.pending.values()].filter((e) => e.peer === peer && e.sends > 0).map((e) => e.sentMs)
    const all = { chunks, bytes, abandonedBytes, lastSentMs }
    return sent.length === 0 ? all : { ...all, firstSentMs: Math.min(...sent) }
  }

  private publish(entry: Pending): void {
    // Not connected: it stays pending and goes out with resend().
    if (!this.bus.isUp()) return
    const limitBytes = this.bus.payloadLimitBytes()
    if (entry.message.length > limitBytes) {
      const { subject, message } = entry
      return entry.done(Effect.fail(new PayloadTooLarge({ subject, bytes: message.length, limitBytes })))
    }
    entry.sentMs = monotonicMs()
    entry.peer.lastSentMs = entry.sentMs
    entry.sends++
    this.bus.nats.publish(entry.subject, entry.message, { reply: entry.reply })
  }

  resend(): void {
    for (const [token, entry] of this.pending) {
      if (entry.isAbandoned) this.forget(token)
      else this.publish(entry)
    }
  }

  onAck(message: Msg): void {
    const entry = this.pending.get(message.subject.slice(this.prefix.length + 1))
    if (entry === undefined) return
    if (noResponders(message)) return this.onNobody(entry)
    const ack = decodeTileAck(message.data)
    if (ack === undefined) return
    if (ack._tag === "Refused") {
      const { message: detail, ...rest } = ack.error
      return entry.done(Effect.fail(new Refused({ subject: entry.subject, detail, ...rest })))
    }
    const transfer: ChunkTransfer = {
      peer: entry.peer.id,
      bytes: entry.message.length,
      elapsedMs: monotonicMs() - entry.sentMs,
      processingMs: ack.processingMs,
      aheadBytes: entry.aheadBytes,
      resent: entry.sends > 1,
      abandoned: entry.isAbandoned,
    }
    entry.peer.bytesPerMs = bytesPerMsAfter(entry.peer.bytesPerMs, transfer)
    this.options.onTransfer?.(transfer)
    entry.done(Effect.void)
  }

  private onNobody(entry: Pending): void {
    const isNew = monotonicMs() - entry.peer.sinceMs < newPeerMs
    if (!isNew || entry.sends > 1 || entry.isAbandoned) {
      return entry.done(Effect.fail(new NobodyListens({ subject: entry.subject })))
    }
    setTimeout(() => {
      if (this.pending.get(entry.reply.slice(this.prefix.length + 1)) === entry) this.publish(entry)
    }, secondTryMs)
  }
}
