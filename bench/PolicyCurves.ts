/**
 * Trainings as curves, for the benches that compare learning: one training per contestant and seed, all for as many
 * iterations. How many environment steps that makes differs (correcting takes some, a part that is left out takes none).
 */
import type { SloKind } from "../policies/Condition.ts"
import type { Algorithm } from "../policies/Algorithms.ts"
import { gcslDefaults, type GcslSettings } from "../policies/Gcsl.ts"
import { ppoDefaults, type PpoSettings } from "../policies/Ppo.ts"
import { loadSetting } from "../policies/Setting.ts"
import type { StepUnit } from "../policies/PolicyShape.ts"
import { supremeDefaults, type SupremeSettings } from "../policies/Supreme.ts"
import { trainDefaults, type TrainOptions } from "../policies/Train.ts"
import type { BenchOptions, Row } from "./Bench.ts"
import { curveRow, equalSteps } from "./CurveNumbers.ts"
import { learningCurves, type NamedCurves } from "./LearningCurves.ts"
import { commitsOf, commitsText, curvesOf, type StoredCurve } from "./StoredCurves.ts"

export interface Contestant {
  readonly name: string
  readonly algorithm: Algorithm
  readonly stepPer?: StepUnit
  readonly supreme?: Partial<SupremeSettings>
  readonly gcsl?: Partial<GcslSettings>
  readonly ppo?: Partial<PpoSettings>
}

/** A learning problem: a scenario under one kind of SLO. */
export interface Problem {
  readonly scenario: string
  readonly slo: SloKind
}

/** Of 128 constraints each is almost a percent, and what a seed misses is a matter of luck: 91 and 94 % came from one setting. */
const validationCount = 512

const kinds: ReadonlyArray<SloKind> = ["latency", "accuracy"]

/** Both scenarios and both kinds of SLO, or what `--scenarios` and `--slo` say. */
export const problemsOf = (bench: BenchOptions): ReadonlyArray<Problem> => {
  const all = bench.quick ? "augmented-imagenet" : "augmented-imagenet,swarm-imagenet"
  const scenarios = (bench.arguments.get("scenarios") ?? all).split(",")
  const wanted = (bench.arguments.get("slo") ?? (bench.quick ? "latency" : kinds.join())).split(",")
  const problems = scenarios.flatMap((scenario) =>
    kinds.filter((kind) => wanted.includes(kind)).map((slo) => ({ scenario, slo })),
  )
  if (problems.length === 0) throw new RangeError(`nothing to learn under '${wanted.join()}'`)
  return problems
}

const seedsOf = (bench: BenchOptions): ReadonlyArray<number> =>
  Array.from(
    { length: Number(bench.arguments.get("seeds") ?? (bench.quick ? 1 : 3)) },
    (_, i) => i + bench.seed,
  )

const optionsOf = (
  bench: BenchOptions,
  { slo }: Problem,
  { algorithm, stepPer = trainDefaults.stepPer, supreme = {}, gcsl = {}, ppo = {} }: Contestant,
  seed: number,
): TrainOptions => {
  const iterations = Number(bench.arguments.get("iterations") ?? (bench.quick ? 60 : 400))
  const evaluations = bench.quick ? 1000 : 6000
  return {
    ...trainDefaults,
    algorithm,
    stepPer,
    kind: slo,
    seed,
    iterations,
    validateEvery: Math.max(10, Math.round(iterations / 20)),
    validationCount: bench.quick ? 32 : validationCount,
    oracle: { searchEvaluations: evaluations, polishEvaluations: Math.round(evaluations / 1.5), seed: 1 },
    supreme,
    gcsl,
    ppo,
  }
}

/** Every contestant on one problem, with every seed. */
const compareOn = async (bench: BenchOptions, problem: Problem, contestants: ReadonlyArray<Contestant>) => {
  const seeds = seedsOf(bench)
  const jobs = contestants.flatMap((contestant) =>
    seeds.map((seed) => ({
      scenario: problem.scenario,
      options: optionsOf(bench, problem, contestant, seed),
    })),
  )
  const stored = await curvesOf(loadSetting(problem.scenario), jobs, {
    workers: Number(bench.arguments.get("workers") ?? 1),
    anew: bench.arguments.has("anew"),
  })
  const ofContestant = (c: number) => stored.slice(c * seeds.length, (c + 1) * seeds.length)
  const all = contestants.map(({ name }, c): NamedCurves => ({
    name,
    curves: ofContestant(c).map(({ curve }) => curve),
  }))
  const steps = equalSteps(all)
  const rows = all.map((named, c): Row => ({
    ...problem,
    ...curveRow(named, steps),
    trained_at: commitsOf(ofContestant(c)),
  }))
  for (const row of rows) console.log(JSON.stringify(row))
  const title = `${problem.scenario}, ${problem.slo} SLO`
  return {
    rows,
    stored,
    figure: learningCurves(title, `mean and range of ${seeds.length} seeds`, all),
  }
}

/** Trains every contestant on every problem with every seed: rows, a figure per problem, and how it was trained. */
export const compare = async (
  bench: BenchOptions,
  contestants: ReadonlyArray<Contestant>,
  figureName: (problem: Problem) => string,
) => {
  const rows: Array<Row> = []
  const figures = new Map<string, string>()
  const stored: Array<StoredCurve> = []
  for (const problem of problemsOf(bench)) {
    const compared = await compareOn(bench, problem, contestants)
    rows.push(...compared.rows)
    stored.push(...compared.stored)
    figures.set(figureName(problem), compared.figure)
  }
  const seeds = seedsOf(bench).length
  return { rows, figures, seeds, notes: [commitsText(stored), ...trainingNotes(seeds)] }
}

/** What all of these benches say about how they train. */
const trainingNotes = (seeds: number): ReadonlyArray<string> => [
  `${seeds} ${seeds === 1 ? "seed" : "seeds"}; all methods for as many iterations, of ${trainDefaults.stepsPerIteration} environment steps but for what SUPREME leaves out while it explores nothing and adds while it corrects: environment_steps says how many were taken in the end. reward_at_equal_steps: the same curves at equal_steps, which all have taken, between two validations in proportion; whoever takes more in the end is in the middle of its schedule there.`,
  `LSTM of ${trainDefaults.hidden} units for all; SUPREME makes ${supremeDefaults.updates} updates of ${supremeDefaults.batch} trajectories in an iteration, GCSL ${gcslDefaults.updates} of ${gcslDefaults.batch}, PPO ${ppoDefaults.epochs} epochs of minibatches of ${ppoDefaults.batch}. Greedy decoding of averaged weights on ${validationCount} constraints, a quarter of them with remotes missing; no repair.`,
  "Latency by the model in devices/latency, ImageNet accuracy by the regression of OFA's predictor. The machine was shared: seconds are no speed measurement.",
]

/** How leads are judged, for the benches that judge them. */
export const leadNote =
  "A lead is the difference of the means over the seeds at the end of training. It must exceed the larger of the two spreads of the seeds (greatest less least): below that it may be luck."
