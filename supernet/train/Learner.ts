/** What one worker computes in one step: its augmented images, and the summed gradients of the step's submodels on them. */
import type { ImageSet } from "../Data.ts"
import { shuffled } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"
import { maxSubmodel, minSubmodel } from "../Submodel.ts"
import { batchNorm, type Weights } from "../Weights.ts"
import { cutMix, sampleCrop, writeCrop, writeWhole } from "./Augment.ts"
import type { StatisticsSource } from "./Context.ts"
import { type KernelNetwork, type NetworkPlan, plainPlan } from "./KernelNetwork.ts"
import { correctCount, crossEntropy, mixTargets, smoothedLabels } from "./Loss.ts"
import { type Recipe, type StepPlan, streamFor } from "./Recipe.ts"

export interface LearnResult {
  /** Mean loss per submodel, the largest first. */
  readonly losses: ReadonlyArray<number>
  /** Share of the images that the largest got right. */
  readonly correct: number
}

/** Images per batch of a check: its statistics are the batch's own. A check on fewer would judge nothing. */
export const checkBatch = 50

export class Learner {
  readonly network: KernelNetwork
  readonly spec: SupernetSpec
  readonly #recipe: Recipe
  /** Training images at their cached sizes, largest first. */
  readonly #levels: ReadonlyArray<ImageSet>
  /** Weights with the statistics to train under, in place of each batch's own. */
  readonly #statistics: Weights | undefined
  #order: { readonly epoch: number; readonly images: ReadonlyArray<number> } = { epoch: -1, images: [] }

  constructor(network: KernelNetwork, recipe: Recipe, levels: ReadonlyArray<ImageSet>, statistics?: Weights) {
    this.#statistics = statistics
    this.network = network
    this.spec = network.spec
    this.#recipe = recipe
    this.#levels = levels
  }

  /** Statistics of a submodel as devices will use them (see Weights.ts), or the batch's own. */
  #statisticsFor(submodel: NetworkPlan["submodel"]): StatisticsSource {
    const weights = this.#statistics
    if (weights === undefined) return {}
    const { resolution, kernels, expands } = submodel
    return {
      given: (block, layer) => {
        const i = Number(/^blocks\.(\d+)$/.exec(block)?.[1] ?? -1)
        return batchNorm(weights, block, layer, {
          kernel: kernels[i] ?? 3,
          expand: expands[i] ?? 1,
          resolution,
        })
      },
    }
  }

  /** Index of the image at a position of the endless stream: every epoch is its own permutation. */
  #imageAt(position: number): number {
    const count = this.#levels[0]?.count ?? 0
    const epoch = Math.floor(position / count)
    if (this.#order.epoch !== epoch) {
      const all = Array.from({ length: count }, (_, i) => i)
      this.#order = { epoch, images: shuffled(streamFor(this.#recipe.seed, 1, epoch), all) }
    }
    return this.#order.images[position % count]!
  }

  /** Augmented images, their labels, and the share that each kept of itself (see `cutMix`). */
  #batch(plan: StepPlan, firstImage: number) {
    const { batch, resolution } = plan
    const { seed, augment } = this.#recipe
    const length = resolution * resolution * 3
    const pixels = new Float32Array(batch * length)
    const labels = Array.from({ length: batch }, (_, i) => {
      const image = this.#imageAt(firstImage + i)
      const crop = sampleCrop(streamFor(seed, 2, firstImage, i), augment)
      writeCrop(this.#levels, image, crop, resolution, this.spec, pixels, i * length)
      return this.#levels[0]!.labels[image]!
    })
    const kept = cutMix(streamFor(seed, 3, firstImage), augment, pixels, batch, resolution)
    return { pixels, labels, kept }
  }

  /**
   * Replaces the network's gradients by the mean over the step's submodels of their losses' gradients. The largest learns from
   * smoothed labels, the others from a mix of labels and the largest's answer (in-place distillation, Yu & Huang 2019).
   */
  learn(parameters: Float32Array, plan: StepPlan, firstImage: number): LearnResult {
    const { network, spec } = this
    const classes = spec.classes.length
    const { pixels, labels, kept } = this.#batch(plan, firstImage)
    network.parameters.set(parameters)
    network.zeroGradients()
    const hard = smoothedLabels(labels, classes, this.#recipe.labelSmoothing, kept)
    let targets = hard
    let correct = 0
    const losses = plan.plans.map((p, i) => {
      const tape = network.forward(pixels, labels.length, p, this.#statisticsFor(p.submodel))
      const { loss, probabilities, dLogits } = crossEntropy(
        tape.logits,
        targets,
        classes,
        1 / plan.plans.length,
      )
      network.backward(tape, dLogits)
      if (i === 0) {
        correct = correctCount(tape.logits, labels, classes) / labels.length
        targets = mixTargets(probabilities, hard, this.#recipe.teacherShare)
      }
      return loss
    })
    return { losses, correct }
  }

  /** Correct answers of a plan on every `step`-th batch of `checkBatch` images from batch `first`, with the statistics of training. */
  correctOn(images: ImageSet, plan: NetworkPlan, first: number, step: number): number {
    const batch = checkBatch
    const length = images.size * images.size * 3
    const pixels = new Float32Array(batch * length)
    let correct = 0
    for (let at = first * batch; at + batch <= images.count; at += step * batch) {
      const labels = images.labels.slice(at, at + batch)
      for (let i = 0; i < batch; i++) writeWhole(images, at + i, this.spec, pixels, i * length)
      const { logits } = this.network.forward(pixels, batch, plan, this.#statisticsFor(plan.submodel))
      correct += correctCount(logits, labels, this.spec.classes.length)
    }
    return correct
  }

  /** Correct answers of the largest and the smallest submodel with these weights. */
  check(parameters: Float32Array, images: ImageSet, first: number, step: number): readonly [number, number] {
    this.network.parameters.set(parameters)
    const correct = (submodel: NetworkPlan["submodel"]) =>
      this.correctOn(images, plainPlan(this.spec, submodel), first, step)
    return [correct(maxSubmodel(this.spec, images.size)), correct(minSubmodel(this.spec, images.size))]
  }
}
