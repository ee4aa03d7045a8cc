/**
 * What each training step does, as pure functions of the seed and the step number: a resumed run continues exactly where it
 * stopped, and workers agree without talking.
 *
 * Phase 1, the largest submodel alone. Then its channels are sorted by importance (Once-for-All, section 3.2), and phase 2
 * follows the sandwich rule (Yu & Huang 2019): the largest, the smallest and random submodels on the same images in every step,
 * the others taught by the largest. Grids and bits of blocks are random in a share of the submodels; the largest is cut in a smaller
 * share, since what it then teaches is a little less exact.
 */
import type { Grid } from "../Partition.ts"
import { grids } from "../Partition.ts"
import { pick, type Random, seededRandom } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"
import type { Bits } from "../Strategy.ts"
import {
  activeBlocks,
  maxSubmodel,
  minSubmodel,
  sampleSubmodel,
  type Submodel,
  uniformSubmodel,
} from "../Submodel.ts"
import type { AugmentOptions } from "./Augment.ts"
import { type NetworkPlan, plainPlan } from "./KernelNetwork.ts"
import type { OptimizerSettings } from "./Optimizer.ts"

export interface Recipe {
  readonly seed: number
  /** Images per worker and step at 128 pixels or less; fewer above, at about the same cost. */
  readonly batch: number
  /** Steps of the largest submodel alone. */
  readonly largestSteps: number
  /** Chance of each resolution in phase 2, as weights. */
  readonly resolutionWeights: Readonly<Record<number, number>>
  readonly largestResolutionWeights: Readonly<Record<number, number>>
  /** Random submodels per step beside the largest and the smallest: the whole part always, the rest as a chance of one more. */
  readonly randomSubmodels: number
  /** Chance that a step teaches the smallest. Below 1, more images go by in the same time, and the largest counts for more. */
  readonly smallestShare: number
  /**
   * Share of the random submodels with one depth, kernel and expand throughout. Block by block these hardly ever come by chance,
   * yet they are what a person asks for, and what devices fall back on.
   */
  readonly uniformShare: number
  /** Chance that a submodel other than the largest runs on random grids, and with random bits. */
  readonly gridShare: number
  /** Chance that the largest, which teaches, runs on random grids itself. */
  readonly largestGridShare: number
  readonly bitsShare: number
  readonly labelSmoothing: number
  /** Share of the teacher in a submodel's targets; the rest is labels. */
  readonly teacherShare: number
  readonly learningRate: number
  readonly finalLearningRate: number
  readonly warmUpSteps: number
  readonly augment: AugmentOptions
  readonly optimizer: OptimizerSettings
}

export const defaultRecipe: Recipe = {
  seed: 1,
  batch: 32,
  largestSteps: 1000,
  resolutionWeights: { 96: 45, 128: 36, 160: 11, 192: 5, 224: 3 },
  largestResolutionWeights: { 96: 75, 128: 25 },
  randomSubmodels: 1,
  smallestShare: 1,
  uniformShare: 0.3,
  gridShare: 0.5,
  largestGridShare: 0,
  bitsShare: 0.5,
  labelSmoothing: 0.1,
  teacherShare: 0.5,
  learningRate: 2e-3,
  finalLearningRate: 2e-5,
  warmUpSteps: 100,
  augment: { minScale: 0.35, jitter: 0.2, saturation: 0, hue: 0, turn: 0, cutMix: 0 },
  optimizer: { beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.05, averageDecay: 0.998 },
}

/** An independent random source for one purpose at one step. */
export const streamFor = (seed: number, purpose: number, step: number, index = 0): Random =>
  seededRandom(
    Math.imul(seed, 0x9e3779b1) ^
      Math.imul(purpose + 1, 0x85ebca6b) ^
      Math.imul(step + 1, 0xc2b2ae35) ^
      Math.imul(index + 1, 0x27d4eb2f),
  )

const weighted = (random: Random, weights: Readonly<Record<number, number>>): number => {
  const entries = Object.entries(weights)
  let left = random.next() * entries.reduce((sum, [, w]) => sum + w, 0)
  for (const [value, weight] of entries) {
    left -= weight
    if (left < 0) return Number(value)
  }
  return Number(entries.at(-1)?.[0])
}

/** Random grids in runs: a block keeps its predecessor's grid with this chance. */
const gridLocality = 0.7
/** Share with one grid from the stem to some block and none after it, as where tiles go to several devices and then meet. */
const prefixShare = 0.5

