/**
 * Speed of the policies' trainer: environment steps and updates a second. One training with one worker, and with two that
 * share roll-outs and updates; two seeds after each other, and side by side. A seed's curve is always the same.
 */
import { cachedOracle } from "../policies/Oracle.ts"
import { makeEnvironment } from "../policies/Environment.ts"
import { loadSetting } from "../policies/Setting.ts"
import { supremeDefaults } from "../policies/Supreme.ts"
import { trainDefaults, type TrainOptions } from "../policies/Train.ts"
import { validationConstraints } from "../policies/Validation.ts"
import { type BenchModule, type BenchOptions, type BenchResult, type Row } from "./Bench.ts"
import { type Curve, trainAll } from "./TrainingPool.ts"

const scenario = "swarm-imagenet"
const seeds = [1, 2]

const optionsOf = (iterations: number, seed: number, workers = 1): TrainOptions => ({
  ...trainDefaults,
  seed,
  iterations,
  workers,
  validateEvery: iterations,
  validationCount: 16,
  oracle: { searchEvaluations: 200, polishEvaluations: 100, seed: 1 },
})

interface Timed {
  readonly seconds: number
  readonly curves: ReadonlyArray<Curve>
}

/** Trains all seeds, so many at a time, each with so many workers. */
const timed = async (iterations: number, sideBySide: number, workers: number): Promise<Timed> => {
  const curves: Array<Curve> = []
  const jobs = seeds.map((seed) => ({ scenario, options: optionsOf(iterations, seed, workers) }))
  const start = performance.now()
  await trainAll(jobs, sideBySide, (job, curve) => (curves[seeds.indexOf(job.options.seed)] = curve))
  return { seconds: (performance.now() - start) / 1000, curves }
}

/** Loading modules and models, compiling kernels: the same for any length, so it is taken off. */
const trainingOnly = async (iterations: number, sideBySide: number, workers: number): Promise<Timed> => {
  const short = await timed(1, sideBySide, workers)
  const long = await timed(iterations, sideBySide, workers)
  return { seconds: long.seconds - short.seconds, curves: long.curves }
}

const scoresOf = ({ curves }: Timed) =>
  JSON.stringify(curves.map((curve) => curve.map((r) => [r.steps, r.score, r.loss])))

const run = async ({ quick }: BenchOptions): Promise<BenchResult> => {
  const iterations = quick ? 40 : 300
  const setting = loadSetting(scenario)
  // The oracle's file once, before the clock runs.
  const { validationCount, oracle, kind, cacheFolder } = optionsOf(iterations, 1)
  cachedOracle(
    makeEnvironment(setting.world, setting.scenario, kind),
    validationConstraints(setting.scenario, { count: validationCount, grid: true }),
    (hash) => `${cacheFolder}/oracle-${hash}.json`,
    setting.models,
    oracle,
  )
  const alone = await trainingOnly(iterations, 1, 1)
  const rolledOut = await trainingOnly(iterations, 1, 2)
  const sideBySide = await trainingOnly(iterations, 2, 1)
  const updates = seeds.length * (iterations - 1) * supremeDefaults.updates
  const row = (how: string, { seconds, curves }: Timed): Row => ({
    how,
    environment_steps_per_s: curves.reduce((sum, c) => sum + (c.at(-1)?.steps ?? 0), 0) / seconds,
    updates_per_s: updates / seconds,
    trajectories_per_s: (updates * supremeDefaults.batch) / seconds,
    speedup: alone.seconds / seconds,
  })
  const same = [rolledOut, sideBySide].every((other) => scoresOf(other) === scoresOf(alone))
  return {
    kind: "measured",
    rows: [
      row("one worker", alone),
      row("two workers on one training", rolledOut),
      row("two trainings side by side", sideBySide),
    ],
    checks: [
      { name: "speedup_of_one_training", value: alone.seconds / rolledOut.seconds, op: ">=", bound: 1.3 },
      { name: "speedup_side_by_side", value: alone.seconds / sideBySide.seconds, op: ">=", bound: 1.7 },
      { name: "same_curves", value: same ? 1 : 0, op: "=", bound: 1 },
    ],
    notes: [
      `${scenario}, latency SLO, LSTM of ${trainDefaults.hidden}, ${supremeDefaults.batch} trajectories an update, up to ${trainDefaults.stepsPerIteration} environment steps an iteration; two seeds, ${iterations} iterations each, start-up taken off.`,
    ],
  }
}

export const bench: BenchModule = {
  name: "policy-trainer",
  proves: "how fast policies train, and what a second worker gains: on one training, and on two",
  takes: "three minutes",
  unseeded: true,
  run,
}
