/**
 * One training: an algorithm in an environment for a number of iterations, validated from time to time against the oracle,
 * with checkpoints that can be resumed. Deterministic for a seed (a resumed run draws other random numbers from there on).
 */
import { seededRandom } from "../supernet/Random.ts"
import { learnerOf, type LearningOptions } from "./Algorithms.ts"
import {
  type Checkpoint,
  identityOf,
  readCheckpoint,
  startFrom,
  type TrainingIdentity,
  type Validated,
  writeCheckpoint,
} from "./Checkpoint.ts"
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
  /** Written at every validation, read at the start if it exists; one of another training is refused. */
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

/** What a training is validated on: the same constraints for all algorithms, and what the oracle reaches there. */
interface Exam {
  readonly environment: Environment
  readonly constraints: ReadonlyArray<Constraint>
  readonly oracle: Score
}

const examOf = (setting: Setting, options: TrainOptions, environment: Environment): Exam => {
  const count = options.validationCount
  const constraints = validationConstraints(setting.scenario, { count, grid: true })
  const cacheFile = (hash: string) => `${options.cacheFolder}/oracle-${hash}.json`
  const { score } = cachedOracle(environment, constraints, cacheFile, setting.models, options.oracle)
  return { environment, constraints, oracle: score }
}

const remembered = (
  { environment, constraints, oracle }: Exam,
  { recall }: Learner,
): { readonly remembered?: Score } => {
  if (recall === undefined) return {}
  const nothing = environment.bootstrap[0] ?? new Uint8Array()
  const genomes = constraints.map((c) => recall(c) ?? nothing)
  return { remembered: normalised(scoreStrategies(environment, constraints, genomes), oracle) }
}

/** Where a training begins: at its checkpoint, at another training's weights, or with new ones, in the network. */
const beginning = (network: PolicyNetwork, options: TrainOptions, identity: TrainingIdentity) => {
  const { checkpoint, startFrom: other } = options
  const resumed = checkpoint === undefined ? undefined : readCheckpoint(checkpoint, network, identity)
  const memory = resumed?.memory ?? (other === undefined ? [] : startFrom(other, network))
  return { resumed, memory, average: resumed?.average ?? network.parameters.copy() }
}

/** A training that runs. */
interface Running {
  readonly exam: Exam
  readonly network: PolicyNetwork
  readonly learner: Learner
  /** Averaged weights. */
  readonly average: Float32Array
  readonly resumed: Checkpoint | undefined
  readonly identity: TrainingIdentity
}

/** The learning curve, the best weights so far, and both on disk. */
const makeRecord = (running: Running, options: TrainOptions) => {
  const { exam, network, learner, average, resumed, identity } = running
  const { environment, constraints, oracle } = exam
  const curve: Array<ValidationReport> = [...(resumed?.curve ?? [])]
  const before = curve.at(-1)
  // What a resumed training remembers was run again to file it: those steps are in its curve already.
  const repeated = resumed === undefined ? 0 : environment.steps()
  const started = performance.now()
  let best: Validated | undefined = resumed?.best
  const validate = (iteration: number, done: IterationReport): Validated => {
    const decoded = network.parameters.withWeights(average, () => decodeAll(network, constraints))
    const score = scoreStrategies(environment, constraints, decoded)
    const report: ValidationReport = {
      iteration,
      steps: (before?.steps ?? 0) + environment.steps() - repeated,
      seconds: (before?.seconds ?? 0) + (performance.now() - started) / 1000,
      score,
      overOracle: normalised(score, oracle),
      ...remembered(exam, learner),
      ...done,
    }
    curve.push(report)
    if (best === undefined || score.reward >= best.report.score.reward)
      best = { report, weights: average.slice() }
    options.onReport?.(report)
    if (options.checkpoint !== undefined)
      writeCheckpoint(options.checkpoint, identity, network, learner, { iteration, curve, average, best })
    return best
  }
  return { curve, validate, best: () => best }
}

/** Seed of what is drawn from an iteration on: a training that goes on must not repeat the draws of its beginning. */
const seedFrom = (seed: number, iteration: number): number => seed ^ Math.imul(iteration, 0x9e3779b1)

export const train = async (setting: Setting, options: TrainOptions): Promise<Training> => {
  const environment = makeEnvironment(setting.world, setting.scenario, options.kind)
  const first = seededRandom(options.seed)
  const network = await PolicyNetwork.make(
    policyShape(setting.world.space, setting.scenario.remotes.length, options.hidden, options.stepPer),
    first,
  )
  const exam = examOf(setting, options, environment)
  const identity = identityOf(setting, options)
  const { resumed, memory, average } = beginning(network, options, identity)
  let iteration = resumed?.iteration ?? 0
  const random = iteration === 0 ? first : seededRandom(seedFrom(options.seed, iteration))
  const crewRandom = seededRandom(seedFrom(options.seed + 1, iteration))
  const crew = makeCrew(environment, network, crewRandom, lanesOf(setting, options))
  const done = () => iteration
  const progress = (ahead = 0) => (iteration + ahead) / options.iterations
  const learner = learnerOf(
    { environment, network, random, progress, done, collect: crew.collect, learn: crew.learn },
    options,
  )
  learner.restore?.(memory)
  const record = makeRecord({ exam, network, learner, average, resumed, identity }, options)
  try {
    while (iteration < options.iterations) {
      const report = await learner.iterate()
      iteration++
      // A short memory at first, so that the first weights are soon forgotten.
      network.parameters.averageInto(average, Math.min(options.averaging, iteration / (iteration + 10)))
      const isDue = iteration % options.validateEvery === 0 || iteration === options.iterations
      if (isDue) record.validate(iteration, report)
    }
  } finally {
    await crew.close()
  }
  // No iterations: an earlier policy is judged by the present models.
  const best = record.best() ?? record.validate(iteration, { loss: 0, rolloutReward: 0, details: {} })
  network.parameters.restore({ weights: best.weights })
  const { constraints: validation, oracle } = exam
  return { environment, network, best: best.report, curve: record.curve, validation, oracle }
}

const lanesOf = (
  { scenario }: Setting,
  { kind, hidden, stepPer, workers, lanes = [] }: TrainOptions,
): ReadonlyArray<Lane> => {
  const threads = Math.max(workers - 1, lanes.length > 0 ? 1 : 0)
  return [...Array.from({ length: threads }, () => threadLane({ scenario, kind, hidden, stepPer })), ...lanes]
}
