/**
 * Batch-norm statistics for submodels that are chosen at run time. Once-for-All recalibrates every submodel before it is
 * evaluated; a device that switches between requests cannot. So many random submodels run over training images, and the moments
 * that each layer sees are averaged per block variant (kernel, expand): those are stored with the weights. Statistics per resolution
 * too are possible, but make every resolution another set of weights that devices must build and hold.
 */
import type { ImageSet } from "../Data.ts"
import { below, pick, type Random, seededRandom, shuffled } from "../Random.ts"
import { dynamicBlocks, type SupernetSpec } from "../Spec.ts"
import { maxSubmodel, minSubmodel, normalizeSubmodel, type Submodel } from "../Submodel.ts"
import { type Tensor, type Weights } from "../Weights.ts"
import { writeWhole } from "./Augment.ts"
import { KernelNetwork, type NetworkPlan, plainPlan } from "./KernelNetwork.ts"
import { packParameters } from "./Parameters.ts"
import { sampleGrids } from "./Recipe.ts"

export interface CalibrateOptions {
  /** Random submodels per resolution; beside them the largest and the smallest run too. */
  readonly submodels: number
  /** Images per submodel at 128 pixels or less; fewer above, for the same number of pixels. */
  readonly batch: number
  /** Share of the submodels that run on random grids. */
  readonly gridShare: number
  readonly seed: number
  /** Statistics of each resolution apart: nearer to each submodel's own, at the price of as many times the weights in use. */
  readonly perResolution: boolean
  readonly onProgress?: (done: number, total: number) => void
}

export const defaultCalibration: CalibrateOptions = {
  submodels: 72,
  batch: 64,
  gridShare: 0.25,
  seed: 1,
  perResolution: false,
}

const imagesAt = (options: CalibrateOptions, resolution: number): number =>
  Math.ceil((options.batch * Math.min(1, (128 / resolution) ** 2)) / 4) * 4

/** Running average of a layer's mean and variance. */
class Moments {
  #count = 0
  readonly #mean: Float64Array
  readonly #variance: Float64Array

  constructor(channels: number) {
    this.#mean = new Float64Array(channels)
    this.#variance = new Float64Array(channels)
  }

  add(mean: Float32Array, variance: Float32Array): void {
    this.#count++
    for (let c = 0; c < mean.length; c++) {
      this.#mean[c]! += mean[c]!
      this.#variance[c]! += variance[c]!
    }
  }

  get tensors(): { readonly mean: Tensor; readonly variance: Tensor } {
    const average = (sum: Float64Array): Tensor => ({
      shape: [sum.length],
      data: Float32Array.from(sum, (v) => v / this.#count),
    })
    return { mean: average(this.#mean), variance: average(this.#variance) }
  }
}

/** Moments by statistics owner (`blocks.3.stats.k5e4`) and layer. */
export class StatisticsAverage {
  readonly #moments = new Map<string, Moments>()

  add(owner: string, layer: string, mean: Float32Array, variance: Float32Array): void {
    const name = `${owner}.${layer}`
    const moments = this.#moments.get(name) ?? new Moments(mean.length)
    this.#moments.set(name, moments)
    moments.add(mean, variance)
  }

  get tensors(): ReadonlyMap<string, Tensor> {
    return new Map(
      [...this.#moments].flatMap(([name, moments]) => {
        const { mean, variance } = moments.tensors
        return [[`${name}.mean`, mean] as const, [`${name}.var`, variance] as const]
      }),
    )
  }
}

/** Statistics owner of a block under a plan, one of `statisticsNames` in Weights.ts. */
const statisticsOwner = (block: string, submodel: Submodel, perResolution: boolean): string => {
  const match = /^blocks\.(\d+)$/.exec(block)
  const i = Number(match?.[1])
  const variant = match === null ? "" : `k${submodel.kernels[i]}e${submodel.expands[i]}`
  const suffix = `${variant}${perResolution ? `r${submodel.resolution}` : ""}`
  return suffix === "" ? block : `${block}.stats.${suffix}`
}

/** Random submodels in which every block meets every (kernel, expand) pair equally often. */
export const balancedSubmodels = (
  spec: SupernetSpec,
  resolution: number,
  count: number,
  random: Random,
): ReadonlyArray<Submodel> => {
  const pairs = spec.kernels.flatMap((kernel) => spec.expands.map((expand) => ({ kernel, expand })))
  const rounds = Math.ceil(count / pairs.length)
  const columns = Array.from({ length: dynamicBlocks(spec) }, () =>
    Array.from({ length: rounds }, () => shuffled(random, pairs)).flat(),
  )
  return Array.from({ length: count }, (_, s) =>
    normalizeSubmodel(spec, {
      resolution,
      // The later places of a stage run in deep submodels only: those come twice as often.
      depths: spec.stages.map(() => pick(random, [...spec.depths, Math.max(...spec.depths)])),
      kernels: columns.map((c) => c[s]?.kernel ?? 3),
      expands: columns.map((c) => c[s]?.expand ?? 3),
    }),
  )
}

/** Runs one plan over a batch of images and reports each layer's own moments. */
const observePlan = (
  network: KernelNetwork,
  plan: NetworkPlan,
  images: ImageSet,
  batch: number,
  random: Random,
  observe: (block: string, layer: string, mean: Float32Array, variance: Float32Array) => void,
): void => {
  const length = images.size * images.size * 3
  const pixels = new Float32Array(batch * length)
  for (let i = 0; i < batch; i++)
    writeWhole(images, below(random, images.count), network.spec, pixels, i * length)
  network.forward(pixels, batch, plan, { observe })
}

/**
 * The weights with statistics: per variant (and resolution), and as base statistics those of the largest submodel at the middle
 * resolution; stem, first block and head, which have no variants, share one set unless resolutions stand apart. `images`: training images decoded at each resolution of the spec.
 */
export const calibrate = async (
  spec: SupernetSpec,
  weights: Weights,
  images: ReadonlyMap<number, ImageSet>,
  options: CalibrateOptions = defaultCalibration,
): Promise<Weights> => {
  const network = await KernelNetwork.make(spec)
  network.parameters.set(packParameters(network.layout, weights))
  const random = seededRandom(options.seed)
  const average = new StatisticsAverage()
  const base = new StatisticsAverage()
  const middle = spec.resolutions[Math.floor(spec.resolutions.length / 2)]
  const total = images.size * (options.submodels + 2)
  let done = 0
  for (const [resolution, set] of images) {
    const ends = [maxSubmodel(spec, resolution), minSubmodel(spec, resolution)]
    for (const submodel of [...ends, ...balancedSubmodels(spec, resolution, options.submodels, random)]) {
      const plain = plainPlan(spec, submodel)
      const cut = random.next() < options.gridShare
      const plan = cut ? { ...plain, grids: sampleGrids(spec, submodel, random) } : plain
      observePlan(
        network,
        plan,
        set,
        imagesAt(options, resolution),
        random,
        (block, layer, mean, variance) => {
          average.add(statisticsOwner(block, submodel, options.perResolution), layer, mean, variance)
          if (submodel === ends[0] && resolution === middle) base.add(block, layer, mean, variance)
        },
      )
      options.onProgress?.(++done, total)
      await new Promise<void>((resume) => setImmediate(resume))
    }
  }
  return new Map([...weights, ...base.tensors, ...average.tensors])
}
