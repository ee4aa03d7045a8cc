/**
 * One training: an algorithm in an environment for a number of iterations, validated from time to time against the oracle,
 * with checkpoints that can be resumed. Deterministic for a seed (a resumed run draws other random numbers from there on).
 */
import { seededRandom } from "../supernet/Random.ts"
import { learnerOf, type LearningOptions } from "./Algorithms.ts"
import { readCheckpoint, startFrom, writeCheckpoint } from "./Checkpoint.ts"
import { type Lane, makeCrew } from "./Crew.ts"
import type { SloKind } from "./Condition.ts"
import { type Environment, makeEnvironment } from "./Environment.ts"
import type { IterationReport, Learner } from "./Learner.ts"
import { cachedOracle, defaultOracle, type OracleOptions } from "./Oracle.ts"
import { PolicyNetwork } from "./PolicyNetwork.ts"
import { policyShape, type StepUnit } from "./PolicyShape.ts"
import type { Constraint } from "./Scenario.ts"
import type { Setting } from "./Setting.ts"
import { threadLane } from "./ThreadLane.ts"
import { normalised, type Score, scoreStrategies, validationConstraints } from "./Validation.ts"

export interface TrainOptions extends LearningOptions {
  readonly kind: SloKind
  readonly seed: number
  readonly iterations: number
  readonly hidden: number
  /** What the network takes a step of its LSTM for. */
  readonly stepPer: StepUnit
  /**
   * Decay of the running average of the weights, which is what is validated and shipped: it steadies a policy whose
   * targets still change. The same for all algorithms.
   */
  readonly averaging: number
  /** Validate after every so many iterations. */
  readonly validateEvery: number
  readonly validationCount: number
  readonly oracle: OracleOptions
  /** Folder for oracle results. */
  readonly cacheFolder: string
  /** Written at every validation, read at the start if it exists and fits. */
  readonly checkpoint?: string
  /** Threads: 1 is this one alone, n adds n - 1 that roll out and help with updates. The result is the same for any number. */
  readonly workers: number
  /** Further lanes for roll-outs, such as over the bus: beside a thread of this process at least, so that it goes on. */
  readonly lanes?: ReadonlyArray<Lane>
  readonly onReport?: (report: ValidationReport) => void
}

export const trainDefaults: TrainOptions = {
  algorithm: "supreme",
  kind: "latency",
  seed: 1,
  iterations: 1000,
  stepsPerIteration: 128,
  hidden: 64,
  stepPer: "block",
  averaging: 0.99,
  validateEvery: 50,
  validationCount: 128,
  oracle: defaultOracle,
  supreme: {},
  gcsl: {},
  ppo: {},
  cacheFolder: ".cache/policies",
  workers: 1,
}

/** A point of the learning curve. */
export interface ValidationReport {
  readonly iteration: number
  /** Environment steps so far. */
  readonly steps: number
  readonly seconds: number
  /** Greedy decoding on the validation grid: as it is, and as shares of the oracle's. */
  readonly score: Score
  readonly overOracle: Score
  /** The same for what the learner remembers (SUPREME's buffer): the ceiling of imitation. */
  readonly remembered?: Score
  readonly loss: number
  readonly rolloutReward: number
  readonly details: Readonly<Record<string, number>>
}

export interface Training {
  readonly environment: Environment
  /** Holds the averaged weights of the best validation. */
  readonly network: PolicyNetwork
  /** The validation with the highest reward: what these weights reach. */
  readonly best: ValidationReport
  readonly curve: ReadonlyArray<ValidationReport>
  readonly validation: ReadonlyArray<Constraint>
  readonly oracle: Score
}

/** Greedy strategies of the policy, in pieces that keep its buffers small. */
export const decodeAll = (network: PolicyNetwork, constraints: ReadonlyArray<Constraint>) => {
  const random = seededRandom(0)
  const piece = 128
  return Array.from({ length: Math.ceil(constraints.length / piece) }, (_, i) =>
    network.choose(constraints.slice(i * piece, (i + 1) * piece), { greedy: true, random }),
  ).flat()
}

