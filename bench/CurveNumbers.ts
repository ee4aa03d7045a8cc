/** Learning curves in numbers: the row of a method, and by how much one is ahead of another. */
import { type Row, mean } from "./Bench.ts"
import type { NamedCurves } from "./LearningCurves.ts"
import type { Curve } from "./TrainingPool.ts"

/** Reward as a share of the oracle's after so many environment steps: between two validations in proportion. */
export const rewardAt = (curve: Curve, steps: number): number => {
  const after = curve.findIndex((r) => r.steps > steps)
  const [before, next] = [curve[after < 0 ? curve.length - 1 : after - 1], curve[after]]
  if (before === undefined || next === undefined) return (before ?? next)?.overOracle.reward ?? Number.NaN
  const part = (steps - before.steps) / (next.steps - before.steps)
  return before.overOracle.reward + part * (next.overOracle.reward - before.overOracle.reward)
}

/** The most environment steps that all of them have taken. */
export const equalSteps = (all: ReadonlyArray<NamedCurves>): number =>
  Math.min(...all.flatMap(({ curves }) => curves.map((c) => c.at(-1)?.steps ?? 0)))

/** Of values at the end of each seed's training. */
const summary = (values: ReadonlyArray<number>) => ({
  mean: mean(values),
  spread: Math.max(...values) - Math.min(...values),
})

/** At the end of training, but for what says otherwise; `steps`: where all methods are compared beside that. */
export const curveRow = ({ name, curves }: NamedCurves, steps: number): Row => {
  const last = curves.flatMap((c) => c.slice(-1))
  const reward = summary(last.map((r) => r.overOracle.reward))
  const compliance = summary(last.map((r) => r.overOracle.compliance))
  const remembered = last.flatMap((r) => (r.remembered === undefined ? [] : [r.remembered.reward]))
  return {
    method: name,
    reward_over_oracle: reward.mean,
    reward_spread: reward.spread,
    compliance_over_oracle: compliance.mean,
    compliance_spread: compliance.spread,
    // Over the whole curve: who is ahead from early on, not only at the end.
    reward_mean_of_curve: mean(curves.map((c) => mean(c.map((r) => r.overOracle.reward)))),
    ...(remembered.length === 0 ? {} : { remembered_reward: mean(remembered) }),
    environment_steps: Math.round(mean(last.map((r) => r.steps))),
    equal_steps: steps,
    reward_at_equal_steps: mean(curves.map((c) => rewardAt(c, steps))),
    seconds: mean(last.map((r) => r.seconds)),
  }
}

export interface Lead {
  /** Between the means of the seeds, at the end of training. */
  readonly lead: number
  /** The larger of the two spreads of seeds: a lead below it may be luck. */
  readonly spread: number
}

/** Of each problem: how far one method's reward is ahead of another's. */
export const leadsOver = (rows: ReadonlyArray<Row>, one: string, other: string): ReadonlyArray<Lead> => {
  const of = (method: string) => rows.filter((row) => row["method"] === method)
  const same = (a: Row, b: Row) => a["scenario"] === b["scenario"] && a["slo"] === b["slo"]
  return of(one).flatMap((mine) =>
    of(other)
      .filter((theirs) => same(mine, theirs))
      .map((theirs) => ({
        lead: Number(mine["reward_over_oracle"]) - Number(theirs["reward_over_oracle"]),
        spread: Math.max(Number(mine["reward_spread"]), Number(theirs["reward_spread"])),
      })),
  )
}
