/**
 * Speed of the policies' trainer: environment steps and updates a second with one worker, and with two that train two seeds
 * side by side; and that a seed's curve does not depend on the number of workers.
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

const optionsOf = (iterations: number, seed: number): TrainOptions => ({
  ...trainDefaults,
  seed,
  iterations,
  validateEvery: iterations,
  validationCount: 16,
  oracle: { searchEvaluations: 200, polishEvaluations: 100, seed: 1 },
})

const timed = async (workers: number, iterations: number) => {
  const curves = new Map<number, Curve>()
  const jobs = seeds.map((seed) => ({ scenario, options: optionsOf(iterations, seed) }))
  const start = performance.now()
  await trainAll(jobs, workers, ({ options }, curve) => curves.set(options.seed, curve))
  return { seconds: (performance.now() - start) / 1000, curves }
}

/** Loading modules and models, compiling kernels: the same for any length, so it is taken off. */
const overheadAndTotal = async (workers: number, iterations: number) => {
  const short = await timed(workers, 1)
  const long = await timed(workers, iterations)
  return { seconds: long.seconds - short.seconds, curves: long.curves }
}

const scoresOf = (curves: ReadonlyMap<number, Curve>) =>
  JSON.stringify(seeds.map((seed) => curves.get(seed)?.map((r) => [r.steps, r.score, r.loss])))

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
  const one = await overheadAndTotal(1, iterations)
  const two = await overheadAndTotal(2, iterations)
  const updates = seeds.length * (iterations - 1) * supremeDefaults.updates
  const row = (workers: number, seconds: number): Row => {
    const steps = seeds.length * (iterations - 1) * trainDefaults.stepsPerIteration
    return {
      workers,
      environment_steps_per_s: steps / seconds,
      updates_per_s: updates / seconds,
      trajectories_per_s: (updates * supremeDefaults.batch) / seconds,
    }
  }
  return {
    kind: "measured",
    rows: [row(1, one.seconds), row(2, two.seconds)],
    checks: [
      { name: "two_worker_speedup", value: one.seconds / two.seconds, op: ">=", bound: 1.7 },
      {
        name: "same_curves",
        value: scoresOf(one.curves) === scoresOf(two.curves) ? 1 : 0,
        op: "=",
        bound: 1,
      },
    ],
    notes: [
      `${scenario}, latency SLO, LSTM of ${trainDefaults.hidden}, ${supremeDefaults.batch} trajectories an update, ${trainDefaults.stepsPerIteration} environment steps an iteration; two seeds, ${iterations} iterations each, start-up taken off.`,
    ],
  }
}

export const bench: BenchModule = {
  name: "policy-trainer",
  proves: "how fast policies train, and that two workers train two seeds in the time of one",
  takes: "two minutes",
  run,
}
