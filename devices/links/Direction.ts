/**
 * One direction of an emulated link, shared by all its connections: a message leaves when the link is free and the bytes
 * before it are through, and arrives one delay later.
 */

export interface DirectionSettings {
  /** Infinity: not limited. */
  readonly mbps: number
  /** One way. */
  readonly delayMs: number
  /** Uniform extra delay up to this; never reorders. */
  readonly jitterMs: number
}

export const unlimited: DirectionSettings = { mbps: Infinity, delayMs: 0, jitterMs: 0 }

export const largestChunk = 65_536
const segmentBytes = 1460
/** Lateness that is made up for, and how soon a sender that waited is heard from. */
const mostOwedMs = 100
const owedForMs = 5

/** When bytes that arrive now may leave at the other end. */
export class Direction {
  settings: DirectionSettings
  bytes = 0
  private freeMs = 0
  private lastMs = 0
  private owed = { ms: 0, untilMs: 0 }
  private readonly random: () => number

  constructor(settings: DirectionSettings, random: () => number) {
    this.settings = settings
    this.random = random
  }

  /** Time on `performance.now()`'s clock at which `bytes` are at the other end. */
  schedule(bytes: number): number {
    const { mbps, delayMs, jitterMs } = this.settings
    const nowMs = performance.now()
    const fromMs = nowMs < this.owed.untilMs ? nowMs - this.owed.ms : nowMs
    this.waived()
    this.freeMs = Math.max(fromMs, this.freeMs) + (bytes * 8) / (mbps * 1000)
    this.bytes += bytes
    this.lastMs = Math.max(this.lastMs, this.freeMs + delayMs + (jitterMs > 0 ? jitterMs * this.random() : 0))
    return this.lastMs
  }

  /**
   * A sender may go on after a pause. Where this process was late with that the link stood idle meanwhile, which a real one
   * would not have: the time is made up for, if the sender turns out to have waited.
   */
  resumed() {
    const nowMs = performance.now()
    this.owed = { ms: Math.max(0, Math.min(mostOwedMs, nowMs - this.freeMs)), untilMs: nowMs + owedForMs }
  }

  /** The sender had nothing to send: its link stood idle by right. */
  waived() {
    this.owed = { ms: 0, untilMs: 0 }
  }

  /** For what arrives from now on: what the link has accepted keeps its schedule (at most some 50 ms of it). */
  change(settings: DirectionSettings) {
    this.settings = settings
  }

  backlogMs(): number {
    return Math.max(0, this.freeMs - performance.now())
  }

  /** About a millisecond's worth: small enough to keep the rate smooth, large enough to be cheap. */
  chunkBytes(): number {
    const perMs = (this.settings.mbps * 1000) / 8
    return Math.max(segmentBytes, Math.min(largestChunk, Math.floor(perMs)))
  }
}
