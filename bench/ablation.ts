/** SUPREME without each of its parts, at the same environment steps: what each is worth. */
import { type BenchModule, type BenchOptions, type BenchResult } from "./Bench.ts"
import { trainingFlags } from "./Flags.ts"
import { compare, type Contestant, trainingNotes } from "./PolicyCurves.ts"

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

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const { rows, figures, seeds } = await compare(
    options,
    contestants,
    ({ scenario, slo }) => `ablation-${scenario}-${slo}.svg`,
  )
  const reward = (method: string) => {
    const all = rows.filter((r) => r["method"] === method).map((r) => Number(r["reward_over_oracle"]))
    return all.reduce((a, b) => a + b, 0) / all.length
  }
  return {
    kind: "modelled",
    rows,
    figures,
    checks: contestants.slice(1).map(({ name }) => ({
      name: `worth of what is missing in '${name}'`,
      value: reward("SUPREME") - reward(name),
      op: ">" as const,
      bound: 0,
    })),
    notes: [`${seeds} seeds.`, ...trainingNotes()],
  }
}

export const bench: BenchModule = {
  name: "ablation",
  proves: "each part of SUPREME is worth its place",
  takes: "half an hour",
  flags: trainingFlags,
  run,
}
