/**
 * Delay and bandwidth of one path, from round trips of pings and from timed transfers (tiles that travel anyway, or
 * probes): pure, over a sliding window, without synchronised clocks.
 *
 * A transfer takes c + bytes / bandwidth, and a ping of no bytes takes c. So the smallest recent round trip anchors the
 * line, and each transfer gives one time per byte. Their weighted quartile is the estimate: a transfer counts by how far
 * its time on the wire stands out of the noise of timers, never by what it says, which would prefer the disturbed ones.
 *
 * What a quartile would notice late is a step of the link, so steps are looked for: when the last few samples agree with
 * each other and not with the ones before, the ones before are forgotten. A first sample that disagrees is a doubt, which
 * the Monitor settles with a few samples more (`Probing.ts`). Old minima are the trap: a stale small round trip makes
 * every later bandwidth wrong for as long as it is kept.
 */
import { agree, median, regressionSlope, side, spread, weightedQuantile } from "./Robust.ts"

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

interface Timed {
  readonly atMs: number
  readonly ms: number
}
interface Ping extends Timed {
  readonly queued: boolean
}
interface Transfer extends Timed {
  readonly bytes: number
  /** Round trip of an empty message when it was sent, where that has changed since; else the present one counts. */
  readonly baseMs?: number
}

/** Everything known about one path. Start with `emptyPath`; the functions below return a new one. */
export interface PathHistory {
  readonly pings: ReadonlyArray<Ping>
  readonly transfers: ReadonlyArray<Transfer>
  /** Probes sent lately, whatever became of the samples. */
  readonly probes: ReadonlyArray<{ readonly atMs: number; readonly bytes: number }>
  /** When samples were last dropped because the link had changed. */
  readonly steppedMs: number
}

export const emptyPath: PathHistory = {
  pings: [],
  transfers: [],
  probes: [],
  steppedMs: Number.NEGATIVE_INFINITY,
}

export interface EstimatorSettings {
  /** Round trips and transfers older than this do not count. */
  readonly pingWindowMs: number
  readonly transferWindowMs: number
  readonly probeWindowMs: number
  readonly maxSamples: number
  /** A transfer counts half as much when it is this old: links drift. */
  readonly halfLifeMs: number
  /** Fixed cost of a message, one way, and per byte: not the link's (see `Overheads`), so taken off. */
  readonly messageMs: number
  readonly messageMsPerByte: number
  /** Size of a ping on the wire. */
  readonly pingBytes: number
  /** Time on the wire from which a transfer tells a bandwidth, and from which a longer one tells it no better. */
  readonly tellingMs: number
  readonly plainMs: number
  /** Samples that must agree with each other, and differ by this share from the rest, for a step. */
  readonly stepSamples: number
  readonly stepShare: number
  /** Smaller changes of a round trip, and of a transfer's time, are jitter. ms */
  readonly pingJitterMs: number
  readonly transferJitterMs: number
  /** Faster than what the bus itself carries (`bench wire`): such a link cannot be told from a faster one. */
  readonly fastestMbps: number
}

