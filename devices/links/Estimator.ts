/**
 * Delay and bandwidth of one path, from round trips of pings and from timed transfers (tiles that travel anyway, or
 * probes): pure, over a sliding window, without synchronised clocks.
 *
 * A transfer takes c + bytes / bandwidth, and a ping of no bytes takes c. So the smallest recent round trip anchors the
 * line, and each transfer gives one time per byte. Their weighted quartile is the estimate: a transfer counts by how far
 * its time on the wire stands out of the noise of timers, never by what it says, which would prefer the disturbed ones.
 *
 * What a quartile would notice late is a step of the link: those are looked for (`Steps.ts`). Old minima are the trap: a
 * stale small round trip makes every later bandwidth wrong for as long as it is kept.
 */
import {
  anchorMs,
  clean,
  defaultEstimatorSettings,
  type EstimatorSettings,
  type PathHistory,
  perByteMs,
  slope,
  type Transfer,
} from "./PathHistory.ts"
import { medianOfFew, regressionSlope, spread } from "./Robust.ts"
import { afterStep } from "./Steps.ts"

export interface TransferSample {
  /** Bytes on the wire. */
  readonly bytes: number
  /** From sending to the acknowledgement, and of which the receiver spent processing. */
  readonly elapsedMs: number
  readonly remoteMs: number
  /** Monotonic. */
  readonly nowMs: number
  /** Sent only to measure: counts against the budget of probes. */
  readonly probe?: boolean
}

export interface PingSample {
  readonly roundTripMs: number
  readonly remoteMs: number
  readonly nowMs: number
  /** Data of the same path was under way: a longer round trip may be a queue. */
  readonly queued?: boolean
}

export interface PathEstimate {
  /** One way, without queueing. */
  readonly delayMs: number
  readonly mbps: number
  /** Median round trip over the smallest, halved: data that waits in front of the link. */
  readonly queueDelayMs: number
  /** 0..1: how many fresh samples agree. 0 for a bandwidth nobody measured. */
  readonly confidence: number
  /** Since the newest sample of any kind, and since the newest that told the bandwidth. Infinity without one. */
  readonly ageMs: number
  readonly bandwidthAgeMs: number
  readonly samples: number
}

const recent = <A extends { readonly atMs: number }>(
  samples: ReadonlyArray<A>,
  nowMs: number,
  windowMs: number,
  most: number,
) => samples.filter((s) => nowMs - s.atMs <= windowMs).slice(-most)

/**
 * The newest so many, but of those the longest few stay, however many short ones come after them: they tell how fast the link is.
 * In order of time.
 */
const telling = (transfers: ReadonlyArray<Transfer>, most: number): ReadonlyArray<Transfer> => {
  if (transfers.length <= most) return transfers
  const largest = Math.max(...transfers.map((t) => t.bytes))
  const long = new Set(transfers.filter((t) => 2 * t.bytes >= largest).slice(-most / 8))
  const short = new Set(transfers.filter((t) => !long.has(t)).slice(-(most - long.size)))
  return transfers.filter((t) => long.has(t) || short.has(t))
}

const mbpsOf = (msPerByte: number, settings: EstimatorSettings): number =>
  Math.min(settings.fastestMbps, 8 / (Math.max(1e-9, msPerByte) * 1000))

export const observePing = (
  history: PathHistory,
  sample: PingSample,
  settings: EstimatorSettings = defaultEstimatorSettings,
): PathHistory => {
  const ms = Math.max(0, sample.roundTripMs - sample.remoteMs)
  const pings = [
    ...recent(history.pings, sample.nowMs, settings.pingWindowMs, settings.maxSamples - 1),
    { atMs: sample.nowMs, ms, queued: sample.queued === true },
  ]
  return afterStep({ ...history, pings }, settings, sample.nowMs)
}

/** A transfer that nothing was queued before; one that was sent again or had to wait tells nothing. */
export const observeTransfer = (
  history: PathHistory,
  sample: TransferSample,
  settings: EstimatorSettings = defaultEstimatorSettings,
): PathHistory => {
  const { bytes, nowMs } = sample
  const ms = sample.elapsedMs - sample.remoteMs
  if (ms <= 0 || bytes <= 0) return history
  const fresh = history.transfers.filter((t) => nowMs - t.atMs <= settings.transferWindowMs)
  const transfers = telling([...fresh, { atMs: nowMs, ms, bytes }], settings.maxSamples)
  const probes = recent(history.probes, nowMs, settings.probeWindowMs, settings.maxSamples - 1)
  const emptyMs = history.pings.length === 0 ? 0 : anchorMs(clean(history.pings))
  const wireMs = Math.max(0, ms - emptyMs)
  const all = sample.probe === true ? [...probes, { atMs: nowMs, bytes, wireMs }] : probes
  return afterStep({ ...history, transfers, probes: all }, settings, nowMs)
}

/** What the samples say now; undefined before the first of any kind. `mbps` is NaN while no transfer told it. */
export const estimate = (
  history: PathHistory,
  nowMs: number,
  settings: EstimatorSettings = defaultEstimatorSettings,
): PathEstimate | undefined => {
  const { transfers } = history
  if (history.pings.length === 0 && transfers.length === 0) return undefined
  const pings = clean(history.pings)
  const smallest = Math.min(...transfers.map((t) => t.ms))
  const base = pings.length > 0 ? anchorMs(pings) : smallest
  const typical = pings.length > 0 ? medianOfFew(history.pings.map((p) => p.ms)) : smallest
  const blind = regressionSlope(transfers)
  const perByte =
    pings.length > 0
      ? slope(transfers, base, settings)
      : Math.max(1e-7, (blind ?? Number.NaN) - settings.messageMsPerByte)
  const mbps = mbpsOf(perByte, settings)
  const plain = transfers.filter((t) => t.bytes * perByte >= settings.tellingMs)
  const shown = plain.slice(-8).map((t) => perByteMs(t, base, settings))
  const agreement = shown.length === 0 ? 0 : 1 / (1 + (spread(shown) / 0.2) ** 2)
  const lastMs = plain.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
  const bandwidthAgeMs = nowMs - lastMs
  const freshness = Math.exp(-Math.max(0, bandwidthAgeMs) / 30_000)
  const newestMs = Math.max(history.pings.at(-1)?.atMs ?? lastMs, transfers.at(-1)?.atMs ?? lastMs)
  const pingMs = Number.isNaN(mbps) ? 0 : settings.pingBytes * perByte
  return {
    delayMs: Math.max(0, base / 2 - settings.messageMs - pingMs),
    mbps,
    queueDelayMs: Math.max(0, typical - base) / 2,
    confidence: Number.isNaN(mbps) ? 0 : Math.min(1, plain.length / 4) * agreement * freshness,
    ageMs: nowMs - newestMs,
    bandwidthAgeMs,
    samples: history.pings.length + transfers.length,
  }
}
