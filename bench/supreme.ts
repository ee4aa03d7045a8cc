/**
 * The paper's figures 11 and 12: average reward and normalised compliance against environment steps, for SUPREME, GCSL and
 * PPO, same environment, network, iterations and seeds. Validation constraints are spread evenly over the space; shares are of an
 * oracle's (long searches on each of them).
 */
import { type BenchModule, type BenchOptions, type BenchResult, type Check, type Row } from "./Bench.ts"
import { type Lead, leadsOver } from "./CurveNumbers.ts"
import { trainingFlags } from "./Flags.ts"
import { compare, type Contestant, leadNote } from "./PolicyCurves.ts"

/** Supervised learners share one learning rate, PPO has its own (`ppoDefaults`). */
const contestants: ReadonlyArray<Contestant> = [
  { name: "SUPREME", algorithm: "supreme" },
  { name: "GCSL", algorithm: "gcsl" },
  { name: "PPO", algorithm: "ppo" },
]

/** On the problem where least of the lead is left when the spread of the seeds is taken off. */
const leadCheck = (rows: ReadonlyArray<Row>, other: string): Check => {
  const left = ({ lead, spread }: Lead) => lead - spread
  const [worst] = leadsOver(rows, "SUPREME", other).toSorted((a, b) => left(a) - left(b))
  return {
    name: `lead_over_${other.toLowerCase()}`,
    value: worst?.lead ?? Number.NaN,
    op: ">",
    bound: worst?.spread ?? Number.NaN,
  }
}

/** How many environment steps a method took in the end, over the problems. */
const stepsText = (rows: ReadonlyArray<Row>, method: string): string => {
  const steps = rows.filter((r) => r["method"] === method).map((r) => Number(r["environment_steps"]))
  return `${method} ${Math.min(...steps)} to ${Math.max(...steps)}`
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const { rows, figures, seeds, notes } = await compare(
    options,
    contestants,
    ({ scenario, slo }) => `supreme-${scenario}-${slo}.svg`,
  )
  const worst = (column: string) =>
    Math.min(...rows.filter((r) => r["method"] === "SUPREME").map((r) => Number(r[column])))
  return {
    kind: "modelled",
    rows,
    figures,
    checks: [
      { name: "compliance_over_oracle", value: worst("compliance_over_oracle"), op: ">=", bound: 0.97 },
      { name: "reward_over_oracle", value: worst("reward_over_oracle"), op: ">=", bound: 0.97 },
      leadCheck(rows, "GCSL"),
      leadCheck(rows, "PPO"),
      { name: "seeds", value: seeds, op: ">=", bound: 3 },
    ],
    notes: [
      ...notes,
      leadNote,
      `Environment steps in the end: ${contestants.map(({ name }) => stepsText(rows, name)).join(", ")}.`,
    ],
  }
}

export const bench: BenchModule = {
  name: "supreme",
  proves:
    "SUPREME learns better policies than GCSL and PPO in as many iterations and no more environment steps (figures 11, 12)",
  takes: "half an hour; seconds where the curves are known",
  flags: trainingFlags,
  run,
}