export const defaultEstimatorSettings: EstimatorSettings = {
  pingWindowMs: 10_000,
  transferWindowMs: 20_000,
  probeWindowMs: 10_000,
  maxSamples: 48,
  halfLifeMs: 8000,
  messageMs: 0.35,
  messageMsPerByte: 3e-6,
  pingBytes: 150,
  tellingMs: 1.5,
  plainMs: 12,
  stepSamples: 3,
  stepShare: 0.25,
  pingJitterMs: 3,
  transferJitterMs: 1.5,
  fastestMbps: 2000,
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

/** Round trips that tell the delay: those that met no data of ours, while there are fresh ones. */
const clean = (pings: ReadonlyArray<Ping>): ReadonlyArray<Ping> => {
  const free = pings.filter((p) => !p.queued)
  const newest = pings.at(-1)?.atMs ?? 0
  return newest - (free.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) <= 2500 ? free : pings
}

const anchorMs = (pings: ReadonlyArray<Timed>): number => Math.min(...pings.map((p) => p.ms))

/** What a transfer took beyond an empty message and the bus's own time per byte, ms per byte; never less than 0. */
const perByteMs = (t: Transfer, presentMs: number, settings: EstimatorSettings): number =>
  Math.max(0, (t.ms - (t.baseMs ?? presentMs)) / t.bytes - settings.messageMsPerByte)

/**
 * The time per byte that transfers show together, ms. Lower quartile: what disturbs a transfer makes it longer, never
 * shorter. Weights: the square of the time on the wire, as noise is the same for each message, up to `plainMs`; halved
 * with each half-life of age. NaN without a ping.
 */
const slope = (
  transfers: ReadonlyArray<Transfer>,
  presentMs: number,
  nowMs: number,
  settings: EstimatorSettings,
): number => {
  const seen = transfers.map((t) => ({ value: perByteMs(t, presentMs, settings), weight: t.bytes, of: t }))
  const rough = Math.max(weightedQuantile(seen, 0.5), 8 / (settings.fastestMbps * 1000))
  return weightedQuantile(
    seen.map(({ value, of }) => {
      const wireMs = Math.min(settings.plainMs, of.bytes * rough)
      return { value, weight: wireMs ** 2 * 0.5 ** ((nowMs - of.atMs) / settings.halfLifeMs) }
    }),
    0.25,
  )
}

const mbpsOf = (msPerByte: number, settings: EstimatorSettings): number =>
  Math.min(settings.fastestMbps, 8 / (Math.max(1e-9, msPerByte) * 1000))

/**
 * How many of the newest round trips lie beyond what is typical of the ones before, at most `stepSamples`, and whether
 * they are a step: as many as that, and alike. (The first one after a change may have met it half way.)
 */
const pingNews = (pings: ReadonlyArray<Ping>, settings: EstimatorSettings) => {
  const { stepSamples, stepShare, pingJitterMs } = settings
  const ms = clean(pings).map((p) => p.ms)
  for (let count = Math.min(stepSamples, ms.length - 2); count > 0; count--) {
    const level = median(ms.slice(0, -count))
    const last = ms.slice(-count)
    const margin = Math.max(pingJitterMs, stepShare * level)
    if (side(last, level, margin) === 0) continue
    const isStep = count === stepSamples && agree(last, Math.max(pingJitterMs, stepShare * Math.min(...last)))
    return { count, isStep }
  }
  return { count: 0, isStep: false }
}

/** The same of transfers that tell a bandwidth, by their time per byte; slower, faster or neither. */
const transferNews = (history: PathHistory, nowMs: number, settings: EstimatorSettings) => {
  const none = { count: 0, isStep: false, direction: 0, sinceMs: nowMs, slowdown: 1 }
  if (history.pings.length === 0) return none
  const { stepSamples, stepShare, transferJitterMs, tellingMs } = settings
  const presentMs = anchorMs(clean(history.pings))
  for (let count = Math.min(stepSamples, history.transfers.length - 1); count > 0; count--) {
    const last = history.transfers.slice(-count)
    const level = slope(history.transfers.slice(0, -count), presentMs, nowMs, settings)
    const values = last.map((t) => perByteMs(t, presentMs, settings))
    const direction = side(values, level, stepShare * level)
    // Short ones deviate by what timers do; they say nothing either way.
    const isPlain = last.every(
      (t, i) =>
        Math.abs((values[i] ?? 0) - level) * t.bytes > transferJitterMs &&
        Math.max(level, values[i] ?? 0) * t.bytes > tellingMs,
    )
    if (direction === 0 || !isPlain) continue
    const jitter = (2 * transferJitterMs) / Math.min(...last.map((t) => t.bytes))
    const alike = agree(values, Math.max(jitter, 0.35 * Math.max(...values)))
    const slowdown = Math.max(1, median(values) / Math.max(1e-9, level))
    const sinceMs = last[0]?.atMs ?? nowMs
    return { count, isStep: count === stepSamples && alike, direction, sinceMs, slowdown }
  }
  return none
}

/**
 * Forgets samples from before a step. A step of the delay leaves the bandwidth alone: earlier transfers keep the round trip
 * that was theirs. A step of the bandwidth leaves the round trips alone.
 */
const afterStep = (history: PathHistory, settings: EstimatorSettings, nowMs: number): PathHistory => {
  const ping = pingNews(history.pings, settings)
  if (ping.isStep) {
    const [before, kept] = [
      clean(history.pings).slice(0, -ping.count),
      clean(history.pings).slice(-ping.count),
    ]
    const [oldMs, newMs] = [before.at(-1)?.atMs ?? nowMs, kept[0]?.atMs ?? nowMs]
    const baseMs = anchorMs(before)
    // Which round trip was that of a transfer between the last old ping and the first new one, nobody knows.
    const transfers = history.transfers
      .filter((t) => t.atMs <= oldMs || t.atMs >= newMs)
      .map((t) => (t.atMs <= oldMs && t.baseMs === undefined ? { ...t, baseMs } : t))
    // The first of them may have taken the old time one way and the new one back, and would be the smallest for long.
    return { ...history, pings: kept.slice(1), transfers, steppedMs: nowMs }
  }
  const transfer = transferNews(history, nowMs, settings)
  if (!transfer.isStep) return history
  // Slower transfers may also be a longer delay: a ping after the first of them has to show that it is not.
  const presentMs = anchorMs(clean(history.pings))
  const margin = Math.max(settings.pingJitterMs, settings.stepShare * presentMs)
  const shown = history.pings.some((p) => p.atMs >= transfer.sinceMs && p.ms <= presentMs + margin)
  if (transfer.direction > 0 && !shown) return history
  // What probes may cost is a share of the link: on a slower one what was spent counts for less bytes.
  const probes = history.probes.map((p) => ({ ...p, bytes: p.bytes / transfer.slowdown }))
  return { ...history, probes, transfers: history.transfers.slice(-transfer.count), steppedMs: nowMs }
}

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
  const transfers = [
    ...recent(history.transfers, nowMs, settings.transferWindowMs, settings.maxSamples - 1),
    { atMs: nowMs, ms, bytes },
  ]
  const probes = recent(history.probes, nowMs, settings.probeWindowMs, settings.maxSamples - 1)
  const all = sample.probe === true ? [...probes, { atMs: nowMs, bytes }] : probes
  return afterStep({ ...history, transfers, probes: all }, settings, nowMs)
}

