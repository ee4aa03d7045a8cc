/**
 * The paper's figures 11 and 12: average reward and normalised compliance against environment steps, for SUPREME, GCSL and
 * PPO, same environment, network, steps and seeds. Validation constraints are spread evenly over the space; shares are of an
 * oracle's (long searches on each of them).
 */
import { type BenchModule, type BenchOptions, type BenchResult } from "./Bench.ts"
import { trainingFlags } from "./Flags.ts"
import { compare, type Contestant, trainingNotes } from "./PolicyCurves.ts"

/** Supervised learners share one learning rate, PPO has its own (`ppoDefaults`). */
const contestants: ReadonlyArray<Contestant> = [
  { name: "SUPREME", algorithm: "supreme" },
  { name: "GCSL", algorithm: "gcsl" },
  { name: "PPO", algorithm: "ppo" },
]

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const { rows, figures, seeds } = await compare(
    options,
    contestants,
    ({ scenario, slo }) => `supreme-${scenario}-${slo}.svg`,
  )
  const values = (method: string, column: string) =>
    rows.filter((r) => r["method"] === method).map((r) => Number(r[column]))
  const worst = (column: string) => Math.min(...values("SUPREME", column))
  const lead = (other: string) => {
    const theirs = values(other, "reward_over_oracle")
    return Math.min(...values("SUPREME", "reward_over_oracle").map((r, i) => r - (theirs[i] ?? 0)))
  }
  return {
    kind: "modelled",
    rows,
    figures,
    checks: [
      { name: "compliance_over_oracle", value: worst("compliance_over_oracle"), op: ">=", bound: 0.97 },
      { name: "reward_over_oracle", value: worst("reward_over_oracle"), op: ">=", bound: 0.97 },
      { name: "lead_over_gcsl", value: lead("GCSL"), op: ">", bound: 0 },
      { name: "lead_over_ppo", value: lead("PPO"), op: ">", bound: 0 },
      { name: "seeds", value: seeds, op: ">=", bound: 3 },
    ],
    notes: trainingNotes(),
  }
}

export const bench: BenchModule = {
  name: "supreme",
  proves: "SUPREME learns better policies than GCSL and PPO from the same environment steps (figures 11, 12)",
  takes: "half an hour",
  flags: trainingFlags,
  run,
}
