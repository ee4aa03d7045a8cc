/**
 * Steps of a link, pure. An estimate over a window would notice one late, so they are looked for: when the last few samples agree
 * with each other and not with the ones before, the ones before are forgotten. Fewer that disagree are a doubt, which the
 * Monitor settles with a few samples more (`Probing.ts`), and where they are worse, a fear.
 */
import {
  anchorMs,
  clean,
  defaultEstimatorSettings,
  type EstimatorSettings,
  leastPerByteMs,
  type PathHistory,
  perByteMs,
  type Ping,
  slope,
} from "./PathHistory.ts"
import { agree, medianOfFew, side } from "./Robust.ts"

/**
 * How many of the newest round trips lie beyond what is typical of the ones before, at most `stepSamples`, and whether
 * they are a step: as many as that, and alike. (The first one after a change may have met it half way.)
 */
const pingNews = (pings: ReadonlyArray<Ping>, settings: EstimatorSettings) => {
  const { stepSamples, stepShare, pingJitterMs } = settings
  const ms = clean(pings).map((p) => p.ms)
  for (let count = Math.min(stepSamples, ms.length - 2); count > 0; count--) {
    const level = medianOfFew(ms.slice(0, -count))
    const last = ms.slice(-count)
    const margin = Math.max(pingJitterMs, stepShare * level)
    if (side(last, level, margin) === 0) continue
    const isStep = count === stepSamples && agree(last, Math.max(pingJitterMs, stepShare * Math.min(...last)))
    return { count, isStep }
  }
  return { count: 0, isStep: false }
}

/** What round trips usually take more than the fastest: the noise of this machine and that one. */
const spreadMs = (pings: ReadonlyArray<Ping>): number => medianOfFew(pings.map((p) => p.ms)) - anchorMs(pings)

interface TransferNews {
  readonly count: number
  readonly isStep: boolean
  /** 1 slower, -1 faster, 0 neither. */
  readonly direction: number
  readonly sinceMs: number
  readonly slowdown: number
}

/** The same of transfers that tell a bandwidth, by their time per byte. */
const lookForNews = (history: PathHistory, settings: EstimatorSettings): TransferNews => {
  const none = { count: 0, isStep: false, direction: 0, sinceMs: 0, slowdown: 1 }
  if (history.pings.length === 0) return none
  const { stepSamples, stepShare, tellingMs } = settings
  const presentMs = anchorMs(clean(history.pings))
  const transferJitterMs = Math.max(settings.transferJitterMs, 2 * spreadMs(clean(history.pings)))
  for (let count = Math.min(stepSamples, history.transfers.length - 1); count > 0; count--) {
    const last = history.transfers.slice(-count)
    const level = slope(history.transfers.slice(0, -count), presentMs, settings)
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
    // Of the estimate, which ends at the fastest link: transfers may have shown no time on the wire at all.
    const slowdown = Math.max(1, medianOfFew(values) / Math.max(leastPerByteMs(settings), level))
    const sinceMs = last[0]?.atMs ?? 0
    return { count, isStep: count === stepSamples && alike, direction, sinceMs, slowdown }
  }
  return none
}

/** Each history is asked several times: for steps, for doubts, for fears. */
const newsOf = new WeakMap<
  PathHistory,
  { readonly settings: EstimatorSettings; readonly news: TransferNews }
>()

const transferNews = (history: PathHistory, settings: EstimatorSettings): TransferNews => {
  const known = newsOf.get(history)
  if (known?.settings === settings) return known.news
  const news = lookForNews(history, settings)
  newsOf.set(history, { settings, news })
  return news
}

/**
 * Forgets samples from before a step. A step of the delay leaves the bandwidth alone: earlier transfers keep the round trip
 * that was theirs. A step of the bandwidth leaves the round trips alone.
 */
export const afterStep = (history: PathHistory, settings: EstimatorSettings, nowMs: number): PathHistory => {
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
  const transfer = transferNews(history, settings)
  if (!transfer.isStep) return history
  // Slower transfers may also be a longer delay: a ping after the first of them has to show that it is not.
  const presentMs = anchorMs(clean(history.pings))
  const margin = Math.max(settings.pingJitterMs, settings.stepShare * presentMs)
  const shown = history.pings.some((p) => p.atMs >= transfer.sinceMs && p.ms <= presentMs + margin)
  if (transfer.direction > 0 && !shown) return history
  return { ...history, transfers: history.transfers.slice(-transfer.count), steppedMs: nowMs }
}

/** What the newest samples put in doubt: they contradict what was believed, and are too few for a step. */
export const doubt = (
  history: PathHistory,
  settings: EstimatorSettings = defaultEstimatorSettings,
): { readonly delay: boolean; readonly bandwidth: boolean } => {
  const ping = pingNews(history.pings, settings)
  const transfer = transferNews(history, settings)
  return { delay: ping.count > 0, bandwidth: transfer.count > 0 }
}

/**
 * What the newest samples would make of the path if they are a step to the worse: its delay (one way, ms), and how many times
 * longer a transfer takes. Undefined where they are not worse, or have been believed already.
 */
export const feared = (
  history: PathHistory,
  settings: EstimatorSettings = defaultEstimatorSettings,
): { readonly delayMs: number; readonly slowdown: number } | undefined => {
  const { count } = pingNews(history.pings, settings)
  const newest = count === 0 ? 0 : anchorMs(clean(history.pings).slice(-count))
  const { direction, slowdown } = transferNews(history, settings)
  if (newest <= anchorMs(clean(history.pings)) && direction <= 0) return undefined
  return {
    delayMs: Math.max(0, newest / 2 - settings.messageMs),
    slowdown: direction > 0 ? slowdown : 1,
  }
}
