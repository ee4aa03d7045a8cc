/** What `bench mobility` judges each method by: how many of its answers are in time, and how accurate those are. */
import type { Condition, Slo } from "../policies/Condition.ts"
import { meetsSlo, type Outcome } from "../policies/Objective.ts"
import { type Check, mean, type Row } from "./Bench.ts"

export const slo = { kind: "latency", latencyMs: 80 } as const satisfies Slo
/** Top-1 that an application may need; a method's answers below it are then as good as late. */
export const thresholds = [0.74, 0.75, 0.76, 0.77, 0.78]

export const ours = "ours"
export const knowing = "ours, knowing the moment"
export const oneStrategy = "ours, one strategy for all"

/** One answer of each method; nothing where none of its plans keeps the SLO. */
export interface Moment {
  readonly second: number
  readonly condition: Condition
  readonly outcomes: ReadonlyMap<string, Outcome | undefined>
}

/** How likely an answer is right and in time: its top-1, or nothing where it is late. */
export const worth = (outcome: Outcome | undefined): number =>
  outcome !== undefined && meetsSlo(slo, outcome) ? outcome.accuracy : 0

/** Of one method, 0..1. */
export interface Score {
  readonly method: string
  readonly inTime: number
  /** Mean top-1 of the answers in time; 0 where there are none. */
  readonly top1InTime: number
  /** The two multiplied: the share of answers that one expects to be right and in time. */
  readonly rightInTime: number
  /** For each threshold: the share of answers in time that are expected to be at least so accurate. */
  readonly atLeast: ReadonlyArray<number>
}

export const scoreOf = (moments: ReadonlyArray<Moment>, method: string): Score => {
  const worths = moments.map((m) => worth(m.outcomes.get(method)))
  const share = (counts: (w: number) => boolean) => worths.filter(counts).length / worths.length
  const inTime = share((w) => w > 0)
  const rightInTime = mean(worths)
  return {
    method,
    inTime,
    top1InTime: inTime === 0 ? 0 : rightInTime / inTime,
    rightInTime,
    atLeast: thresholds.map((t) => share((w) => w >= t)),
  }
}

const percent = (value: number): number => Number((100 * value).toFixed(1))

export const rowOf = (score: Score): Row => ({
  method: score.method,
  inTimePercent: percent(score.inTime),
  top1InTime: percent(score.top1InTime),
  rightInTimePercent: percent(score.rightInTime),
  ...Object.fromEntries(
    thresholds.map((t, i) => [`atLeast${Math.round(100 * t)}Percent`, percent(score.atLeast[i] ?? 0)]),
  ),
})

/** Points of answers right and in time: ours above the best of the others, and above what needs no adaptation at all. */
export const checksOf = (
  scores: ReadonlyArray<Score>,
  baselines: ReadonlyArray<string>,
): ReadonlyArray<Check> => {
  const best = (...names: ReadonlyArray<string>) =>
    Math.max(...scores.filter((s) => names.includes(s.method)).map((s) => s.rightInTime))
  const lead = (...others: ReadonlyArray<string>) => 100 * (best(ours) - best(...others))
  return [
    { name: "lead_over_best_baseline_points", value: lead(...baselines), op: ">", bound: 0 },
    { name: "lead_over_one_strategy_in_hindsight_points", value: lead(oneStrategy), op: ">", bound: 0 },
  ]
}
