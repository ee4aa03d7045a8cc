/**
 * Delay and bandwidth of one path, from round trips of pings and from timed transfers (tiles that travel anyway, or
 * probes): pure, over a sliding window, without synchronised clocks.
 *
 * A transfer takes c + bytes / bandwidth, and a ping of no bytes takes c. So the smallest recent round trip anchors the
 * line, and each transfer gives one bandwidth; their median ignores single outliers. What a median would notice late is
 * a step of the link, so steps are looked for: when the last few samples agree with each other and not with the ones
 * before, the ones before are forgotten. Old minima are the trap: a stale small round trip makes every later bandwidth
 * wrong for as long as it is kept.
 */

export interface TransferSample {
  /** Bytes on the wire. */
  readonly bytes: number
  /** From sending to the acknowledgement, and of which the receiver spent processing. */
  readonly elapsedMs: number
  readonly remoteMs: number
  /** Monotonic. */
  readonly nowMs: number
}

export interface PingSample {
  readonly roundTripMs: number
  readonly remoteMs: number
  readonly nowMs: number
}

interface Timed {
  readonly atMs: number
  readonly ms: number
}
interface Transfer extends Timed {
  readonly bytes: number
  /** Round trip of an empty message when it was sent, where that has changed since; else the present one counts. */
  readonly baseMs?: number
}

/** Everything known about one path. Start with `emptyPath`; the functions below return a new one. */
export interface PathHistory {
  readonly pings: ReadonlyArray<Timed>
  readonly transfers: ReadonlyArray<Transfer>
  /** When samples were last dropped because the link had changed. */
  readonly steppedMs: number
}

export const emptyPath: PathHistory = { pings: [], transfers: [], steppedMs: Number.NEGATIVE_INFINITY }

export interface EstimatorSettings {
  /** Round trips and transfers older than this do not count. */
  readonly pingWindowMs: number
  readonly transferWindowMs: number
  readonly maxSamples: number
  /** Fixed cost of a message, one way, and per byte: not the link's (see `Overheads`), so taken off. */
  readonly messageMs: number
  readonly messageMsPerByte: number
  /** A transfer that takes less than this beyond a ping tells more about timers than about the link. */
  readonly minWireMs: number
  /** Samples that must agree with each other, and differ by this share from the rest, for a step. */
  readonly stepSamples: number
  readonly stepShare: number
}

export const defaultEstimatorSettings: EstimatorSettings = {
  pingWindowMs: 10_000,
  transferWindowMs: 20_000,
  maxSamples: 48,
  messageMs: 0.35,
  messageMsPerByte: 3e-6,
  minWireMs: 0.4,
  stepSamples: 3,
  stepShare: 0.25,
}