/** What the newest samples put in doubt: they contradict what was believed, and are too few for a step. */
export const doubt = (
  history: PathHistory,
  nowMs: number,
  settings: EstimatorSettings = defaultEstimatorSettings,
): { readonly delay: boolean; readonly bandwidth: boolean } => {
  const ping = pingNews(history.pings, settings)
  const transfer = transferNews(history, nowMs, settings)
  return { delay: ping.count > 0, bandwidth: transfer.count > 0 }
}

/**
 * What the newest samples would make of the path if they are a step to the worse: its delay (one way, ms), and how many times
 * longer a transfer takes. Undefined where they are not worse, or have been believed already.
 */
export const feared = (
  history: PathHistory,
  nowMs: number,
  settings: EstimatorSettings = defaultEstimatorSettings,
): { readonly delayMs: number; readonly slowdown: number } | undefined => {
  const { count } = pingNews(history.pings, settings)
  const newest = count === 0 ? 0 : anchorMs(clean(history.pings).slice(-count))
  const { direction, slowdown } = transferNews(history, nowMs, settings)
  if (newest <= anchorMs(clean(history.pings)) && direction <= 0) return undefined
  return {
    delayMs: Math.max(0, newest / 2 - settings.messageMs),
    slowdown: direction > 0 ? slowdown : 1,
  }
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
  const typical = pings.length > 0 ? median(history.pings.map((p) => p.ms)) : smallest
  const blind = regressionSlope(transfers)
  const perByte =
    pings.length > 0
      ? slope(transfers, base, nowMs, settings)
      : Math.max(1e-7, (blind ?? Number.NaN) - settings.messageMsPerByte)
  const mbps = mbpsOf(perByte, settings)
  const telling = transfers.filter((t) => t.bytes * perByte >= settings.tellingMs)
  const shown = telling.slice(-8).map((t) => perByteMs(t, base, settings))
  const agreement = shown.length === 0 ? 0 : 1 / (1 + (spread(shown) / 0.2) ** 2)
  const lastMs = telling.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
  const bandwidthAgeMs = nowMs - lastMs
  const freshness = Math.exp(-Math.max(0, bandwidthAgeMs) / 30_000)
  const newestMs = Math.max(history.pings.at(-1)?.atMs ?? lastMs, transfers.at(-1)?.atMs ?? lastMs)
  const pingMs = Number.isNaN(mbps) ? 0 : settings.pingBytes * perByte
  return {
    delayMs: Math.max(0, base / 2 - settings.messageMs - pingMs),
    mbps,
    queueDelayMs: Math.max(0, typical - base) / 2,
    confidence: Number.isNaN(mbps) ? 0 : Math.min(1, telling.length / 4) * agreement * freshness,
    ageMs: nowMs - newestMs,
    bandwidthAgeMs,
    samples: history.pings.length + transfers.length,
  }
}
