/**
 * SUPREME (paper section 4.4): goal-conditioned supervised learning from a replay buffer that is improved while it is used.
 * Read `iterate` from top to bottom: collect with the policy, mutate the buffer, imitate the buffer.
 */
import { below } from "../supernet/Random.ts"
import { canonicalize, confine } from "./Genome.ts"
import { cosineRate, type Imitated, imitate, type Learner, type LearnerContext } from "./Learner.ts"
import { mutate } from "./Moves.ts"
import { ReplayBuffer, type ReplaySettings } from "./ReplayBuffer.ts"
import { absent, type Constraint } from "./Scenario.ts"

export interface SupremeSettings {
  /** Strategies rolled out by the policy per iteration, and strategies made by mutation: both are environment steps. */
  readonly rollouts: number
  readonly mutations: number
  /** Trajectories imitated per update, and updates per iteration. */
  readonly batch: number
  readonly updates: number
  readonly rate: number
  /** Chance, per decision, of a random choice in roll-outs. */
  readonly epsilon: number
  readonly replay: Partial<ReplaySettings>
  /** Share of the training after which all dimensions of the constraint space vary; 0 turns the curriculum off. */
  readonly curriculum: number
  /**
   * Share of the training after which the buffer rests and only imitation goes on: a network cannot settle on targets
   * that keep changing. 1: explore to the end.
   */
  readonly explore: number
  /** Start from the largest and the smallest submodel. */
  readonly bootstrap: boolean
  /** Examples are drawn for an SLO stricter by this ease than the one shown: small errors of the network still comply. */
  readonly safety: number
}

export const supremeDefaults: SupremeSettings = {
  rollouts: 64,
  mutations: 64,
  batch: 128,
  updates: 1,
  rate: 2e-3,
  epsilon: 0.05,
  replay: {},
  curriculum: 0.3,
  explore: 0.7,
  bootstrap: true,
  safety: 0.01,
}

export const supreme = (context: LearnerContext, options: Partial<SupremeSettings> = {}): Learner => {
  const settings = { ...supremeDefaults, ...options }
  const { environment, network, random, progress } = context
  const buffer = new ReplayBuffer(environment.dimensions, settings.replay)

  /** Runs a strategy, relabels it with what it reached, files it where it is among the best. Returns its reward. */
  const explore = (constraint: Constraint, genome: Uint8Array): number => {
    const result = environment.step(constraint, genome)
    const relabelled = environment.relabel(constraint, genome, result)
    // Relabelled, it meets its own SLO by construction: it earns what the objective leaves free.
    const reward = environment.rewardOf(result)
    buffer.add({ ...relabelled, reward })
    return result.reward
  }

  /** First the SLO and one remote's bandwidth vary, then its delay, then the next remote joins, and so on. */
  const varying = (): number => {
    const all = environment.dimensions
    const share = settings.curriculum <= 0 ? 1 : progress() / settings.curriculum
    return Math.min(all, 2 + Math.floor(share * (all - 1)))
  }

  const drawGrid = () => environment.draw(random, { varying: varying(), grid: true })

  if (settings.bootstrap) {
    const alone = new Float64Array(environment.dimensions).fill(absent)
    for (const genome of environment.bootstrap) explore(alone, genome)
  }

  const collect = (): number => {
    const constraints = Array.from({ length: settings.rollouts }, drawGrid)
    const genomes = network.choose(constraints, { greedy: false, epsilon: settings.epsilon, random })
    let sum = 0
    for (const [i, genome] of genomes.entries()) {
      const constraint = constraints[i]
      if (constraint !== undefined) sum += explore(constraint, canonicalize(environment.world.space, genome))
    }
    return sum / Math.max(1, genomes.length)
  }

  /** Perturbs what now serves a random constraint, under that very constraint: badly served ones get the most tries. */
  const mutateBuffer = () => {
    for (let m = 0; m < settings.mutations; m++) {
      const [a, b] = [drawGrid(), drawGrid()]
      const constraint = buffer.gap(a) >= buffer.gap(b) ? a : b
      const parent = buffer.lookUp(constraint, random) ?? buffer.sample(random)
      if (parent === undefined) return
      const usable = environment.usable(constraint)
      const start = confine(environment.world.space, parent.genome, usable)
      explore(constraint, mutate(environment.world.space, start, usable, random, 1 + below(random, 3)))
    }
  }

  /** Constraints on the grid and between its points, each with the best strategy known to satisfy it. */
  const examples = (): ReadonlyArray<Imitated> =>
    Array.from({ length: settings.batch }, () => {
      const constraint = environment.draw(random, { varying: varying(), grid: random.next() < 0.5 })
      const stricter = constraint.slice()
      stricter[0] = (constraint[0] ?? 0) - settings.safety
      const found = buffer.lookUp(stricter, random) ?? buffer.lookUp(constraint, random)
      return found === undefined ? [] : [{ constraint, genome: found.genome }]
    }).flat()

  return {
    name: "supreme",
    memory: () => buffer.trajectories(),
    restore: (memory) => {
      for (const { constraint, genome } of memory) explore(constraint, genome)
    },
    recall: (constraint) => buffer.lookUp(constraint)?.genome,
    iterate: () => {
      const exploring = progress() < settings.explore
      const rolloutReward = exploring ? collect() : 0
      if (exploring) mutateBuffer()
      let loss = 0
      for (let u = 0; u < settings.updates; u++) {
        loss += imitate(network, examples(), cosineRate(settings.rate, progress())) / settings.updates
      }
      return {
        loss,
        rolloutReward,
        details: { buckets: buffer.buckets, pruned: buffer.pruned, dims: varying() },
      }
    },
  }
}
