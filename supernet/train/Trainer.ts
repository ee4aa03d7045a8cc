/**
 * Starts or resumes a training run: loads the images, spawns the workers over shared memory, writes the log (JSON lines), and
 * shows the progress. The run ends when its minutes or steps are spent, or at an interrupt; always with a checkpoint.
 */
import { appendFileSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { Effect } from "effect"
import { readArtifact } from "../Artifact.ts"
import { classNames, imageFolder, type ImageSet, loadImages } from "../Data.ts"
import { seededRandom, shuffled } from "../Random.ts"
import { ofaMobileNetV3 } from "../Spec.ts"
import { beginning } from "./Beginning.ts"
import { parameterLayout } from "./Parameters.ts"
import { checkBatch } from "./Learner.ts"
import { defaultRecipe, type Recipe } from "./Recipe.ts"
import { requestStop, sharedBuffers } from "./Shared.ts"
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

/** Held-out images in a fixed random order (batch statistics need mixed classes), at most 1,000; none where they are too few. */
const checkImages = async (folder: string): Promise<ImageSet | undefined> => {
  const all = imageFolder(folder)
  const files = shuffled(seededRandom(1), all.files).slice(0, 1000)
  if (files.length < checkBatch) return undefined
  return await loadImages({ ...all, files }, 128)
}

/** Throws `TrainingRefused` where the run, or the artifact to continue, was trained for something else. */
export const train = async (options: TrainOptions): Promise<void> => {
  const source = imageFolder(join(options.data, "train"))
  const spec = ofaMobileNetV3({
    name: "default",
    version: "1",
    widthMultiplier: options.widthMultiplier,
    trained: true,
    classes: source.classes.map((c) => classNames[c] ?? c),
  })
  const shared = sharedBuffers(parameterLayout(spec).size, options.workers)
  const checkpointFile = join(options.output, "state.bin")
  // Before the images, which take minutes: a run of something else is refused at once.
  const state = await beginning(shared, spec, options, checkpointFile)
  const levels: Array<ImageSet> = []
  for (const size of cachedSizes) levels.push(await loadImages(source, size))
  const check = await checkImages(join(options.data, "val"))
  const statistics =
    options.statisticsFrom === undefined
      ? {}
      : { statistics: (await Effect.runPromise(readArtifact(options.statisticsFrom))).weights }
  mkdirSync(options.output, { recursive: true })
  const log = (entry: object) =>
    appendFileSync(join(options.output, "log.jsonl"), `${JSON.stringify(entry)}\n`)
  log({
    kind: "start",
    date: new Date().toISOString(),
    step: state.step,
    recipe: options.recipe,
    workers: options.workers,
    minutes: options.minutes,
  })
  const control = new Int32Array(shared.control)
  const stop = () => requestStop(control)
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
  const workerOf = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const { workers, inStep, minutes, steps, checkpointMinutes, checkMinutes, recipe } = options
      const workerData: TrainWorkerData = {
        index,
        ...statistics,
        workers,
        inStep,
        spec,
        recipe,
        shared,
        state,
        levels,
        check,
        checkpointFile,
        checkpointMinutes,
        checkMinutes,
        minutes,
        steps,
      }
      const worker = new Worker(new URL("./TrainWorker.ts", import.meta.url), { workerData })
      worker.on("message", (report: StepReport | CheckReport) => {
        if (report.kind === "check") {
          log(report)
          options.onCheck(report)
        } else {
          if (report.step % 10 === 0) log(report)
          options.onStep(report)
        }
      })
      worker.once("error", reject)
      worker.once("exit", (code) =>
        code === 0 ? resolve() : reject(new Error(`training worker ${index} ended with ${code}`)),
      )
    })
  try {
    await Promise.all(Array.from({ length: options.workers }, (_, i) => workerOf(i)))
  } finally {
    process.off("SIGINT", stop)
    process.off("SIGTERM", stop)
  }
}
