/**
 * One data-parallel training worker (a thread). Each step: forward and backward of this step's submodels on its own images,
 * then both workers meet, and each updates its part of the shared weights from everybody's gradients. Worker 0 also keeps the
 * clock, the log and the checkpoints.
 */
import { parentPort, workerData } from "node:worker_threads"
import type { ImageSet } from "../Data.ts"
import { shuffled } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"
import { maxSubmodel, minSubmodel } from "../Submodel.ts"
import { sampleCrop, writeCrop, writeWhole } from "./Augment.ts"
import { sortChannels } from "./ChannelSort.ts"
import { type TrainingState, writeCheckpoint } from "./Checkpoint.ts"
import { KernelNetwork, type NetworkPlan, plainPlan } from "./KernelNetwork.ts"
import { correctCount, crossEntropy, mixTargets, smoothedLabels } from "./Loss.ts"
import { optimizerStep } from "./Optimizer.ts"
import { learningRateAt, type Recipe, stepPlan, type StepPlan, streamFor } from "./Recipe.ts"
import { barrier, optimizerState, shareOf, type SharedBuffers, stopRequested } from "./Shared.ts"

export interface TrainWorkerData {
  readonly index: number
  readonly workers: number
  readonly spec: SupernetSpec
  readonly recipe: Recipe
  readonly shared: SharedBuffers
  readonly state: TrainingState
  /** The training images at their cached sizes, largest first. */
  readonly levels: ReadonlyArray<ImageSet>
  /** Held-out images at the resolution of the quick check. */
  readonly check: ImageSet | undefined
  readonly checkpointFile: string
  readonly checkpointMinutes: number
  readonly checkMinutes: number
  /** End after this many minutes (all runs together) or steps, whichever comes first. */
  readonly minutes: number
  readonly steps: number
}

export interface StepReport {
  readonly kind: "step"
  readonly step: number
  readonly images: number
  readonly minutes: number
  readonly progress: number
  readonly resolution: number
  readonly learningRate: number
  readonly stepMs: number
  /** Worker 0's mean loss per submodel, the largest first, and the share of its images that the largest got right. */
  readonly losses: ReadonlyArray<number>
  readonly correct: number
}

/** Quick check on held-out images: batch statistics, averaged weights. Not the evaluation: a curve to watch. */
export interface CheckReport {
  readonly kind: "check"
  readonly step: number
  readonly minutes: number
  readonly resolution: number
  readonly images: number
  readonly largest: number
  readonly smallest: number
}

const data = workerData as TrainWorkerData
const { index, workers, spec, recipe, shared, levels } = data
const classes = spec.classes.length
const network = await KernelNetwork.make(spec)
const vectors = optimizerState(shared)
const control = new Int32Array(shared.control)
/** learning rate, updates, stop (1), check (1) and, from word 4 on, the correct counts of a check. */
const schedule = new Float64Array(shared.schedule)
const gradientSlots = shared.gradients.map((b) => new Float32Array(b))
const ownGradient = gradientSlots[index]!
const range = shareOf(vectors.parameters.length, index, workers)
const count = levels[0]!.count
const started = performance.now()

const send = (report: StepReport | CheckReport): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  parentPort?.postMessage(report)
}

let epochOrder: { epoch: number; order: ReadonlyArray<number> } = { epoch: -1, order: [] }
const imageAt = (position: number): number => {
  const epoch = Math.floor(position / count)
  if (epochOrder.epoch !== epoch) {
    const all = Array.from({ length: count }, (_, i) => i)
    epochOrder = { epoch, order: shuffled(streamFor(recipe.seed, 1, epoch), all) }
  }
  return epochOrder.order[position % count]!
}

/** This worker's images of a step: augmented pixels and labels. */
const batchOf = (step: number, firstImage: number, plan: StepPlan) => {
  const { batch, resolution } = plan
  const length = resolution * resolution * 3
  const pixels = new Float32Array(batch * length)
  const labels: Array<number> = []
  for (let i = 0; i < batch; i++) {
    const image = imageAt(firstImage + i)
    labels.push(levels[0]!.labels[image]!)
    const crop = sampleCrop(streamFor(recipe.seed, 2, step, index * 4096 + i), recipe.augment)
    writeCrop(levels, image, crop, resolution, spec, pixels, i * length)
  }
  return { pixels, labels }
}

