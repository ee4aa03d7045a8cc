/**
 * One training: an algorithm in an environment for a number of iterations, validated from time to time against the oracle,
 * with checkpoints that can be resumed. Deterministic for a seed (a resumed run draws other random numbers from there on).
 */
import { readFileSync, writeFileSync } from "node:fs"
import { seededRandom } from "../supernet/Random.ts"
import type { SloKind } from "./Condition.ts"
import { type Environment, makeEnvironment } from "./Environment.ts"
import { gcsl } from "./Gcsl.ts"
import type { Learner, LearnerContext } from "./Learner.ts"
import { cachedOracle, defaultOracle, type OracleOptions } from "./Oracle.ts"
import { PolicyNetwork } from "./PolicyNetwork.ts"
import { policyShape } from "./PolicyShape.ts"
import { ppo } from "./Ppo.ts"
import type { Constraint } from "./Scenario.ts"
import type { Setting } from "./Setting.ts"
import { supreme, type SupremeSettings } from "./Supreme.ts"
import { normalised, type Score, scoreStrategies, validationConstraints } from "./Validation.ts"

export const algorithms = ["supreme", "gcsl", "ppo"] as const
export type Algorithm = (typeof algorithms)[number]

export interface TrainOptions {
  readonly algorithm: Algorithm
  readonly kind: SloKind
  readonly seed: number
  readonly iterations: number
  /** Environment steps per iteration, the same for all algorithms. */
  readonly stepsPerIteration: number
  /** Trajectories per update. */
  readonly batch: number
  readonly hidden: number
  /** Validate after every so many iterations. */
  readonly validateEvery: number
  readonly validationCount: number
  readonly oracle: OracleOptions
  /** For ablations, and for trainings whose environment is cheap. */
  readonly supreme: Partial<SupremeSettings>
  /** Folder for oracle results. */
  readonly cacheFolder: string
  /** Written at every validation, read at the start if it exists and fits. */
  readonly checkpoint?: string
  readonly onReport?: (report: ValidationReport) => void
}

export const trainDefaults: TrainOptions = {
  algorithm: "supreme",
  kind: "latency",
  seed: 1,
  iterations: 2000,
  stepsPerIteration: 128,
  batch: 128,
  hidden: 256,
  validateEvery: 50,
  validationCount: 128,
  oracle: defaultOracle,
  supreme: {},
  cacheFolder: ".cache/policies",
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
  readonly network: PolicyNetwork
  readonly curve: ReadonlyArray<ValidationReport>
  readonly validation: ReadonlyArray<Constraint>
  readonly oracle: Score
}

const learnerOf = (context: LearnerContext, options: TrainOptions): Learner => {
  const { batch, stepsPerIteration } = options
  switch (options.algorithm) {
    case "supreme": {
      const rollouts = Math.round(stepsPerIteration / 2)
      const mutations = stepsPerIteration - rollouts
      return supreme(context, { batch, rollouts, mutations, ...options.supreme })
    }
    case "gcsl":
      return gcsl(context, { batch, rollouts: stepsPerIteration })
    case "ppo":
      return ppo(context, { rollouts: stepsPerIteration })
  }
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
    policyShape(setting.world.space, setting.scenario.remotes.length, options.hidden),
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
  const curve: Array<ValidationReport> = [...(resumed?.curve ?? [])]
  const begin = resumed?.iteration ?? 0
  const before = curve.at(-1)
  let iteration = begin
  const learner = learnerOf(
    { environment, network, random, progress: () => iteration / options.iterations },
    options,
  )
  const started = performance.now()
  for (iteration = begin; iteration < options.iterations;) {
    const done = learner.iterate()
    iteration++
    if (iteration % options.validateEvery !== 0 && iteration !== options.iterations) continue
    const score = scoreStrategies(environment, validation, decodeAll(network, validation))
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
    options.onReport?.(report)
    if (options.checkpoint !== undefined) writeCheckpoint(options.checkpoint, network, iteration, curve)
  }
  return { environment, network, curve, validation, oracle }
}

interface Checkpoint {
  readonly iteration: number
  readonly curve: ReadonlyArray<ValidationReport>
  readonly updates: number
  readonly sizes: readonly [number, number]
}

/** One JSON line, then the weights and Adam's moments as raw float32. */
const writeCheckpoint = (
  file: string,
  network: PolicyNetwork,
  iteration: number,
  curve: ReadonlyArray<ValidationReport>,
) => {
  const { weights, moments, updates } = network.snapshot()
  const header: Checkpoint = { iteration, curve, updates, sizes: [weights.length, moments.length] }
  const bytes = (a: Float32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength)
  writeFileSync(
    file,
    Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bytes(weights), bytes(moments)]),
  )
}

const readCheckpoint = (file: string, network: PolicyNetwork): Checkpoint | undefined => {
  let data: Buffer
  try {
    data = readFileSync(file)
  } catch {
    return undefined
  }
  const end = data.indexOf("\n")
  const header = JSON.parse(data.subarray(0, end).toString()) as Checkpoint
  const [weights, moments] = header.sizes
  if (weights !== network.snapshot().weights.length) {
    throw new RangeError(
      `checkpoint ${file} is of a network with ${weights} weights: remove it, or train the same shape`,
    )
  }
  const floats = (from: number, count: number) =>
    new Float32Array(Uint8Array.from(data.subarray(from, from + 4 * count)).buffer)
  network.restore({
    weights: floats(end + 1, weights),
    moments: floats(end + 1 + 4 * weights, moments),
    updates: header.updates,
  })
  return header
}
