/**
 * Delay and bandwidth of one path from round trips and timed transfers: pure, over a sliding window. The smallest round
 * trip of the window is twice the delay; what a transfer took beyond it is bytes over bandwidth.
 */
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { LinkState } from "../subjects/LinkMessages.ts"

interface Sample {
  readonly atMs: number
  readonly value: number
}

/** Old minima must not outlive a change of the link, or its bandwidth is misread for as long. */
const windowMs = 10_000
const maxSamples = 32
/** Below this a transfer says more about timers than about the link. */
const minTransferBytes = 4096

/** Until something was measured: a plain Wi-Fi. Marked `assumed`, with no confidence. */
const assumed = { delayMs: 5, bandwidthMbps: 20 }

const middle = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0

export class PathEstimate {
  private readonly peer: DeviceId
  private roundTrips: Array<Sample> = []
  private rates: Array<Sample> = []
  private bulk = false

  constructor(peer: DeviceId) {
    this.peer = peer
  }

  private static keep(samples: ReadonlyArray<Sample>, nowMs: number): Array<Sample> {
    return samples.filter((s) => nowMs - s.atMs < windowMs).slice(-maxSamples)
  }

  observePing(roundTripMs: number, nowMs: number): void {
    this.roundTrips = [...PathEstimate.keep(this.roundTrips, nowMs), { atMs: nowMs, value: roundTripMs }]
  }

  /** `elapsedMs`: from sending to the acknowledgement, without the receiver's processing; nothing was queued ahead. */
  observeTransfer(bytes: number, elapsedMs: number, nowMs: number, source: "probe" | "tiles"): void {
    if (bytes < minTransferBytes || this.roundTrips.length === 0) return
    const wireMs = Math.max(0.05, elapsedMs - this.minRoundTripMs())
    const mbps = (bytes * 8) / (wireMs * 1000)
    this.bulk = source === "probe"
    this.rates = [...this.rates, { atMs: nowMs, value: mbps }].slice(-8)
  }

  private minRoundTripMs(): number {
    return Math.min(...this.roundTrips.map((s) => s.value))
  }

  /** How old the newest bandwidth sample is; infinite without one. */
  bandwidthAgeMs(nowMs: number): number {
    return nowMs - (this.rates.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY)
  }

  state(nowMs: number): LinkState {
    const known = this.roundTrips.length > 0
    const rate = middle(this.rates.map((s) => s.value))
    const delayMs = known ? this.minRoundTripMs() / 2 : assumed.delayMs
    const ageMs = known ? nowMs - (this.roundTrips.at(-1)?.atMs ?? nowMs) : 0
    return {
      peer: this.peer,
      delayMs,
      bandwidthMbps: rate > 0 ? rate : assumed.bandwidthMbps,
      queueDelayMs: known ? middle(this.roundTrips.map((s) => s.value)) / 2 - delayMs : 0,
      confidence: Math.min(1, this.rates.length / 4) * (ageMs < windowMs ? 1 : 0.5),
      ageMs,
      samples: this.roundTrips.length + this.rates.length,
      source: rate === 0 ? "assumed" : this.bulk ? "probe" : "tiles",
    }
  }
}
