/** SUPREME without each of its parts, trained for the same iterations: what each is worth, beside the spread of the seeds. */
import { type BenchModule, type BenchOptions, type BenchResult, type Check, mean, type Row } from "./Bench.ts"
import { leadsOver } from "./CurveNumbers.ts"
import { trainingFlags } from "./Flags.ts"
import { compare, type Contestant, leadNote } from "./PolicyCurves.ts"

/**
 * Without sharing nothing is relabelled but the SLO (see `makeMemory` in policies/Supreme.ts) and nothing is pruned, since both
 * take for granted that a more relaxed constraint is served from a stricter bucket.
 */
const contestants: ReadonlyArray<Contestant> = [
  { name: "SUPREME", algorithm: "supreme" },
  { name: "no sharing", algorithm: "supreme", supreme: { replay: { share: false, prune: false } } },
  { name: "no pruning", algorithm: "supreme", supreme: { replay: { prune: false } } },
  { name: "no mutation", algorithm: "supreme", supreme: { rollouts: 128, mutations: 0 } },
  { name: "no curriculum", algorithm: "supreme", supreme: { curriculum: 0 } },
  { name: "no bootstrap", algorithm: "supreme", supreme: { bootstrap: false } },
  { name: "no correction", algorithm: "supreme", supreme: { correct: 1 } },
]

/** Means over the problems, of the spreads too: what is left of luck when it is averaged is less. */
const worthOf = (rows: ReadonlyArray<Row>, without: string): Check => {
  const leads = leadsOver(rows, "SUPREME", without)
  return {
    name: `worth of what is missing in '${without}'`,
    value: mean(leads.map(({ lead }) => lead)),
    op: ">",
    bound: mean(leads.map(({ spread }) => spread)),
  }
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const { rows, figures, seeds, notes } = await compare(
    options,
    contestants,
    ({ scenario, slo }) => `ablation-${scenario}-${slo}.svg`,
  )
  return {
    kind: "modelled",
    rows,
    figures,
    checks: [
      ...contestants.slice(1).map(({ name }) => worthOf(rows, name)),
      { name: "seeds", value: seeds, op: ">=", bound: 3 },
    ],
    notes: [
      ...notes,
      leadNote,
      "Steps differ most without mutation (more: four times as many roll-outs are corrected, and what is remembered is run again for each) and without correction (fewer: nothing is tried in the last 30 %). What correction is worth includes the steps that it takes.",
    ],
  }
}

export const bench: BenchModule = {
  name: "ablation",
  proves: "what each part of SUPREME is worth in as many iterations, beside the spread of the seeds",
  takes: "half an hour; seconds where the curves are known",
  flags: trainingFlags,
  run,
}
