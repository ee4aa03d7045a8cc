/**
 * One data-parallel training worker (a thread). Each step it takes images nobody else takes, and adds up the gradients of
 * the step's submodels. Then, in step: all workers meet, and each updates its part of the shared weights from everybody's
 * gradients. Or, free: each applies its own gradients at once (Niu et al. 2011, with a lock), which loses no time to waiting
 * on a machine that others use too; with two workers a gradient is at most an update or two old.
 */
import { parentPort, workerData } from "node:worker_threads"
import type { ImageSet } from "../Data.ts"
import type { SupernetSpec } from "../Spec.ts"
import type { Weights } from "../Weights.ts"
import { sortChannels } from "./ChannelSort.ts"
import { type TrainingState, writeCheckpoint } from "./Checkpoint.ts"
import { KernelNetwork } from "./KernelNetwork.ts"
import { checkBatch, Learner, type LearnResult } from "./Learner.ts"
import { optimizerStep } from "./Optimizer.ts"
import { learningRateAt, type Recipe, stepPlan, type StepPlan } from "./Recipe.ts"
import {
  barrier,
  Counter,
  optimizerState,
  shareOf,
  type SharedBuffers,
  stopRequested,
  withLock,
} from "./Shared.ts"

export interface TrainWorkerData {
  readonly index: number
  readonly workers: number
  /** Workers wait for each other at every step. Reproducible; else see above. */
  readonly inStep: boolean
  readonly spec: SupernetSpec
  readonly recipe: Recipe
  readonly shared: SharedBuffers
  readonly state: TrainingState
  /** The training images at their cached sizes, largest first. */
  readonly levels: ReadonlyArray<ImageSet>
  /** Weights with fixed batch-norm statistics to train under; else each batch has its own. */
  readonly statistics?: Weights
  /** Held-out images at the resolution of the quick check; none where they are too few for a batch of it. */
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
const { index, workers, spec, recipe, shared } = data
const learner = new Learner(await KernelNetwork.make(spec), recipe, data.levels, data.statistics)
const vectors = optimizerState(shared)
const control = new Int32Array(shared.control)
/** Learning rate, stop (1), check (1); correct counts of a check from word 4 on. Written by worker 0. */
const schedule = new Float64Array(shared.schedule)
const gradients = shared.gradients.map((b) => new Float32Array(b))
const started = performance.now()
const minutesNow = (): number => data.state.minutes + (performance.now() - started) / 60_000
const progressAt = (minutes: number, step: number): number =>
  Math.max(minutes / data.minutes, step / data.steps)
let lastCheckpoint = data.state.minutes
let lastCheck = data.state.minutes

const send = (report: StepReport | CheckReport): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  parentPort?.postMessage(report)
}

const reportStep = (
  state: TrainingState,
  plan: StepPlan,
  result: LearnResult,
  learningRate: number,
  begun: number,
): void =>
  send({
    kind: "step",
    step: state.step,
    images: state.images,
    minutes: state.minutes,
    progress: progressAt(state.minutes, state.step),
    resolution: plan.resolution,
    learningRate,
    stepMs: performance.now() - begun,
    losses: result.losses,
    correct: result.correct,
  })

const reportCheck = (
  state: TrainingState,
  images: ImageSet,
  of: number,
  largest: number,
  smallest: number,
): void =>
  send({
    kind: "check",
    step: state.step,
    minutes: state.minutes,
    resolution: images.size,
    images: of,
    largest: largest / of,
    smallest: smallest / of,
  })

const checkpointIfDue = (state: TrainingState): void => {
  if (state.minutes - lastCheckpoint < data.checkpointMinutes) return
  lastCheckpoint = state.minutes
  writeCheckpoint(data.checkpointFile, state, vectors)
}

const sortAll = (): void => {
  const { parameters, momentum, variance, average } = vectors
  sortChannels(spec, learner.network.layout, [parameters, momentum, variance, average])
}

const checkTogether = (state: TrainingState, images: ImageSet): void => {
  const [largest, smallest] = learner.check(vectors.average, images, index, workers)
  schedule[4 + 2 * index] = largest
  schedule[5 + 2 * index] = smallest
  barrier(control, workers)
  if (index !== 0) return
  const sum = (first: number) =>
    Array.from({ length: workers }, (_, w) => schedule[first + 2 * w]!).reduce((a, b) => a + b)
  reportCheck(state, images, Math.floor(images.count / checkBatch) * checkBatch, sum(4), sum(5))
}