export const sampleGrids = (spec: SupernetSpec, submodel: Submodel, random: Random): ReadonlyArray<Grid> => {
  const blocks = activeBlocks(spec, submodel)
  if (random.next() < prefixShare) {
    const grid = pick(random, grids.slice(1))
    const end = 1 + Math.floor(random.next() * (blocks.length - 1))
    return blocks.map((_, i) => (i < end ? grid : "1x1"))
  }
  let grid = pick(random, grids)
  return blocks.map((b) => {
    if (b.kind === "head") return "1x1"
    if (random.next() >= gridLocality) grid = pick(random, grids)
    return grid
  })
}

/** Reduced bits at a few blocks, as where a strategy crosses the bus. The stem's input is pixels: always exact. */
export const sampleBits = (spec: SupernetSpec, submodel: Submodel, random: Random): ReadonlyArray<Bits> => {
  const share = random.next() * 0.5
  return activeBlocks(spec, submodel).map((b) =>
    b.kind === "stem" || random.next() >= share ? 32 : pick(random, [8, 8, 16] as const),
  )
}

/** A submodel with random grids and bits in the recipe's shares. */
export const samplePlan = (
  spec: SupernetSpec,
  recipe: Recipe,
  submodel: Submodel,
  random: Random,
): NetworkPlan => {
  const plain = plainPlan(spec, submodel)
  const cut = random.next() < recipe.gridShare
  const quantised = random.next() < recipe.bitsShare
  return {
    submodel,
    grids: cut ? sampleGrids(spec, submodel, random) : plain.grids,
    bits: quantised ? sampleBits(spec, submodel, random) : plain.bits,
  }
}

const randomSubmodel = (spec: SupernetSpec, recipe: Recipe, resolution: number, random: Random): Submodel => {
  const kind = random.next()
  // Now and then the largest itself on grids and bits, so that cutting it costs little.
  if (kind < 0.15) return maxSubmodel(spec, resolution)
  if (kind >= 0.15 + recipe.uniformShare) return { ...sampleSubmodel(spec, random), resolution }
  const [depth, kernel, expand] = [spec.depths, spec.kernels, spec.expands].map((v) => pick(random, v))
  return uniformSubmodel(spec, resolution, depth ?? 0, kernel ?? 0, expand ?? 0)
}

export interface StepPlan {
  readonly resolution: number
  /** Images per worker. */
  readonly batch: number
  /** The largest first: it teaches the rest. */
  readonly plans: ReadonlyArray<NetworkPlan>
}

/** Images per worker at a resolution: constant cost above 128 pixels. Even, so that rows divide by 4 on any map. */
export const batchAt = (recipe: Recipe, resolution: number): number =>
  Math.max(4, Math.floor((recipe.batch * Math.min(1, (132 / resolution) ** 2)) / 4) * 4)

export const stepPlan = (spec: SupernetSpec, recipe: Recipe, step: number): StepPlan => {
  const random = streamFor(recipe.seed, 0, step)
  const alone = step < recipe.largestSteps
  const resolution = weighted(random, alone ? recipe.largestResolutionWeights : recipe.resolutionWeights)
  const largest = maxSubmodel(spec, resolution)
  const cut = !alone && random.next() < recipe.largestGridShare
  const plain = plainPlan(spec, largest)
  const plans = [cut ? { ...plain, grids: sampleGrids(spec, largest, random) } : plain]
  if (alone) return { resolution, batch: batchAt(recipe, resolution), plans }
  const randomCount = Math.floor(recipe.randomSubmodels + random.next())
  for (let i = 0; i < randomCount; i++)
    plans.push(samplePlan(spec, recipe, randomSubmodel(spec, recipe, resolution, random), random))
  if (random.next() < recipe.smallestShare)
    plans.push(
      samplePlan(spec, { ...recipe, gridShare: recipe.gridShare / 2 }, minSubmodel(spec, resolution), random),
    )
  return { resolution, batch: batchAt(recipe, resolution), plans }
}

/** Warm-up, then half a cosine over the progress 0..1 of the whole budget. */
export const learningRateAt = (recipe: Recipe, updates: number, progress: number): number => {
  const { learningRate, finalLearningRate } = recipe
  const cosine = 0.5 * (1 + Math.cos(Math.PI * Math.min(1, Math.max(0, progress))))
  return (
    Math.min(1, updates / recipe.warmUpSteps) *
    (finalLearningRate + (learningRate - finalLearningRate) * cosine)
  )
}