export interface PathEstimate {
  /** One way, without queueing. */
  readonly delayMs: number
  readonly mbps: number
  /** Median round trip over the smallest, halved: data that waits in front of the link. */
  readonly queueDelayMs: number
  /** 0..1: how many fresh samples agree. 0 for a bandwidth nobody measured. */
  readonly confidence: number
  /** Since the newest sample of any kind, and of the bandwidth. Infinity without one. */
  readonly ageMs: number
  readonly bandwidthAgeMs: number
  readonly samples: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/** Relative spread: median distance from the median, over the median. */
const spread = (values: ReadonlyArray<number>): number => {
  const middle = median(values)
  return median(values.map((v) => Math.abs(v - middle))) / Math.max(1e-9, Math.abs(middle))
}

const recent = <A extends Timed>(samples: ReadonlyArray<A>, nowMs: number, windowMs: number, most: number) =>
  samples.filter((s) => nowMs - s.atMs <= windowMs).slice(-most)

/**
 * Where in a series a step happened: the index from which on samples are of the new level, or 0. The last `count` must
 * lie on one side of everything that is typical for the rest, by more than `share` of it and `least` in absolute terms.
 */
export const stepAt = (
  values: ReadonlyArray<number>,
  count: number,
  share: number,
  least: number,
): number => {
  if (values.length < count + 2) return 0
  const before = median(values.slice(0, -count))
  const margin = Math.max(least, share * Math.abs(before))
  const last = values.slice(-count)
  const isStep = last.every((v) => v > before + margin) || last.every((v) => v < before - margin)
  if (!isStep) return 0
  // The first of the unbroken run of such samples.
  let first = values.length - count
  const above = (last[0] ?? 0) > before
  while (
    first > 0 &&
    (above ? (values[first - 1] ?? 0) > before + margin : (values[first - 1] ?? 0) < before - margin)
  ) {
    first--
  }
  return first
}

const anchorMs = (pings: ReadonlyArray<Timed>): number => Math.min(...pings.map((p) => p.ms))

/** What a transfer took beyond an empty message and the bus's own time per byte, ms; NaN without any ping. */
const wireMs = (t: Transfer, presentMs: number, settings: EstimatorSettings): number =>
  t.ms - (t.baseMs ?? presentMs) - t.bytes * settings.messageMsPerByte

interface Rate {
  readonly mbps: number
  readonly bytes: number
}

/** Bandwidths that single transfers show. */
const rates = (history: PathHistory, settings: EstimatorSettings): ReadonlyArray<Rate> => {
  if (history.pings.length === 0) return []
  const presentMs = anchorMs(history.pings)
  return history.transfers.flatMap((t) => {
    const ms = wireMs(t, presentMs, settings)
    return ms < settings.minWireMs ? [] : [{ mbps: (t.bytes * 8) / (ms * 1000), bytes: t.bytes }]
  })
}

/**
 * Least time per byte between transfers of different sizes (Theil-Sen), ms per byte: needs no ping, but a variety of
 * sizes. Undefined when sizes are too alike to tell.
 */
export const regressionSlope = (
  transfers: ReadonlyArray<{ readonly bytes: number; readonly ms: number }>,
): number | undefined => {
  const slopes: Array<number> = []
  for (const [i, a] of transfers.entries()) {
    for (const b of transfers.slice(i + 1)) {
      const bytes = b.bytes - a.bytes
      if (Math.abs(bytes) > 0.3 * Math.max(a.bytes, b.bytes)) slopes.push((b.ms - a.ms) / bytes)
    }
  }
  if (slopes.length < 6) return undefined
  const slope = median(slopes)
  return slope > 0 ? slope : undefined
}

/**
 * Forgets samples from before a step. A step of the delay leaves the bandwidth alone: earlier transfers keep the round trip
 * that was theirs. A step of the bandwidth leaves the round trips alone.
 */
const afterStep = (history: PathHistory, settings: EstimatorSettings, nowMs: number): PathHistory => {
  const { stepSamples, stepShare } = settings
  const roundTrips = history.pings.map((p) => p.ms)
  // A few ms of jitter and queueing are no step.
  const pingStep = stepAt(roundTrips, stepSamples, stepShare, 3)
  if (pingStep > 0) {
    const since = history.pings[pingStep]?.atMs ?? nowMs
    const baseMs = anchorMs(history.pings.slice(0, pingStep))
    const transfers = history.transfers.map((t) =>
      t.atMs < since && t.baseMs === undefined ? { ...t, baseMs } : t,
    )
    return { pings: history.pings.slice(pingStep), transfers, steppedMs: nowMs }
  }
  if (history.pings.length === 0) return history
  const presentMs = anchorMs(history.pings)
  const perByte = history.transfers.map((t) => Math.max(0, wireMs(t, presentMs, settings)) / t.bytes)
  const transferStep = stepAt(perByte, stepSamples, stepShare, 0)
  const first = history.transfers[transferStep]
  if (transferStep === 0 || first === undefined) return history
  // Slower transfers may also be a longer delay: a ping after them has to show that the round trip is what it was.
  const slower = (perByte.at(-1) ?? 0) > (perByte[transferStep - 1] ?? 0)
  const since = history.pings.filter((p) => p.atMs >= first.atMs).map((p) => p.ms)
  if (slower && !since.some((ms) => ms <= presentMs + Math.max(3, stepShare * presentMs))) return history
  return { ...history, transfers: history.transfers.slice(transferStep), steppedMs: nowMs }
}

export const observePing = (
  history: PathHistory,
  sample: PingSample,
  settings: EstimatorSettings = defaultEstimatorSettings,
): PathHistory => {
  const ms = Math.max(0, sample.roundTripMs - sample.remoteMs)
  const pings = [
    ...recent(history.pings, sample.nowMs, settings.pingWindowMs, settings.maxSamples - 1),
    { atMs: sample.nowMs, ms },
  ]
  return afterStep({ ...history, pings }, settings, sample.nowMs)
}

/** A transfer that nothing was queued before; one that was sent again or had to wait tells nothing. */
export const observeTransfer = (
  history: PathHistory,
  sample: TransferSample,
  settings: EstimatorSettings = defaultEstimatorSettings,
): PathHistory => {
  const ms = sample.elapsedMs - sample.remoteMs
  if (ms <= 0 || sample.bytes <= 0) return history
  const transfers = [
    ...recent(history.transfers, sample.nowMs, settings.transferWindowMs, settings.maxSamples - 1),
    { atMs: sample.nowMs, ms, bytes: sample.bytes },
  ]
  return afterStep({ ...history, transfers }, settings, sample.nowMs)
}

/**
 * Upper quartile, weighted by bytes: what disturbs a transfer makes it longer, never shorter, and matters less in a large
 * one. (The fastest of all would be the noise of the round trip it is compared with.)
 */
const typicalRate = (seen: ReadonlyArray<Rate>): number => {
  const sorted = [...seen].sort((a, b) => a.mbps - b.mbps)
  const wanted = 0.75 * sorted.reduce((sum, r) => sum + r.bytes, 0)
  let passed = 0
  for (const r of sorted) {
    passed += r.bytes
    if (passed >= wanted) return r.mbps
  }
  return Number.NaN
}

const bandwidth = (history: PathHistory, settings: EstimatorSettings): number => {
  const seen = rates(history, settings)
  if (seen.length > 0) return typicalRate(seen)
  const slope = regressionSlope(history.transfers)
  return slope === undefined ? Number.NaN : 8 / (Math.max(1e-7, slope - settings.messageMsPerByte) * 1000)
}

/** What the samples say now; undefined before the first of any kind. `mbps` is NaN while no transfer told it. */
export const estimate = (
  history: PathHistory,
  nowMs: number,
  settings: EstimatorSettings = defaultEstimatorSettings,
): PathEstimate | undefined => {
  const lastPing = history.pings.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
  const lastTransfer = history.transfers.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
  if (history.pings.length === 0 && history.transfers.length === 0) return undefined
  const mbps = bandwidth(history, settings)
  const smallest = Math.min(...history.transfers.map((t) => t.ms))
  const base = history.pings.length > 0 ? anchorMs(history.pings) : smallest
  const typical = history.pings.length > 0 ? median(history.pings.map((p) => p.ms)) : smallest
  const seen = rates(history, settings)
    .slice(-8)
    .map((r) => r.mbps)
  const agreement = seen.length === 0 ? 0 : 1 / (1 + (spread(seen) / 0.2) ** 2)
  const bandwidthAgeMs = nowMs - lastTransfer
  const freshness = Math.exp(-Math.max(0, bandwidthAgeMs) / 30_000)
  return {
    delayMs: Math.max(0, base / 2 - settings.messageMs),
    mbps,
    queueDelayMs: Math.max(0, typical - base) / 2,
    confidence: Number.isNaN(mbps) ? 0 : Math.min(1, history.transfers.length / 4) * agreement * freshness,
    ageMs: nowMs - Math.max(lastPing, lastTransfer),
    bandwidthAgeMs,
    samples: history.pings.length + history.transfers.length,
  }
}

export interface ProbePlan {
  readonly bytes: number
}

/** Share of a link's capacity that probing may take. */
const probeShare = 0.008
const probeEveryMs = 3000
/** A contradiction is looked at again so soon, and so often at most. */
const againMs = 250
const mostAgain = 3
const [smallestProbe, largestProbe] = [6_144, 262_144]

/**
 * Whether to send a bulk probe now, and how large: none while transfers tell the bandwidth; else as much as the share of
 * the link's capacity allows, so that a fast link is probed with enough to see it and a slow one is not filled. A probe
 * that contradicts what was believed is repeated soon, to tell a step from an outlier.
 */
export const probePlan = (
  history: PathHistory,
  nowMs: number,
  settings: EstimatorSettings = defaultEstimatorSettings,
): ProbePlan | undefined => {
  const known = estimate(history, nowMs, settings)
  if (known === undefined || Number.isNaN(known.mbps)) return { bytes: 2 * smallestProbe }
  const newest = rates({ ...history, transfers: history.transfers.slice(-1) }, settings)[0]?.mbps
  const contradicts = newest !== undefined && Math.abs(newest / known.mbps - 1) > settings.stepShare
  const lately = history.transfers.filter((t) => nowMs - t.atMs < probeEveryMs).length
  const usual = known.confidence < 0.3 ? probeEveryMs / 2 : probeEveryMs
  const wait = contradicts && lately < mostAgain ? againMs : usual
  if (known.bandwidthAgeMs < wait) return undefined
  const allowed =
    ((Math.min(known.mbps, newest ?? known.mbps) * 1e6) / 8) * (probeEveryMs / 1000) * probeShare
  return { bytes: Math.round(Math.min(largestProbe, Math.max(smallestProbe, allowed))) }
}
