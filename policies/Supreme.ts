/**
 * SUPREME (paper section 4.4): goal-conditioned supervised learning from a replay buffer that is improved while it is used.
 * Read `iterate` from top to bottom: collect with the policy, mutate the buffer, imitate the buffer. From some point on, what
 * the policy itself does wrong is corrected in the same update.
 */
import type { Environment } from "./Environment.ts"
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
   * Share of the training after which nothing is mutated and no random choice is tried any more: a network cannot settle on
   * targets that keep changing. What the policy finds while it is corrected is still filed. 1: explore to the end.
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

/** The buffer, and what is tried filed in it. */
const makeMemory = (environment: Environment, settings: SupremeSettings) => {
  const buffer = new ReplayBuffer(environment.dimensions, settings.replay)
  /**
   * What a strategy was seen to satisfy. Only where buckets share may a remote without work count as absent: nobody who has
   * that remote would look there.
   */
  const satisfied = (constraint: Constraint, genome: Genome, outcome: Outcome) =>
    buffer.settings.share
      ? environment.relabel(constraint, genome, outcome)
      : { constraint: environment.relabelSlo(constraint, outcome), genome }

  /** Relabels a strategy with what it reached and files it where it is among the best. */
  const file = (constraint: Constraint, genome: Genome, outcome: Outcome) => {
    // Relabelled, it meets its own SLO by construction: it earns what the objective leaves free.
    buffer.add({ ...satisfied(constraint, genome, outcome), reward: environment.rewardOf(outcome) })
  }

  const explore = (constraint: Constraint, genome: Genome) =>
    file(constraint, genome, environment.step(constraint, genome))

  if (settings.bootstrap) {
    const alone = new Float64Array(environment.dimensions).fill(absent)
    for (const genome of environment.bootstrap) explore(alone, genome)
  }
  return { buffer, file, explore }
}

/** Constraints under the curriculum: first the SLO and one remote's bandwidth vary, then its delay, then the next remote joins. */
const makeDraws = ({ environment, random, progress }: LearnerContext, settings: SupremeSettings) => {
  const varying = (): number => {
    const all = environment.dimensions
    const share = settings.curriculum <= 0 ? 1 : progress() / settings.curriculum
    return Math.min(all, 2 + Math.floor(share * (all - 1)))
  }
  return {
    varying,
    grid: () => environment.draw(random, { varying: varying(), grid: true }),
    /** On the grid or between its points. */
    any: () => environment.draw(random, { varying: varying(), grid: random.next() < 0.5 }),
  }
}

/** What is tried in an iteration. */
const makeTries = (
  context: LearnerContext,
  settings: SupremeSettings,
  buffer: ReplayBuffer,
  draw: ReturnType<typeof makeDraws>,
) => {
  const { random } = context

  /** What now serves a random constraint, to be changed under that very constraint: badly served ones get the most tries. */
  const mutations = (): ReadonlyArray<Mutation> =>
    Array.from({ length: settings.mutations }, () => {
      const [a, b] = [draw.grid(), draw.grid()]
      const constraint = buffer.gap(a) >= buffer.gap(b) ? a : b
      const parent = buffer.lookUp(constraint, random) ?? buffer.sample(random)
      return parent === undefined ? [] : [{ constraint, parent: parent.genome }]
    }).flat()

  /** Has the policy and the mutations of the buffer tried, for an iteration that begins at this progress. */
  const collect = (at: number) => {
    const [exploring, correcting] = [at < settings.explore, at >= settings.correct]
    const rollouts = exploring || correcting ? settings.rollouts : 0
    const plan = {
      choose: Array.from({ length: rollouts }, correcting ? draw.any : draw.grid),
      epsilon: correcting ? 0 : settings.epsilon,
      mutate: exploring ? mutations() : [],
    }
    return { correcting, done: context.collect(plan) }
  }
  return collect
}

/** What an iteration learns from. */
const makeLessons = (
  { environment, random }: LearnerContext,
  settings: SupremeSettings,
  { buffer, file }: ReturnType<typeof makeMemory>,
  draw: ReturnType<typeof makeDraws>,
) => {
  /** What the buffer's answer earns: nothing where it has none. Run anew, as links may be better than where it was found. */
  const expected = (constraint: Constraint): number => {
    const known = buffer.lookUp(constraint)
    return known === undefined ? 0 : environment.step(constraint, known.genome).reward
  }

  /** Files what was tried. When correcting, gives what the policy chose, weighted by how much more or less it earns than expected. */
  const learnFrom = ({ chosen, mutated }: Collected, correcting: boolean): ReadonlyArray<Imitated> => {
    environment.count(chosen.length + mutated.length)
    const own = chosen.map(({ constraint, genome, ...result }) => {
      const weight = correcting ? result.reward - expected(constraint) : 0
      file(constraint, canonicalize(environment.world.space, genome.slice()), result)
      return { constraint, genome, weight }
    })
    for (const { constraint, genome, ...result } of mutated) file(constraint, genome, result)
    return correcting ? own : []
  }

  /** Constraints on the grid and between its points, each with the best strategy known to satisfy it. */
  const examples = (): ReadonlyArray<Imitated> =>
    Array.from({ length: settings.batch }, () => {
      const constraint = draw.any()
      const stricter = constraint.slice()
      stricter[0] = (constraint[0] ?? 0) - settings.safety
      const found = buffer.lookUp(stricter, random) ?? buffer.lookUp(constraint, random)
      return found === undefined ? [] : [{ constraint, genome: found.genome }]
    }).flat()

  return { learnFrom, examples }
}

export const supreme = (context: LearnerContext, options: Partial<SupremeSettings> = {}): Learner => {
  const settings = { ...supremeDefaults, ...options }
  const { progress, learn } = context
  const memory = makeMemory(context.environment, settings)
  const { buffer, explore } = memory
  const draw = makeDraws(context, settings)
  const collect = makeTries(context, settings, buffer, draw)
  const { learnFrom, examples } = makeLessons(context, settings, memory, draw)
  let next: ReturnType<typeof collect> | undefined

  return {
    name: "supreme",
    memory: () => buffer.trajectories(),
    restore: (known) => {
      for (const { constraint, genome } of known) explore(constraint, genome)
    },
    recall: (constraint) => buffer.lookUp(constraint)?.genome,
    iterate: async () => {
      const { correcting, done } = next ?? collect(progress())
      const tried = await done
      const own = learnFrom(tried, correcting)
      // The next roll-outs run while the network learns, with the weights that it has now.
      next = progress(1) < 1 ? collect(progress(1)) : undefined
      let loss = 0
      for (let u = 0; u < settings.updates; u++) {
        // The policy's own choices are its own only until it changes: they count in the first update.
        const batch = u === 0 ? [...examples(), ...own] : examples()
        loss += (await imitate(learn, batch, cosineRate(settings.rate, progress()))) / settings.updates
      }
      return {
        loss,
        rolloutReward: meanReward(tried.chosen),
        details: { buckets: buffer.buckets, pruned: buffer.pruned, dims: draw.varying() },
      }
    },
  }
}
