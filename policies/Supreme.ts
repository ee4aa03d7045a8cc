/**
 * SUPREME (paper section 4.4): goal-conditioned supervised learning from a replay buffer that is improved while it is used.
 * Read `iterate` from top to bottom: collect with the policy, mutate the buffer, imitate the buffer. From some point on, what
 * the policy itself does wrong is corrected in the same update.
 */
import { canonicalize, type Genome } from "./Genome.ts"
import { cosineRate, type Imitated, imitate, type Learner, type LearnerContext } from "./Learner.ts"
import type { Outcome } from "./Objective.ts"
import { ReplayBuffer, type ReplaySettings } from "./ReplayBuffer.ts"
import { type Collected, meanReward, type Mutation } from "./Rollouts.ts"
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
  /**
   * Share of the training after which the policy's own choices count in the update: weighted by what they earn more or less
   * than what the buffer remembers. Imitation alone does not see that a mixture of two good strategies misses the SLO.
   * Roll-outs are then without random choices. 1: never.
   */
  readonly correct: number
  /** Start from the largest and the smallest submodel. */
  readonly bootstrap: boolean
  /** Examples are drawn for an SLO stricter by this ease than the one shown: small errors of the network still comply. */
  readonly safety: number
}

export const supremeDefaults: SupremeSettings = {
  rollouts: 32,
  mutations: 96,
  batch: 32,
  updates: 4,
  rate: 0.015,
  epsilon: 0.05,
  replay: {},
  curriculum: 0.3,
  explore: 0.7,
  correct: 0.5,
  bootstrap: true,
  safety: 0.01,
}

export const supreme = (context: LearnerContext, options: Partial<SupremeSettings> = {}): Learner => {
  const settings = { ...supremeDefaults, ...options }
  const { environment, random, progress, learn } = context
  const buffer = new ReplayBuffer(environment.dimensions, settings.replay)

  /** Relabels a strategy with what it reached and files it where it is among the best. */
  const file = (constraint: Constraint, genome: Genome, outcome: Outcome) => {
    const relabelled = environment.relabel(constraint, genome, outcome)
    // Relabelled, it meets its own SLO by construction: it earns what the objective leaves free.
    buffer.add({ ...relabelled, reward: environment.rewardOf(outcome) })
  }

  const explore = (constraint: Constraint, genome: Genome) =>
    file(constraint, genome, environment.step(constraint, genome))

  /** First the SLO and one remote's bandwidth vary, then its delay, then the next remote joins, and so on. */
  const varying = (): number => {
    const all = environment.dimensions
    const share = settings.curriculum <= 0 ? 1 : progress() / settings.curriculum
    return Math.min(all, 2 + Math.floor(share * (all - 1)))
  }

  const drawGrid = () => environment.draw(random, { varying: varying(), grid: true })
  /** On the grid or between its points. */
  const drawAny = () => environment.draw(random, { varying: varying(), grid: random.next() < 0.5 })

  if (settings.bootstrap) {
    const alone = new Float64Array(environment.dimensions).fill(absent)
    for (const genome of environment.bootstrap) explore(alone, genome)
  }

  /** What now serves a random constraint, to be changed under that very constraint: badly served ones get the most tries. */
  const mutations = (): ReadonlyArray<Mutation> =>
    Array.from({ length: settings.mutations }, () => {
      const [a, b] = [drawGrid(), drawGrid()]
      const constraint = buffer.gap(a) >= buffer.gap(b) ? a : b
      const parent = buffer.lookUp(constraint, random) ?? buffer.sample(random)
      return parent === undefined ? [] : [{ constraint, parent: parent.genome }]
    }).flat()

  /** Has the policy and the mutations of the buffer tried, for an iteration that begins at this progress. */
  const collect = (at: number) => {
    const [exploring, correcting] = [at < settings.explore, at >= settings.correct]
    const rollouts = exploring || correcting ? settings.rollouts : 0
    const plan = {
      choose: Array.from({ length: rollouts }, correcting ? drawAny : drawGrid),
      epsilon: correcting ? 0 : settings.epsilon,
      mutate: exploring ? mutations() : [],
    }
    return { correcting, done: context.collect(plan) }
  }

  /** Files what was tried. What the policy chose counts by how much it is better or worse than what the buffer remembers. */
  const learnFrom = ({ chosen, mutated }: Collected): ReadonlyArray<Imitated> => {
    environment.count(chosen.length + mutated.length)
    const own = chosen.map(({ constraint, genome, ...result }) => {
      const known = buffer.lookUp(constraint)
      const expected = known === undefined ? 0 : environment.peek(constraint, known.genome).reward
      file(constraint, canonicalize(environment.world.space, genome.slice()), result)
      return { constraint, genome, weight: result.reward - expected }
    })
    for (const { constraint, genome, ...result } of mutated) file(constraint, genome, result)
    return own
  }

  /** Constraints on the grid and between its points, each with the best strategy known to satisfy it. */
  const examples = (): ReadonlyArray<Imitated> =>
    Array.from({ length: settings.batch }, () => {
      const constraint = drawAny()
      const stricter = constraint.slice()
      stricter[0] = (constraint[0] ?? 0) - settings.safety
      const found = buffer.lookUp(stricter, random) ?? buffer.lookUp(constraint, random)
      return found === undefined ? [] : [{ constraint, genome: found.genome }]
    }).flat()

  let next: ReturnType<typeof collect> | undefined

  return {
    name: "supreme",
    memory: () => buffer.trajectories(),
    restore: (memory) => {
      for (const { constraint, genome } of memory) explore(constraint, genome)
    },
    recall: (constraint) => buffer.lookUp(constraint)?.genome,
    iterate: async () => {
      const { correcting, done } = next ?? collect(progress())
      const tried = await done
      const choices = learnFrom(tried)
      // The next roll-outs run while the network learns, with the weights that it has now.
      next = progress(1) < 1 ? collect(progress(1)) : undefined
      const own = correcting ? choices : []
      let loss = 0
      for (let u = 0; u < settings.updates; u++) {
        // The policy's own choices are its own only until it changes: they count in the first update.
        const batch = u === 0 ? [...examples(), ...own] : examples()
        loss += (await imitate(learn, batch, cosineRate(settings.rate, progress()))) / settings.updates
      }
      return {
        loss,
        rolloutReward: meanReward(tried.chosen),
        details: { buckets: buffer.buckets, pruned: buffer.pruned, dims: varying() },
      }
    },
  }
}