const runInStep = (): void => {
  const range = shareOf(vectors.parameters.length, index, workers)
  let state = data.state
  for (;;) {
    const begun = performance.now()
    if (!state.sorted && state.step >= recipe.largestSteps) {
      barrier(control, workers)
      if (index === 0) sortAll()
      barrier(control, workers)
      state = { ...state, sorted: true }
    }
    const plan = stepPlan(spec, recipe, state.step)
    const result = learner.learn(vectors.parameters, plan, state.images + index * plan.batch)
    gradients[index]!.set(learner.network.gradients)
    const minutes = minutesNow()
    if (index === 0) {
      // The others may not update before the barrier: the shared vectors are whole here.
      const progress = progressAt(minutes, state.step)
      schedule[0] = learningRateAt(recipe, state.updates + 1, progress)
      schedule[1] = progress >= 1 || stopRequested(control) ? 1 : 0
      schedule[2] = minutes - lastCheck >= data.checkMinutes ? 1 : 0
      checkpointIfDue({ ...state, minutes })
    }
    barrier(control, workers)
    const [learningRate = 0, stop, check] = schedule
    const updates = state.updates + 1
    optimizerStep(vectors, gradients, 1 / workers, range, recipe.optimizer, learningRate, updates)
    barrier(control, workers)
    const images = state.images + workers * plan.batch
    state = { ...state, step: state.step + 1, updates, images, minutes }
    if (index === 0) reportStep(state, plan, result, learningRate, begun)
    if (check === 1) {
      lastCheck = minutes
      if (data.check !== undefined) checkTogether(state, data.check)
    }
    if (stop === 1) {
      if (index === 0) writeCheckpoint(data.checkpointFile, state, vectors)
      return
    }
  }
}

const stepCounter = new Counter(control, 4)
const imageCounter = new Counter(control, 5)
const updateCounter = new Counter(control, 6)
const sortedCounter = new Counter(control, 7)

/** The state as the shared counters have it; consistent under the lock. */
const freeState = (): TrainingState => ({
  ...data.state,
  step: stepCounter.value,
  images: imageCounter.value,
  updates: updateCounter.value,
  sorted: sortedCounter.value > 0,
  minutes: minutesNow(),
})

/** One update; the state after it, or undefined when the channels were sorted meanwhile and the gradients fit no more. */
const applyOwn = (sortedBefore: number, learningRate: number): TrainingState | undefined =>
  withLock(control, () => {
    if (sortedCounter.value !== sortedBefore) return undefined
    const updates = updateCounter.add(1) + 1
    const range = [0, vectors.parameters.length] as const
    optimizerStep(vectors, [learner.network.gradients], 1, range, recipe.optimizer, learningRate, updates)
    const state = freeState()
    if (index === 0) checkpointIfDue(state)
    return state
  })

const runFree = (): void => {
  if (index === 0) {
    stepCounter.set(data.state.step)
    imageCounter.set(data.state.images)
    updateCounter.set(data.state.updates)
    sortedCounter.set(data.state.sorted ? 1 : 0)
  }
  barrier(control, workers)
  while (!stopRequested(control) && progressAt(minutesNow(), stepCounter.value) < 1) {
    const begun = performance.now()
    const step = stepCounter.add(1)
    withLock(control, () => {
      if (step < recipe.largestSteps || sortedCounter.value > 0) return
      sortAll()
      sortedCounter.set(1)
    })
    const sortedBefore = sortedCounter.value
    const plan = stepPlan(spec, recipe, step)
    const parameters = withLock(control, () => vectors.parameters.slice())
    const result = learner.learn(parameters, plan, imageCounter.add(plan.batch))
    const learningRate = learningRateAt(recipe, updateCounter.value + 1, progressAt(minutesNow(), step))
    const state = applyOwn(sortedBefore, learningRate)
    if (state === undefined) continue
    reportStep(state, plan, result, learningRate, begun)
    if (index === 0 && data.check !== undefined && state.minutes - lastCheck >= data.checkMinutes) {
      lastCheck = state.minutes
      const average = withLock(control, () => vectors.average.slice())
      // Every other batch: the other worker trains on meanwhile.
      const [largest, smallest] = learner.check(average, data.check, 0, 2)
      const batches = Math.ceil(Math.floor(data.check.count / checkBatch) / 2)
      reportCheck(state, data.check, batches * checkBatch, largest, smallest)
    }
  }
  barrier(control, workers)
  if (index === 0) writeCheckpoint(data.checkpointFile, freeState(), vectors)
}

if (data.inStep) runInStep()
else runFree()
