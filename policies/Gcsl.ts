/**
 * Goal-conditioned supervised learning (Ghosh et al., 2021), as the paper's baseline: roll out, relabel each trajectory with
 * the goal that it reached, imitate everything in the replay buffer alike. The authors have epsilon 0.1 and a rate of 5e-4;
 * the settings here are the best that were found (docs/policies.md). Bootstrapped with the largest and the smallest
 * submodel, as the paper does.
 */
import { below } from "../supernet/Random.ts"
import { canonicalize, type Genome } from "./Genome.ts"
import { cosineRate, type Imitated, imitate, type Learner, type LearnerContext } from "./Learner.ts"
import type { Outcome } from "./Objective.ts"
import { meanReward } from "./Rollouts.ts"
import { absent, type Constraint } from "./Scenario.ts"

export interface GcslSettings {
  readonly rollouts: number
  readonly batch: number
  readonly updates: number
  readonly rate: number
  readonly epsilon: number
  /** Trajectories kept; the oldest goes first. */
  readonly capacity: number
  /** Iterations at first whose roll-outs are uniformly random. */
  readonly warmUp: number
  /**
   * Whether trajectories are kept whose goal is never asked for: slower or less accurate than the scenario's most relaxed
   * SLO. The authors keep everything; most random strategies are of that kind, and the policy then mostly learns those.
   */
  readonly outside: boolean
}

export const gcslDefaults: GcslSettings = {
  rollouts: 128,
  batch: 32,
  updates: 2,
  rate: 0.015,
  epsilon: 0.02,
  capacity: 20_000,
  warmUp: 10,
  outside: true,
}

export const gcsl = (context: LearnerContext, options: Partial<GcslSettings> = {}): Learner => {
  const settings = { ...gcslDefaults, ...options }
  const { environment, random, progress, done, collect, learn } = context
  const replay: Array<Imitated> = []
  let next = 0

  const keep = (example: Imitated) => {
    replay[next] = example
    next = (next + 1) % settings.capacity
  }

  /** Hindsight: whatever was reached is what should have been asked for. */
  const relabel = (constraint: Constraint, genome: Genome, result: Outcome) => {
    const asked = environment.relabelSlo(constraint, result)
    if (settings.outside || (asked[0] ?? 0) <= 1) keep({ constraint: asked, genome })
  }

  const alone = new Float64Array(environment.dimensions).fill(absent)
  for (const genome of environment.bootstrap) relabel(alone, genome, environment.step(alone, genome))

  /** For the iteration that begins when so many are done. */
  const rollOut = (begins: number) => {
    const choose = Array.from({ length: settings.rollouts }, () => environment.draw(random, { grid: true }))
    const epsilon = begins < settings.warmUp ? 1 : settings.epsilon
    return collect({ choose, epsilon, mutate: [] })
  }
  /** Collected while the network learns from what was collected before. */
  let coming: ReturnType<typeof rollOut> | undefined

  return {
    name: "gcsl",
    // The oldest first: they go first again.
    memory: () => [...replay.slice(next), ...replay.slice(0, next)],
    restore: (known) => {
      if (known.length === 0) return
      replay.length = next = 0
      for (const { constraint, genome } of known.slice(-settings.capacity))
        relabel(constraint, genome, environment.step(constraint, genome))
    },
    iterate: async () => {
      const { chosen } = await (coming ?? rollOut(done()))
      environment.count(chosen.length)
      for (const tried of chosen) {
        relabel(tried.constraint, canonicalize(environment.world.space, tried.genome), tried)
      }
      coming = progress(1) < 1 ? rollOut(done() + 1) : undefined
      let loss = 0
      for (let u = 0; u < settings.updates; u++) {
        const examples = Array.from(
          { length: settings.batch },
          () => replay[below(random, replay.length)],
        ).filter((e): e is Imitated => e !== undefined)
        loss += (await imitate(learn, examples, cosineRate(settings.rate, progress()))) / settings.updates
      }
      return { loss, rolloutReward: meanReward(chosen), details: { replay: replay.length } }
    },
  }
}
