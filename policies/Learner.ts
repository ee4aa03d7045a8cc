/**
 * What the three algorithms share, so that a comparison compares algorithms: the same environment, network, optimiser and
 * supervised update, the same number of iterations, each of as many environment steps but for what SUPREME adds where it corrects
 * and leaves out where it no longer explores. Each algorithm is one file with one loop body.
 */
import type { Random } from "../supernet/Random.ts"
import type { Environment } from "./Environment.ts"
import type { Genome } from "./Genome.ts"
import type { Forward, PolicyNetwork } from "./PolicyNetwork.ts"
import type { Collected, RolloutPlan } from "./Rollouts.ts"
import type { Constraint } from "./Scenario.ts"
import type { Learn } from "./Update.ts"

export interface LearnerContext {
  readonly environment: Environment
  readonly network: PolicyNetwork
  readonly random: Random
  /** Share of the training that is done now, or after so many more iterations, 0..1: for schedules. */
  readonly progress: (ahead?: number) => number
  /** Iterations that are done, those before a checkpoint too. */
  readonly done: () => number
  /** Runs strategies as the network is now; it may be changed while they run. Every result is an environment step. */
  readonly collect: (plan: RolloutPlan) => Promise<Collected>
  /** Makes an update of the network, on as many threads as there are. */
  readonly learn: Learn
}

/** What one iteration did, for the log. */
export interface IterationReport {
  /** Loss of the update: negative log-likelihood per trajectory, or PPO's surrogate. */
  readonly loss: number
  /** Mean reward of the roll-outs collected. */
  readonly rolloutReward: number
  readonly details: Readonly<Record<string, number>>
}

export interface Learner {
  readonly name: string
  /** Collects data, then updates the network. */
  readonly iterate: () => Promise<IterationReport>
  /** The best strategy that the learner remembers for a constraint, if it keeps such a memory. */
  readonly recall?: (constraint: Constraint) => Genome | undefined
  /** Everything remembered, for a checkpoint; and its way back: each is run again, since the models may have changed. */
  readonly memory?: () => ReadonlyArray<Imitated>
  readonly restore?: (memory: ReadonlyArray<Imitated>) => void
}

/** Lets messages in and out between two updates. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Learning rate that decays by a cosine from `rate` to a twentieth of it. */
export const cosineRate = (rate: number, progress: number): number =>
  rate * (0.05 + 0.95 * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress))))

export interface Imitated {
  readonly constraint: Constraint
  readonly genome: Genome
  /** How much it counts; negative: away from it. Default 1. */
  readonly weight?: number
}

/** A trajectory's term is its weight in the loss. */
export interface Imitation {
  readonly of: "imitation"
  readonly terms: ReadonlyArray<number>
}

/** Weighted negative log-likelihood, and its gradient. */
export const imitationLoss = ({ genomeOf, logLikelihood, rows }: Forward, { terms }: Imitation) => {
  let value = 0
  const dLogLikelihood = new Float32Array(rows)
  for (let r = 0; r < rows; r++) {
    const weight = terms[genomeOf[r] ?? -1]
    if (weight === undefined) continue
    value -= (logLikelihood[r] ?? 0) * weight
    dLogLikelihood[r] = -weight
  }
  return { value, gradient: { dLogLikelihood } }
}

/** One supervised step towards choosing these genomes under these constraints (GCSL's update). Returns the loss. */
export const imitate = async (
  learn: Learn,
  examples: ReadonlyArray<Imitated>,
  rate: number,
): Promise<number> => {
  if (examples.length === 0) return 0
  const batch = {
    constraints: examples.map((e) => e.constraint),
    genomes: examples.map((e) => e.genome),
  }
  const terms = examples.map(({ weight = 1 }) => weight / examples.length)
  return learn({ batch, loss: { of: "imitation", terms } }, { rate, maxNorm: 5 })
}
