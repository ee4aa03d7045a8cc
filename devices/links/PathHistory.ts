/** What has been measured of one path, over a sliding window, and what both its estimate and the search for steps read from it. */
import { weightedQuantile } from "./Robust.ts"

export interface Timed {
  readonly atMs: number
  readonly ms: number
}
export interface Ping extends Timed {
  readonly queued: boolean
}
export interface Transfer extends Timed {
  readonly bytes: number
  /** Round trip of an empty message when it was sent, where that has changed since; else the present one counts. */
  readonly baseMs?: number
}

interface Probe {
  readonly atMs: number
  readonly bytes: number
  /** How long it occupied the link: what it cost, however fast the link is now. */
  readonly wireMs: number
}

/** Everything known about one path. Start with `emptyPath`; the functions below return a new one. */
export interface PathHistory {
  readonly pings: ReadonlyArray<Ping>
  readonly transfers: ReadonlyArray<Transfer>
  /** Probes sent lately, whatever became of the samples. */
  readonly probes: ReadonlyArray<Probe>
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

/** Round trips that tell the delay: those that met no data of ours, while there are fresh ones. */
export const clean = (pings: ReadonlyArray<Ping>): ReadonlyArray<Ping> => {
  const free = pings.filter((p) => !p.queued)
  const newest = pings.at(-1)?.atMs ?? 0
  return newest - (free.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) <= 2500 ? free : pings
}

export const anchorMs = (pings: ReadonlyArray<Timed>): number => Math.min(...pings.map((p) => p.ms))

/** What a transfer took beyond an empty message and the bus's own time per byte, ms per byte; never less than 0. */
export const perByteMs = (t: Transfer, presentMs: number, settings: EstimatorSettings): number =>
  Math.max(0, (t.ms - (t.baseMs ?? presentMs)) / t.bytes - settings.messageMsPerByte)

/** Time per byte of the fastest link that can be told from a faster one, ms: estimates stop there. */
export const leastPerByteMs = ({ fastestMbps }: EstimatorSettings): number => 8 / (fastestMbps * 1000)

/**
 * The time per byte that transfers show together, ms. Lower quartile: what disturbs a transfer makes it longer, never
 * shorter. Weights: the square of the time on the wire, as noise is the same for each message, up to `plainMs`; halved
 * with each half-life of age (only the ages' differences matter, so that no clock is needed). NaN without a ping.
 */
export const slope = (
  transfers: ReadonlyArray<Transfer>,
  presentMs: number,
  settings: EstimatorSettings,
): number => {
  const newestMs = transfers.at(-1)?.atMs ?? 0
  const seen = transfers.map((t) => ({ value: perByteMs(t, presentMs, settings), weight: t.bytes, of: t }))
  const rough = Math.max(weightedQuantile(seen, 0.5), leastPerByteMs(settings))
  return weightedQuantile(
    seen.map(({ value, of }) => {
      const wireMs = Math.min(settings.plainMs, of.bytes * rough)
      return { value, weight: wireMs ** 2 * 0.5 ** ((newestMs - of.atMs) / settings.halfLifeMs) }
    }),
    0.25,
  )
}
