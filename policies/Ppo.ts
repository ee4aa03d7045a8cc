/**
 * Proximal policy optimisation (Schulman et al., 2017), as the paper's baseline. The reward comes once, at the end, so with
 * gamma = lambda = 1 the advantage of every step is the reward minus the value estimate there. Clip 0.2, 3 epochs, advantages
 * normalised, gradient norm 0.5 (stable-baselines3's settings) and a small entropy bonus.
 */
import { canonicalize } from "./Genome.ts"
import { cosineRate, type Learner, type LearnerContext } from "./Learner.ts"
import type { Batch } from "./PolicyNetwork.ts"

export interface PpoSettings {
  readonly rollouts: number
  readonly epochs: number
  readonly rate: number
  readonly clip: number
  readonly entropy: number
  readonly valueWeight: number
  readonly maxNorm: number
}

export const ppoDefaults: PpoSettings = {
  rollouts: 128,
  epochs: 3,
  rate: 1e-3,
  clip: 0.2,
  entropy: 0.003,
  valueWeight: 0.5,
  maxNorm: 0.5,
}

export const ppo = (context: LearnerContext, options: Partial<PpoSettings> = {}): Learner => {
  const settings = { ...ppoDefaults, ...options }
  const { environment, network, random, progress } = context

  const rollOut = () => {
    const constraints = Array.from({ length: settings.rollouts }, () =>
      environment.draw(random, { grid: true }),
    )
    const genomes = network.choose(constraints, { greedy: false, random })
    const rewards = genomes.map((genome, i) => {
      const constraint = constraints[i]
      if (constraint === undefined) return 0
      return environment.step(constraint, canonicalize(environment.world.space, genome.slice())).reward
    })
    return { batch: { constraints, genomes }, rewards }
  }

  /** One epoch: all roll-outs at once. The first has ratio 1 everywhere and fixes the old likelihoods and advantages. */
  const epoch = (batch: Batch, rewards: ReadonlyArray<number>, old: Old | undefined) => {
    const forward = network.forward(batch)
    const before = old ?? fixed(forward, rewards)
    const dLogLikelihood = new Float32Array(forward.rows)
    const dValue = new Float32Array(forward.rows)
    let loss = 0
    for (let r = 0; r < forward.rows; r++) {
      const g = forward.genomeOf[r] ?? -1
      if (g < 0) continue
      const ratio = Math.exp((forward.logLikelihood[r] ?? 0) - (before.logLikelihood[r] ?? 0))
      const advantage = before.advantage[r] ?? 0
      const clipped = advantage > 0 ? ratio > 1 + settings.clip : ratio < 1 - settings.clip
      if (!clipped) dLogLikelihood[r] = (-advantage * ratio) / before.rows
      loss -= Math.min(ratio * advantage, clampRatio(ratio, settings.clip) * advantage) / before.rows
      dValue[r] = (settings.valueWeight * 2 * ((forward.value[r] ?? 0) - (rewards[g] ?? 0))) / before.rows
    }
    network.backward({ dLogLikelihood, dEntropy: -settings.entropy / before.rows, dValue })
    network.step(cosineRate(settings.rate, progress()), settings.maxNorm)
    return { loss, old: before }
  }

  return {
    name: "ppo",
    iterate: () => {
      const { batch, rewards } = rollOut()
      let old: Old | undefined
      let loss = 0
      for (let e = 0; e < settings.epochs; e++) {
        const done = epoch(batch, rewards, old)
        old = done.old
        loss = done.loss
      }
      return { loss, rolloutReward: rewards.reduce((a, b) => a + b, 0) / rewards.length, details: {} }
    },
  }
}

const clampRatio = (ratio: number, clip: number) => Math.min(1 + clip, Math.max(1 - clip, ratio))

interface Old {
  readonly rows: number
  readonly logLikelihood: Float32Array
  readonly advantage: Float32Array
}

const fixed = (
  forward: {
    readonly rows: number
    readonly genomeOf: Int32Array
    readonly logLikelihood: Float32Array
    readonly value: Float32Array
  },
  rewards: ReadonlyArray<number>,
): Old => {
  const advantage = new Float32Array(forward.rows)
  let [rows, sum, squares] = [0, 0, 0]
  for (let r = 0; r < forward.rows; r++) {
    const g = forward.genomeOf[r] ?? -1
    if (g < 0) continue
    const a = (rewards[g] ?? 0) - (forward.value[r] ?? 0)
    advantage[r] = a
    rows++
    sum += a
    squares += a * a
  }
  const mean = sum / rows
  const deviation = Math.sqrt(Math.max(1e-12, squares / rows - mean * mean))
  for (let r = 0; r < forward.rows; r++) advantage[r] = ((advantage[r] ?? 0) - mean) / (deviation + 1e-8)
  return { rows, logLikelihood: forward.logLikelihood, advantage }
}
