/**
 * Planning a request whose try was lost or is overdue. Time is what is short then: what is chosen has to begin at once, on
 * devices that have it ready, and its objective is the time that is left. Nothing is thought about meanwhile.
 */
import type { Condition, Slo } from "../policies/Condition.ts"
import type { KnownStrategy, Load, Portfolio } from "./Portfolio.ts"

/** Of a latency objective: beyond it, the answer comes soon rather than as badly as it can be had a little sooner. */
const leastShare = 0.25

/** The objective of a request that has been under way for `spentMs`: networks get smaller rather than late. */
export const remaining = (slo: Slo, spentMs: number): Slo =>
  slo.kind === "accuracy"
    ? slo
    : { kind: "latency", latencyMs: Math.max(leastShare * slo.latencyMs, slo.latencyMs - spentMs) }

/** Waiting less than this share of the objective is what every request does: it changes nothing. */
const usualWait = 0.05

/** The objective of a request that waited for its turn. */
export const leftAfter = (slo: Slo, waitedMs: number): Slo =>
  slo.kind === "latency" && waitedMs > usualWait * slo.latencyMs ? remaining(slo, waitedMs) : slo

/** The best strategy that is ready on all its devices; where none meets the objective, also of those for this one alone. */
export const readyAtOnce = (
  known: Portfolio,
  now: Condition,
  slo: Slo,
  load: Load,
): KnownStrategy | undefined => {
  const ready = known.bestReady(now, slo, load)
  if (ready?.meets === true) return ready
  // A device has the blocks of whole networks at hand: making one ready asks nobody and takes some ms.
  const isNear: Load["isReady"] = (id, strategy) =>
    strategy.devices.length === 1 || load.isReady(id, strategy)
  return known.bestReady(now, slo, { ...load, isReady: isNear })
}
