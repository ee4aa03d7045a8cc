/**
 * What to ask a path next, pure: pings until a doubt about the delay is settled, and a bulk probe where nothing recent
 * tells the bandwidth. A probe is sized by time, not by bytes: long enough to stand out of the noise, and so the same
 * share of a slow link and of a fast one.
 */
import { estimate } from "./Estimator.ts"
import { defaultEstimatorSettings, type EstimatorSettings, type PathHistory } from "./PathHistory.ts"
import { doubt } from "./Steps.ts"

export interface ProbePlan {
  readonly bytes: number
}

/** What others do and say about the same peer. */
export interface Witness {
  /** When somebody else last measured the bandwidth to it; -Infinity for never. */
  readonly measuredMs: number
  /** When somebody else last saw its link change. */
  readonly movedMs: number
}

export const noWitness: Witness = { measuredMs: Number.NEGATIVE_INFINITY, movedMs: Number.NEGATIVE_INFINITY }

/** Between probes of an idle path, between those that settle a doubt, and while tiles come that may settle it for free. */
const probeEveryMs = 2500
const againMs = 80
const againUnderTrafficMs = 400
/** With witnesses: own probes so seldom still, because another one's path is not ours. */
const ownEveryMs = 15_000
/**
 * Tiles that are on their link for less than this hide how fast it is: noise makes them look as if they told it, of a slower
 * link. So often a probe is sent among them.
 */
const amongThinMs = 5000
const thinMs = 4
/** Time on the wire of a probe: twelve times the noise of a message. */
const probeMs = 12
/** Share of a link's capacity that probes may take in any ten seconds: usually, and with doubts to settle. */
const usualShare = 0.008
const doubtfulShare = 0.015
const [smallestProbe, largestProbe] = [4096, 262_144]
/** The first probe of an unknown link, and how fast the next ones grow while they tell nothing. */
const firstProbe = 12_288
const growth = 8

/** Whether the newest transfer is one of a flow of tiles. */
const flows = (history: PathHistory, nowMs: number): boolean => {
  const tiles = history.transfers.filter((t) => nowMs - t.atMs < 2000).length
  return tiles - history.probes.filter((p) => nowMs - p.atMs < 2000).length >= 3
}

/** Whether another ping now would settle something: nothing is known yet, or the newest contradict what was believed. */
export const wantsPing = (history: PathHistory): boolean => {
  if (history.pings.length < 3) return true
  const { delay, bandwidth } = doubt(history)
  // A transfer that is longer than it should be may have met a longer delay.
  const last = history.transfers.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
  return delay || (bandwidth && (history.pings.at(-1)?.atMs ?? 0) < last)
}

/**
 * How soon after the last transfer to probe, where something has to be settled: the newest contradict what was believed,
 * a change has left only samples too short to tell much, or somebody else saw a change.
 */
const unsettledMs = (
  history: PathHistory,
  nowMs: number,
  witness: Witness,
  wanted: number,
): number | undefined => {
  const isFlow = flows(history, nowMs)
  if (doubt(history).bandwidth) return isFlow ? againUnderTrafficMs : againMs
  const isThin = history.transfers.every((t) => t.bytes < wanted / 2)
  if (isThin && nowMs - history.steppedMs < 2 * probeEveryMs && !isFlow) return againMs
  return witness.movedMs > lastMs(history) ? againMs : undefined
}

const lastMs = (history: PathHistory): number => history.transfers.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY

/** More and more until one stands out of the noise. */
const grown = (probes: PathHistory["probes"], nowMs: number): ProbePlan | undefined => {
  const largest = Math.max(0, ...probes.map((p) => p.bytes))
  const sinceMs = nowMs - (probes.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY)
  if (sinceMs < againMs || largest >= largestProbe) return undefined
  return { bytes: Math.min(largestProbe, Math.max(firstProbe, growth * largest)) }
}

/**
 * Whether to send a bulk probe now, and how large: none while transfers tell the bandwidth, or others vouch for the link;
 * soon again where something has to be settled. All within a share of the link's capacity.
 */
export const probePlan = (
  history: PathHistory,
  nowMs: number,
  witness: Witness = noWitness,
  settings: EstimatorSettings = defaultEstimatorSettings,
): ProbePlan | undefined => {
  const known = estimate(history, nowMs, settings)
  // Without a round trip a transfer tells nothing.
  if (known === undefined || history.pings.length === 0) return undefined
  const probes = history.probes.filter((p) => nowMs - p.atMs <= settings.probeWindowMs)
  if (!Number.isFinite(known.bandwidthAgeMs)) return grown(probes, nowMs)
  const perMs = (known.mbps * 1000) / 8
  const wanted = Math.round(Math.min(largestProbe, Math.max(smallestProbe, perMs * probeMs)))
  const soonMs = unsettledMs(history, nowMs, witness, wanted)
  const isVouched = nowMs - witness.measuredMs < probeEveryMs && known.confidence >= 0.3
  const lately = history.transfers.filter((t) => nowMs - t.atMs < amongThinMs)
  const isHidden = flows(history, nowMs) && lately.every((t) => t.bytes < thinMs * perMs)
  const isDue =
    soonMs === undefined
      ? isHidden || known.bandwidthAgeMs >= (isVouched ? ownEveryMs : probeEveryMs)
      : nowMs - lastMs(history) >= soonMs
  // In time, not in bytes: what a probe cost a fast link does not count for more because the link is slow now. And one that
  // found it slower than was believed counts as it was meant.
  const meantMs = Math.max(probeMs, smallestProbe / perMs)
  const spentMs = probes.reduce((sum, p) => sum + Math.min(p.wireMs, meantMs), 0)
  const share = soonMs === undefined ? usualShare : doubtfulShare
  const allowedMs = Math.max((4 * smallestProbe) / perMs, settings.probeWindowMs * share)
  return isDue && spentMs + wanted / perMs <= allowedMs ? { bytes: wanted } : undefined
}
