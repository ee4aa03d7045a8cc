/**
 * What makes one outcome better than another under an SLO: the reward of the paper (equations 2 and 3), and a score that
 * also ranks outcomes that miss the SLO, for searches that must find their way to it.
 */
import type { Slo, SloKind } from "./Condition.ts"

export interface Outcome {
  readonly latencyMs: number
  /** Top-1, 0..1. */
  readonly accuracy: number
}

export const meetsSlo = (slo: Slo, outcome: Outcome): boolean =>
  slo.kind === "latency" ? outcome.latencyMs <= slo.latencyMs : outcome.accuracy >= slo.accuracy

/**
 * Reward of a finished strategy. Latency SLO, eq. 2: alpha A - beta where L <= L_slo, else 0. Accuracy SLO, eq. 3:
 * alpha L - beta where A >= A_slo, else 0; less latency must pay more, so there alpha is negative (the sign is lost in
 * print) and beta = -1. `latencySloReward` and `accuracySloReward` choose alpha and beta so that the outcomes that one would ask
 * for earn between 0.1 and 1, more than a miss, and averages can be compared between scenarios. A compliant outcome beyond that
 * (less accurate by its cuts than any uniform submodel, slower than the largest one alone) earns less, and nothing at worst.
 */
export interface RewardScale {
  readonly alpha: number
  readonly beta: number
}

/** Reward that the worst compliant outcome earns. */
const floor = 0.1

/** For a latency SLO, from the lowest and highest accuracy (0..1) that the supernet's submodels have. */
export const latencySloReward = (minAccuracy: number, maxAccuracy: number): RewardScale => {
  const alpha = (1 - floor) / (maxAccuracy - minAccuracy)
  return { alpha, beta: alpha * minAccuracy - floor }
}

/** For an accuracy SLO, from the latency (ms) of the largest submodel alone on the local device: nobody need be slower. */
export const accuracySloReward = (slowestMs: number): RewardScale => ({
  alpha: -(1 - floor) / slowestMs,
  beta: -1,
})

/** alpha A - beta, or alpha L - beta: what an outcome earns where it meets the SLO. */
export const earned = (scale: RewardScale, kind: SloKind, outcome: Outcome): number =>
  Math.max(0, scale.alpha * (kind === "latency" ? outcome.accuracy : outcome.latencyMs) - scale.beta)

export const reward = (scale: RewardScale, slo: Slo, outcome: Outcome): number =>
  meetsSlo(slo, outcome) ? earned(scale, slo.kind, outcome) : 0

/**
 * Ranks any two outcomes. Compliant ones are above 0 and ordered by what the SLO leaves free (accuracy, or latency); the
 * others are below 0, ordered by how far they miss. A hint of the bound value breaks ties, so that searches drift to slack.
 */
export const score = (slo: Slo, { latencyMs, accuracy }: Outcome): number => {
  if (slo.kind === "latency") {
    return latencyMs <= slo.latencyMs
      ? accuracy - 1e-6 * (latencyMs / slo.latencyMs)
      : 1 - latencyMs / slo.latencyMs
  }
  return accuracy >= slo.accuracy
    ? 1 / (1 + latencyMs) + 1e-9 * accuracy
    : accuracy - slo.accuracy - 1e-6 * (latencyMs / (1 + latencyMs))
}

/** What no outcome of this accuracy scores more than, whatever its latency: most need not be looked at to know which is best. */
export const highestScore = (slo: Slo, accuracy: number): number => {
  if (slo.kind === "latency") return accuracy
  return accuracy >= slo.accuracy ? 1 + 1e-9 * accuracy : accuracy - slo.accuracy
}

/** What is worth making another strategy ready, or thinking on: top-1, and share of the latency. */
const noticeable = { accuracy: 0.002, latency: 0.05 }

/** Whether what was found serves the objective noticeably better than what is known. */
export const isNoticeablyBetter = (slo: Slo, found: Outcome, known: Outcome | undefined): boolean => {
  if (known === undefined) return true
  if (meetsSlo(slo, found) !== meetsSlo(slo, known)) return meetsSlo(slo, found)
  const isAboutAccuracy = (slo.kind === "latency") === meetsSlo(slo, found)
  return isAboutAccuracy
    ? found.accuracy > known.accuracy + noticeable.accuracy
    : found.latencyMs < known.latencyMs * (1 - noticeable.latency)
}
