/**
 * Proximal policy optimisation (Schulman et al., 2017), as the paper's baseline. The reward comes once, at the end, so with
 * gamma = lambda = 1 the advantage of every step is the reward minus the value estimate there. Clip 0.2, a few epochs over
 * minibatches, advantages normalised, gradient norm 0.5 (stable-baselines3's settings) and a small entropy bonus.
 */
import { shuffled } from "../supernet/Random.ts"
import { cosineRate, type Learner, type LearnerContext } from "./Learner.ts"
import type { Batch, Forward } from "./PolicyNetwork.ts"
import { meanReward } from "./Rollouts.ts"

export interface PpoSettings {
  readonly rollouts: number
  readonly epochs: number
  /** Trajectories per update (a minibatch). */
  readonly batch: number
  readonly rate: number
  readonly clip: number
  readonly entropy: number
  readonly valueWeight: number
  readonly maxNorm: number
}

export const ppoDefaults: PpoSettings = {
  rollouts: 128,
  epochs: 3,
  batch: 32,
  rate: 3e-3,
  clip: 0.2,
  entropy: 0.003,
  valueWeight: 0.5,
  maxNorm: 0.5,
}

/** What the surrogate needs to know of a trajectory: per step its log-likelihood when it was rolled out, and its advantage. */
interface SurrogateTerm {
  readonly reward: number
  readonly logLikelihood: ReadonlyArray<number>
  /** Normalised. */
  readonly advantage: ReadonlyArray<number>
}

export interface Surrogate extends Pick<PpoSettings, "clip" | "entropy" | "valueWeight"> {
  readonly of: "surrogate"
  readonly terms: ReadonlyArray<SurrogateTerm>
  /** Steps of all trajectories of the update: the loss is a mean over them. */
  readonly steps: number
}

/** The clipped surrogate, and its gradient with those of the value's error and the entropy bonus. */
export const surrogateLoss = (forward: Forward, { terms, steps, clip, entropy, valueWeight }: Surrogate) => {
  const dLogLikelihood = new Float32Array(forward.rows)
  const dValue = new Float32Array(forward.rows)
  const next = new Int32Array(terms.length)
  let value = 0
  for (let r = 0; r < forward.rows; r++) {
    const g = forward.genomeOf[r] ?? -1
    const term = terms[g]
    if (term === undefined) continue
    const t = next[g] ?? 0
    next[g] = t + 1
    const ratio = Math.exp((forward.logLikelihood[r] ?? 0) - (term.logLikelihood[t] ?? 0))
    const advantage = term.advantage[t] ?? 0
    const clipped = advantage > 0 ? ratio > 1 + clip : ratio < 1 - clip
    if (!clipped) dLogLikelihood[r] = (-advantage * ratio) / steps
    value -= Math.min(ratio * advantage, clampRatio(ratio, clip) * advantage) / steps
    dValue[r] = (valueWeight * 2 * ((forward.value[r] ?? 0) - term.reward)) / steps
  }
  return { value, gradient: { dLogLikelihood, dEntropy: -entropy / steps, dValue } }
}

/** One trajectory as it was rolled out. */
interface RolledOut {
  readonly constraint: Batch["constraints"][number]
  readonly genome: Batch["genomes"][number]
  readonly reward: number
  readonly logLikelihood: Array<number>
  readonly advantage: Array<number>
}

export const ppo = (context: LearnerContext, options: Partial<PpoSettings> = {}): Learner => {
  const settings = { ...ppoDefaults, ...options }
  const { environment, network, random, progress, collect, learn } = context

  /** On-policy: rolled out and learned from in turn. */
  const rollOut = async (): Promise<ReadonlyArray<RolledOut>> => {
    const choose = Array.from({ length: settings.rollouts }, () => environment.draw(random, { grid: true }))
    const { chosen } = await collect({ choose, epsilon: 0, mutate: [] })
    environment.count(chosen.length)
    const done = chosen.map((t): RolledOut => ({ ...t, logLikelihood: [], advantage: [] }))
    noteAdvantages(done, network.forward(batchOf(done)))
    return done
  }

  const update = (some: ReadonlyArray<RolledOut>): Promise<number> => {
    const { clip, entropy, valueWeight, maxNorm } = settings
    const terms = some.map(({ reward, logLikelihood, advantage }) => ({ reward, logLikelihood, advantage }))
    const steps = some.reduce((sum, t) => sum + t.advantage.length, 0)
    const loss: Surrogate = { of: "surrogate", terms, steps, clip, entropy, valueWeight }
    return learn({ batch: batchOf(some), loss }, { rate: cosineRate(settings.rate, progress()), maxNorm })
  }

  return {
    name: "ppo",
    iterate: async () => {
      const done = await rollOut()
      let loss = 0
      for (let e = 0; e < settings.epochs; e++) {
        const order = shuffled(random, done)
        for (let from = 0; from < order.length; from += settings.batch) {
          loss = await update(order.slice(from, from + settings.batch))
        }
      }
      return { loss, rolloutReward: meanReward(done), details: {} }
    },
  }
}

const batchOf = (some: ReadonlyArray<RolledOut>): Batch => ({
  constraints: some.map((t) => t.constraint),
  genomes: some.map((t) => t.genome),
})

const clampRatio = (ratio: number, clip: number) => Math.min(1 + clip, Math.max(1 - clip, ratio))

/** Notes likelihoods and normalised advantages under the network that rolled out. Rows of a genome come step by step. */
const noteAdvantages = (done: ReadonlyArray<RolledOut>, forward: Forward): void => {
  let [rows, sum, squares] = [0, 0, 0]
  for (let r = 0; r < forward.rows; r++) {
    const trajectory = done[forward.genomeOf[r] ?? -1]
    if (trajectory === undefined) continue
    const advantage = trajectory.reward - (forward.value[r] ?? 0)
    trajectory.logLikelihood.push(forward.logLikelihood[r] ?? 0)
    trajectory.advantage.push(advantage)
    rows++
    sum += advantage
    squares += advantage * advantage
  }
  const mean = sum / rows
  const deviation = Math.sqrt(Math.max(1e-12, squares / rows - mean * mean)) + 1e-8
  for (const { advantage } of done) {
    for (const [t, a] of advantage.entries()) advantage[t] = (a - mean) / deviation
  }
}
