/**
 * Trainings as curves, for the benches that compare learning: one training per contestant and seed, each curve kept in
 * `.cache/policies`, so that an interrupted bench goes on with the seed at which it was.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { SloKind } from "../policies/Condition.ts"
import { type Algorithm, settingsOf } from "../policies/Algorithms.ts"
import { gcslDefaults, type GcslSettings } from "../policies/Gcsl.ts"
import { ppoDefaults, type PpoSettings } from "../policies/Ppo.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import type { StepUnit } from "../policies/PolicyShape.ts"
import { supremeDefaults, type SupremeSettings } from "../policies/Supreme.ts"
import { trainDefaults, type TrainOptions, type ValidationReport } from "../policies/Train.ts"
import { type BenchOptions, mean, projectRoot, type Row } from "./Bench.ts"
import { learningCurves, type NamedCurves } from "./LearningCurves.ts"
import { type Curve, trainAll, type TrainingJob } from "./TrainingPool.ts"

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
  return scenarios.flatMap((scenario) =>
    kinds.filter((kind) => wanted.includes(kind)).map((slo) => ({ scenario, slo })),
  )
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

const cacheFile = (setting: Setting, options: TrainOptions): string => {
  // With every default written out, so that a changed default is a changed key.
  const key = JSON.stringify([setting.scenario, setting.models, options, settingsOf(options)])
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 16)
  return join(projectRoot, ".cache", "policies", `curve-${hash}.json`)
}

const readCurve = (file: string) => JSON.parse(readFileSync(file, "utf8")) as Curve

/** A curve per job, in order: those known from an earlier run, and the others trained now. */
const curvesOf = async (
  setting: Setting,
  jobs: ReadonlyArray<TrainingJob>,
  workers: number,
): Promise<ReadonlyArray<Curve>> => {
  const filed = jobs.map((job) => ({ ...job, file: cacheFile(setting, job.options) }))
  const unknown = filed.filter(({ file }) => !existsSync(file))
  await trainAll(unknown, workers, ({ file }, curve) => {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify(curve))
  })
  return filed.map(({ file }) => readCurve(file))
}

const summary = (curves: NamedCurves["curves"], at: (r: ValidationReport) => number) => {
  const last = curves.flatMap((c) => c.slice(-1).map(at))
  return { mean: mean(last), spread: Math.max(...last) - Math.min(...last) }
}

const rowOf = (problem: Problem, { name, curves }: NamedCurves): Row => {
  const reward = summary(curves, (r) => r.overOracle.reward)
  const compliance = summary(curves, (r) => r.overOracle.compliance)
  const remembered = curves.flatMap((c) => {
    const last = c.at(-1)?.remembered
    return last === undefined ? [] : [last.reward]
  })
  return {
    ...problem,
    method: name,
    reward_over_oracle: reward.mean,
    reward_spread: reward.spread,
    compliance_over_oracle: compliance.mean,
    compliance_spread: compliance.spread,
    // Over the whole curve: who is ahead from early on, not only at the end.
    reward_mean_of_curve: mean(curves.map((c) => mean(c.map((r) => r.overOracle.reward)))),
    ...(remembered.length === 0 ? {} : { remembered_reward: mean(remembered) }),
    environment_steps: curves[0]?.at(-1)?.steps ?? 0,
    seconds: mean(curves.map((c) => c.at(-1)?.seconds ?? 0)),
  }
}

/** Trains every contestant on every problem with every seed: rows, and a figure per problem. */
export const compare = async (
  bench: BenchOptions,
  contestants: ReadonlyArray<Contestant>,
  figureName: (problem: Problem) => string,
) => {
  const rows: Array<Row> = []
  const figures = new Map<string, string>()
  const seeds = seedsOf(bench)
  for (const problem of problemsOf(bench)) {
    const setting = loadSetting(problem.scenario)
    const jobs = contestants.flatMap((contestant) =>
      seeds.map((seed) => ({
        scenario: problem.scenario,
        options: optionsOf(bench, problem, contestant, seed),
      })),
    )
    const curves = await curvesOf(setting, jobs, Number(bench.arguments.get("workers") ?? 1))
    const all = contestants.map(({ name }, c): NamedCurves => {
      const from = c * seeds.length
      return { name, curves: curves.slice(from, from + seeds.length) }
    })
    for (const named of all) {
      rows.push(rowOf(problem, named))
      console.log(JSON.stringify(rows.at(-1)))
    }
    const title = `${problem.scenario}, ${problem.slo} SLO`
    figures.set(figureName(problem), learningCurves(title, `mean and range of ${seeds.length} seeds`, all))
  }
  return { rows, figures, seeds: seeds.length }
}

/** What both benches say about how they train. */
export const trainingNotes = (): ReadonlyArray<string> => [
  `LSTM of ${trainDefaults.hidden} units for all; ${trainDefaults.stepsPerIteration} environment steps an iteration; SUPREME makes ${supremeDefaults.updates} updates of ${supremeDefaults.batch} trajectories in it, GCSL ${gcslDefaults.updates} of ${gcslDefaults.batch}, PPO ${ppoDefaults.epochs} epochs of minibatches of ${ppoDefaults.batch}. Greedy decoding of averaged weights on ${validationCount} constraints, a quarter of them with remotes missing; no repair.`,
  "Latency by the model in devices/latency, ImageNet accuracy by the regression of OFA's predictor. The machine was shared: seconds are no speed measurement.",
]
