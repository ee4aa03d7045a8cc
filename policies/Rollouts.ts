/**
 * Data collection in pieces that anybody can do: a job carries all that a piece depends on (weights by version, a seed of its
 * own, constraints, parents of mutations), so its result is the same wherever it runs, and doing it twice does no harm.
 */
import { below, type Random, seededRandom } from "../supernet/Random.ts"
import type { Environment } from "./Environment.ts"
import { canonicalize, confine, type Genome } from "./Genome.ts"
import { mutate } from "./Moves.ts"
import type { Outcome } from "./Objective.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import type { Constraint } from "./Scenario.ts"

/** A strategy to change under a constraint. */
export interface Mutation {
  readonly constraint: Constraint
  readonly parent: Genome
}

/** What to collect at once. */
export interface RolloutPlan {
  /** The policy chooses a strategy for each. */
  readonly choose: ReadonlyArray<Constraint>
  /** Chance, per decision, of a random choice. */
  readonly epsilon: number
  readonly mutate: ReadonlyArray<Mutation>
}

/** A piece of a plan. */
export interface RolloutJob extends RolloutPlan {
  /** Version of the weights that choose. */
  readonly version: number
  readonly seed: number
}

/** Per constraint of the job, those of `choose` first: the strategy (chosen ones raw, slots as devices) and what it reached. */
export interface RolloutResult {
  readonly genomes: ReadonlyArray<Genome>
  readonly outcomes: ReadonlyArray<Outcome>
}

export interface Tried extends Outcome {
  readonly constraint: Constraint
  readonly genome: Genome
  readonly reward: number
}

/** In the order of the plan. */
export interface Collected {
  readonly chosen: ReadonlyArray<Tried>
  readonly mutated: ReadonlyArray<Tried>
}

export const meanReward = (tried: ReadonlyArray<{ readonly reward: number }>): number =>
  tried.reduce((sum, t) => sum + t.reward, 0) / Math.max(1, tried.length)

/** Does a job; the network has the job's weights. */
export const rollOut = (environment: Environment, network: PolicyNetwork, job: RolloutJob): RolloutResult => {
  const random = seededRandom(job.seed)
  const { space } = environment.world
  const chosen =
    job.choose.length === 0 ? [] : network.choose(job.choose, { greedy: false, epsilon: job.epsilon, random })
  const mutated = job.mutate.map(({ constraint, parent }) => {
    const usable = environment.usable(constraint)
    return mutate(space, confine(space, parent, usable), usable, random, 1 + below(random, 3))
  })
  const outcome = (constraint: Constraint | undefined, genome: Genome): Outcome => {
    if (constraint === undefined) throw new RangeError("a strategy per constraint")
    const { latencyMs, accuracy } = environment.peek(constraint, canonicalize(space, genome.slice()))
    return { latencyMs, accuracy }
  }
  return {
    genomes: [...chosen, ...mutated],
    outcomes: [
      ...chosen.map((genome, i) => outcome(job.choose[i], genome)),
      ...mutated.map((genome, i) => outcome(job.mutate[i]?.constraint, genome)),
    ],
  }
}

/** Jobs per plan: so many may work on it at once. Always the same number, so that the workers' number changes nothing. */
export const jobsPerPlan = 4

const piece = <A>(items: ReadonlyArray<A>, index: number): ReadonlyArray<A> =>
  items.slice(
    Math.round((index * items.length) / jobsPerPlan),
    Math.round(((index + 1) * items.length) / jobsPerPlan),
  )

export const jobsOf = (plan: RolloutPlan, version: number, random: Random): ReadonlyArray<RolloutJob> =>
  Array.from({ length: jobsPerPlan }, (_, i) => ({
    version,
    seed: below(random, 0x1_0000_0000),
    epsilon: plan.epsilon,
    choose: piece(plan.choose, i),
    mutate: piece(plan.mutate, i),
  })).filter((job) => job.choose.length + job.mutate.length > 0)

/** The jobs' results as one, judged under the plan's constraints. */
export const collected = (
  environment: Environment,
  jobs: ReadonlyArray<RolloutJob>,
  results: ReadonlyArray<RolloutResult>,
): Collected => {
  const tried = (job: number, at: number, constraint: Constraint): Tried => {
    const [genome, outcome] = [results[job]?.genomes[at], results[job]?.outcomes[at]]
    if (genome === undefined || outcome === undefined) throw new RangeError("a result per constraint")
    return { constraint, genome, ...environment.rewarded(constraint, outcome) }
  }
  return {
    chosen: jobs.flatMap((job, j) => job.choose.map((c, i) => tried(j, i, c))),
    mutated: jobs.flatMap((job, j) =>
      job.mutate.map(({ constraint }, i) => tried(j, job.choose.length + i, constraint)),
    ),
  }
}