/** Adds the gradients of all submodels of the step; returns the losses, and how many images the largest got right. */
const learn = (pixels: Float32Array, labels: ReadonlyArray<number>, plans: ReadonlyArray<NetworkPlan>) => {
  const hard = smoothedLabels(labels, classes, recipe.labelSmoothing)
  let targets = hard
  let correct = 0
  const losses = plans.map((plan, i) => {
    const tape = network.forward(pixels, labels.length, plan)
    const { loss, probabilities, dLogits } = crossEntropy(tape.logits, targets, classes, 1 / plans.length)
    network.backward(tape, dLogits)
    if (i === 0) {
      correct = correctCount(tape.logits, labels, classes)
      targets = mixTargets(probabilities, hard, recipe.teacherShare)
    }
    return loss
  })
  return { losses, correct }
}

const quickCheck = (images: ImageSet): { largest: number; smallest: number } => {
  network.parameters.set(vectors.average)
  const length = images.size * images.size * 3
  const batch = 50
  const pixels = new Float32Array(batch * length)
  const counts = [maxSubmodel(spec, images.size), minSubmodel(spec, images.size)].map((submodel) => {
    let correct = 0
    for (let at = index * batch; at + batch <= images.count; at += workers * batch) {
      const labels = Array.from({ length: batch }, (_, i) => images.labels[at + i]!)
      for (let i = 0; i < batch; i++) writeWhole(images, at + i, spec, pixels, i * length)
      correct += correctCount(
        network.forward(pixels, batch, plainPlan(spec, submodel)).logits,
        labels,
        classes,
      )
    }
    return correct
  })
  return { largest: counts[0]!, smallest: counts[1]! }
}

const runCheck = (step: number, minutes: number): void => {
  if (data.check === undefined) return
  const own = quickCheck(data.check)
  schedule[4 + 2 * index] = own.largest
  schedule[5 + 2 * index] = own.smallest
  barrier(control, workers)
  if (index !== 0) return
  const images = Math.floor(data.check.count / 50) * 50
  const sum = (first: number) =>
    Array.from({ length: workers }, (_, w) => schedule[first + 2 * w]!).reduce((a, b) => a + b)
  const report: CheckReport = {
    kind: "check",
    step,
    minutes,
    resolution: data.check.size,
    images,
    largest: sum(4) / images,
    smallest: sum(5) / images,
  }
  send(report)
}

const run = (): void => {
  let { step, updates, images, sorted } = data.state
  let lastCheckpoint = data.state.minutes
  let lastCheck = data.state.minutes
  for (;;) {
    const begun = performance.now()
    if (!sorted && step >= recipe.largestSteps) {
      barrier(control, workers)
      const { parameters, momentum, variance, average } = vectors
      if (index === 0) sortChannels(spec, network.layout, [parameters, momentum, variance, average])
      barrier(control, workers)
      sorted = true
    }
    const plan = stepPlan(spec, recipe, step)
    network.parameters.set(vectors.parameters)
    network.zeroGradients()
    const { pixels, labels } = batchOf(step, images + index * plan.batch, plan)
    const { losses, correct } = learn(pixels, labels, plan.plans)
    ownGradient.set(network.gradients)
    const minutes = data.state.minutes + (performance.now() - started) / 60_000
    const progress = Math.max(minutes / data.minutes, step / data.steps)
    if (index === 0) {
      schedule[0] = learningRateAt(recipe, updates + 1, progress)
      schedule[2] = progress >= 1 || stopRequested(control) ? 1 : 0
      schedule[3] = minutes - lastCheck >= data.checkMinutes ? 1 : 0
      const state = { ...data.state, step, updates, images, minutes, sorted }
      if (minutes - lastCheckpoint >= data.checkpointMinutes) {
        writeCheckpoint(data.checkpointFile, state, vectors)
        lastCheckpoint = minutes
      }
    }
    barrier(control, workers)
    const learningRate = schedule[0]!
    const [stop, check] = [schedule[2] === 1, schedule[3] === 1]
    updates++
    optimizerStep(vectors, gradientSlots, 1 / workers, range, recipe.optimizer, learningRate, updates)
    barrier(control, workers)
    step++
    images += workers * plan.batch
    if (check) {
      lastCheck = minutes
      runCheck(step, minutes)
    }
    if (index === 0) {
      const report: StepReport = {
        kind: "step",
        step,
        images,
        minutes,
        progress,
        resolution: plan.resolution,
        learningRate,
        stepMs: performance.now() - begun,
        losses,
        correct: correct / labels.length,
      }
      send(report)
      if (stop)
        writeCheckpoint(
          data.checkpointFile,
          { ...data.state, step, updates, images, minutes, sorted },
          vectors,
        )
    }
    if (stop) return
  }
}

run()
