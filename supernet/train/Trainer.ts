/**
 * Starts or resumes a training run: loads the images, spawns the workers over shared memory, writes the log (JSON lines), and
 * shows the progress. The run ends when its minutes or steps are spent, or at an interrupt; always with a checkpoint.
 */
import { appendFileSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { Effect } from "effect"
import { readArtifact } from "../Artifact.ts"
import { classNames, imageFolder, type ImageFolder, type ImageSet, loadImages } from "../Data.ts"
import { seededRandom, shuffled } from "../Random.ts"
import { ofaMobileNetV3, type SupernetSpec } from "../Spec.ts"
import { beginning } from "./Beginning.ts"
import { parameterLayout } from "./Parameters.ts"
import { checkBatch } from "./Learner.ts"
import { defaultRecipe, type Recipe } from "./Recipe.ts"
import { requestStop, type SharedBuffers, sharedBuffers, stopRequested } from "./Shared.ts"
import type { CheckReport, StepReport, TrainWorkerData } from "./TrainWorker.ts"

export interface TrainOptions {
  /** Folder with `train/` and `val/`. */
  readonly data: string
  /** Where checkpoint and log go. */
  readonly output: string
  /** Artifact whose weights to train on, where `output` has no checkpoint. */
  readonly continueFrom?: string
  /**
   * Artifact whose batch-norm statistics stand in for the batch's own: a last phase in which the weights learn to live with the
   * statistics that submodels share in use. Its export keeps them.
   */
  readonly statisticsFrom?: string
  readonly widthMultiplier: number
  readonly workers: number
  /** Workers wait for each other at every step: reproducible. Free workers are faster on a busy machine. */
  readonly inStep: boolean
  readonly minutes: number
  readonly steps: number
  readonly checkpointMinutes: number
  readonly checkMinutes: number
  readonly recipe: Recipe
  readonly onStep: (report: StepReport) => void
  readonly onCheck: (report: CheckReport) => void
}

export const defaultTrainOptions = {
  widthMultiplier: 0.5,
  workers: 2,
  inStep: true,
  minutes: 60,
  steps: Number.POSITIVE_INFINITY,
  checkpointMinutes: 4,
  checkMinutes: 5,
  recipe: defaultRecipe,
} as const

/** Side of the cached training images: crops of about half an image at 224 still have one source pixel per output pixel. */
const cachedSizes = [224, 112]

/** Thrown where a run is told to stop before it has begun. */
class Stopped extends Error {}

/** Held-out images in a fixed random order (batch statistics need mixed classes), at most 1,000; none where they are too few. */
const checkImages = async (folder: string, report: () => void): Promise<ImageSet | undefined> => {
  const all = imageFolder(folder)
  const files = shuffled(seededRandom(1), all.files).slice(0, 1000)
  if (files.length < checkBatch) return undefined
  return await loadImages({ ...all, files }, 128, report)
}

/** All that workers start with, but their number. Throws `Stopped` soon after a stop is asked for: decoding takes minutes. */
const prepared = async (
  options: TrainOptions,
  shared: SharedBuffers,
  spec: SupernetSpec,
  source: ImageFolder,
): Promise<Omit<TrainWorkerData, "index">> => {
  const control = new Int32Array(shared.control)
  const stopIfAsked = () => {
    if (stopRequested(control)) throw new Stopped()
  }
  const checkpointFile = join(options.output, "state.bin")
  // Before the images: a run of something else is refused at once.
  const state = await beginning(shared, spec, options, checkpointFile)
  const levels: Array<ImageSet> = []
  for (const size of cachedSizes) levels.push(await loadImages(source, size, stopIfAsked))
  const check = await checkImages(join(options.data, "val"), stopIfAsked)
  const statistics =
    options.statisticsFrom === undefined
      ? {}
      : { statistics: (await Effect.runPromise(readArtifact(options.statisticsFrom))).weights }
  stopIfAsked()
  const { workers, inStep, minutes, steps, checkpointMinutes, checkMinutes, recipe } = options
  const given = { workers, inStep, minutes, steps, checkpointMinutes, checkMinutes, recipe }
  return { ...given, ...statistics, spec, shared, state, levels, check, checkpointFile }
}

/** Runs one worker to its end. */
const runWorker = (
  workerData: TrainWorkerData,
  onReport: (report: StepReport | CheckReport) => void,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./TrainWorker.ts", import.meta.url), { workerData })
    worker.on("message", onReport)
    worker.once("error", reject)
    worker.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`training worker ${workerData.index} ended with ${code}`)),
    )
  })

/** Runs the workers of a run that is prepared, with its log. */
const runWorkers = async (options: TrainOptions, start: Omit<TrainWorkerData, "index">): Promise<void> => {
  mkdirSync(options.output, { recursive: true })
  const log = (entry: object) =>
    appendFileSync(join(options.output, "log.jsonl"), `${JSON.stringify(entry)}\n`)
  const { recipe, workers, minutes } = options
  log({ kind: "start", date: new Date().toISOString(), step: start.state.step, recipe, workers, minutes })
  const onReport = (report: StepReport | CheckReport): void => {
    if (report.kind === "check") {
      log(report)
      options.onCheck(report)
    } else {
      if (report.step % 10 === 0) log(report)
      options.onStep(report)
    }
  }
  await Promise.all(Array.from({ length: workers }, (_, index) => runWorker({ index, ...start }, onReport)))
}

/**
 * Whether it trained: false where it was told to stop before its first step. Throws `TrainingRefused` where the run, or the
 * artifact to continue, was trained for something else.
 */
export const train = async (options: TrainOptions): Promise<boolean> => {
  const source = imageFolder(join(options.data, "train"))
  const spec = ofaMobileNetV3({
    name: "default",
    version: "1",
    widthMultiplier: options.widthMultiplier,
    trained: true,
    classes: source.classes.map((c) => classNames[c] ?? c),
  })
  const shared = sharedBuffers(parameterLayout(spec).size, options.workers)
  const stop = () => requestStop(new Int32Array(shared.control))
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
  try {
    await runWorkers(options, await prepared(options, shared, spec, source))
    return true
  } catch (cause) {
    if (cause instanceof Stopped) return false
    throw cause
  } finally {
    process.off("SIGINT", stop)
    process.off("SIGTERM", stop)
  }
}
