/** The three algorithms by name, each with its settings: its defaults, what a training says for all of them, what it says for one. */
import { gcsl, gcslDefaults, type GcslSettings } from "./Gcsl.ts"
import type { Learner, LearnerContext } from "./Learner.ts"
import { ppo, ppoDefaults, type PpoSettings } from "./Ppo.ts"
import { defaultReplay } from "./ReplayBuffer.ts"
import { supreme, supremeDefaults, type SupremeSettings } from "./Supreme.ts"

export const algorithms = ["supreme", "gcsl", "ppo"] as const
export type Algorithm = (typeof algorithms)[number]

export interface LearningOptions {
  readonly algorithm: Algorithm
  /** Environment steps per iteration, for all algorithms; SUPREME takes others where it corrects, or no longer explores. */
  readonly stepsPerIteration: number
  /** Trajectories per update. Default: the algorithm's own. */
  readonly batch?: number
  /** Adam's learning rate at the start; it falls by a cosine. Default: the algorithm's own. */
  readonly rate?: number
  /** Start from the weights of another training's checkpoint (same shape), such as one with an older accuracy model. */
  readonly startFrom?: string
  /** For ablations and sweeps. */
  readonly supreme: Partial<SupremeSettings>
  readonly gcsl: Partial<GcslSettings>
  readonly ppo: Partial<PpoSettings>
}

type Settings =
  | ({ readonly algorithm: "supreme" } & SupremeSettings)
  | ({ readonly algorithm: "gcsl" } & GcslSettings)
  | ({ readonly algorithm: "ppo" } & PpoSettings)

/** Every setting that the algorithm of a training has, no default left unsaid: what names a training in caches and checkpoints. */
export const settingsOf = (options: LearningOptions): Settings => {
  const { algorithm, stepsPerIteration, batch, rate } = options
  const given = { ...(batch === undefined ? {} : { batch }), ...(rate === undefined ? {} : { rate }) }
  switch (algorithm) {
    case "supreme": {
      // Mutations cost no network time, and find more.
      const rollouts = Math.round(stepsPerIteration / 4)
      const mutations = stepsPerIteration - rollouts
      // A policy that has been through a curriculum needs none.
      const curriculum = options.startFrom === undefined ? {} : { curriculum: 0 }
      const common = { rollouts, mutations, ...curriculum, ...given }
      const replay = { ...defaultReplay, ...options.supreme.replay }
      return { algorithm, ...supremeDefaults, ...common, ...options.supreme, replay }
    }
    case "gcsl":
      return { algorithm, ...gcslDefaults, rollouts: stepsPerIteration, ...given, ...options.gcsl }
    case "ppo":
      return { algorithm, ...ppoDefaults, rollouts: stepsPerIteration, ...given, ...options.ppo }
  }
}

export const learnerOf = (context: LearnerContext, options: LearningOptions): Learner => {
  const settings = settingsOf(options)
  switch (settings.algorithm) {
    case "supreme":
      return supreme(context, settings)
    case "gcsl":
      return gcsl(context, settings)
    case "ppo":
      return ppo(context, settings)
  }
}