const remembered = (
  environment: Environment,
  learner: Learner,
  validation: ReadonlyArray<Constraint>,
  oracle: Score,
): { readonly remembered?: Score } => {
  if (learner.recall === undefined) return {}
  const nothing = environment.bootstrap[0] ?? new Uint8Array()
  const genomes = validation.map((c) => learner.recall?.(c) ?? nothing)
  return { remembered: normalised(scoreStrategies(environment, validation, genomes), oracle) }
}

export const train = async (setting: Setting, options: TrainOptions): Promise<Training> => {
  const environment = makeEnvironment(setting.world, setting.scenario, options.kind)
  const random = seededRandom(options.seed)
  const network = await PolicyNetwork.make(
    policyShape(setting.world.space, setting.scenario.remotes.length, options.hidden, options.stepPer),
    random,
  )
  const validation = validationConstraints(setting.scenario, { count: options.validationCount, grid: true })
  const oracle = cachedOracle(
    environment,
    validation,
    (hash) => `${options.cacheFolder}/oracle-${hash}.json`,
    setting.models,
    options.oracle,
  ).score
  const resumed = options.checkpoint === undefined ? undefined : readCheckpoint(options.checkpoint, network)
  const earlier = resumed ?? startFrom(options.startFrom, network)
  const average = resumed?.average ?? network.parameters.snapshot().weights
  const curve: Array<ValidationReport> = [...(resumed?.curve ?? [])]
  const begin = resumed?.iteration ?? 0
  const before = curve.at(-1)
  let iteration = begin
  const crew = makeCrew(environment, network, seededRandom(options.seed + 1), lanesOf(setting, options))
  const progress = (ahead = 0) => (iteration + ahead) / options.iterations
  const learner = learnerOf(
    { environment, network, random, progress, collect: crew.collect, learn: crew.learn },
    options,
  )
  learner.restore?.(earlier?.memory ?? [])
  const started = performance.now()
  let best: { readonly report: ValidationReport; readonly weights: Float32Array } | undefined
  const validate = (done: IterationReport) => {
    const decoded = network.parameters.withWeights(average, () => decodeAll(network, validation))
    const score = scoreStrategies(environment, validation, decoded)
    const report: ValidationReport = {
      iteration,
      steps: (before?.steps ?? 0) + environment.steps(),
      seconds: (before?.seconds ?? 0) + (performance.now() - started) / 1000,
      score,
      overOracle: normalised(score, oracle),
      ...remembered(environment, learner, validation, oracle),
      ...done,
    }
    curve.push(report)
    if (best === undefined || report.score.reward >= best.report.score.reward) {
      best = { report, weights: average.slice() }
    }
    options.onReport?.(report)
    if (options.checkpoint !== undefined)
      writeCheckpoint(options.checkpoint, network, average, learner, iteration, curve)
  }
  try {
    for (iteration = begin; iteration < options.iterations;) {
      const done = await learner.iterate()
      iteration++
      // A short memory at first, so that the first weights are soon forgotten.
      network.parameters.averageInto(average, Math.min(options.averaging, iteration / (iteration + 10)))
      if (iteration % options.validateEvery === 0 || iteration === options.iterations) validate(done)
    }
  } finally {
    await crew.close()
  }
  // No iterations: an earlier policy is judged by the present models.
  if (best === undefined) validate({ loss: 0, rolloutReward: 0, details: {} })
  const { report, weights } = best ?? missing()
  network.parameters.restore({ weights })
  return { environment, network, best: report, curve, validation, oracle }
}

const lanesOf = (
  { scenario }: Setting,
  { kind, hidden, stepPer, workers, lanes = [] }: TrainOptions,
): ReadonlyArray<Lane> => {
  const threads = Math.max(workers - 1, lanes.length > 0 ? 1 : 0)
  return [...Array.from({ length: threads }, () => threadLane({ scenario, kind, hidden, stepPer })), ...lanes]
}

const missing = (): never => {
  throw new RangeError("a training validates at least once")
}
