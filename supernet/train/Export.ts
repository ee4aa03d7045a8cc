/**
 * From a training run to an artifact: the averaged weights of a checkpoint, statistics calibrated on training images, float16
 * files with a manifest, and beside them the training state and log, from which a later run goes on.
 */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import { Effect } from "effect"
import { putFile, readArtifact, recordFiles, writeArtifact } from "../Artifact.ts"
import { imageFolder, type ImageSet, loadImages } from "../Data.ts"
import { seededRandom, shuffled } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"
import type { Weights } from "../Weights.ts"
import { calibrate, type CalibrateOptions } from "./Calibrate.ts"
import { readCheckpoint, type TrainingState } from "./Checkpoint.ts"
import { packParameters, parameterLayout, unpackParameters } from "./Parameters.ts"
import { optimizerState, sharedBuffers } from "./Shared.ts"

/** Training images for calibration, whole and decoded at each resolution. Never of `val/`. */
export const calibrationImages = async (
  data: string,
  resolutions: ReadonlyArray<number>,
  count = 800,
): Promise<ReadonlyMap<number, ImageSet>> => {
  const all = imageFolder(join(data, "train"))
  const files = shuffled(seededRandom(5), all.files).slice(0, count)
  const sets = new Map<number, ImageSet>()
  for (const resolution of resolutions) sets.set(resolution, await loadImages({ ...all, files }, resolution))
  return sets
}

/** Averaged weights and state of a checkpoint file. */
export const checkpointWeights = (
  file: string,
  spec: SupernetSpec,
): { readonly weights: Weights; readonly state: TrainingState } => {
  const vectors = optimizerState(sharedBuffers(parameterLayout(spec).size, 1))
  const state = readCheckpoint(file, vectors)
  if (state === undefined) throw new RangeError(`${file} does not exist`)
  return { weights: unpackParameters(state.spec, vectors.average), state }
}

export interface ExportOptions {
  /** Folder with `train/`. */
  readonly data: string
  /** Output folder of the training run: `state.bin`, `log.jsonl`. */
  readonly run: string
  readonly artifact: string
  /** Name and version go into the spec: artifacts are told apart by them. The name stays as it was where none is given. */
  readonly name?: string
  readonly version: string
  readonly calibration: CalibrateOptions
  /** Artifact whose statistics to keep instead of calibrating: the one that the last phase trained under. */
  readonly statisticsFrom?: string
}

/** Means and variances, base and per variant, of one set of weights in another. */
const withStatistics = (weights: Weights, from: Weights): Weights =>
  new Map([...weights, ...[...from].filter(([name]) => name.endsWith(".mean") || name.endsWith(".var"))])

const describe = (state: TrainingState, data: string): string =>
  `trained from random weights on ${basename(resolve(data))} (${state.images} images in ${state.step} steps), seed ${state.recipe.seed}`

export const trainingStateFile = "training.json"
export const trainingLogFile = "training-log.jsonl"

export const exportArtifact = async (options: ExportOptions, spec: SupernetSpec): Promise<TrainingState> => {
  const { weights, state } = checkpointWeights(join(options.run, "state.bin"), spec)
  const named = { ...state.spec, name: options.name ?? state.spec.name, version: options.version }
  const calibrated =
    options.statisticsFrom === undefined
      ? await calibrate(
          named,
          weights,
          await calibrationImages(options.data, spec.resolutions),
          options.calibration,
        )
      : withStatistics(weights, (await Effect.runPromise(readArtifact(options.statisticsFrom))).weights)
  await Effect.runPromise(
    writeArtifact(options.artifact, named, calibrated, {
      training: describe(state, options.data),
    }),
  )
  const { spec: _, ...rest } = state
  await putFile(options.artifact, trainingStateFile, `${JSON.stringify(rest, null, 1)}\n`)
  const log = join(options.run, "log.jsonl")
  const hasLog = existsSync(log)
  if (hasLog) await putFile(options.artifact, trainingLogFile, await readFile(log))
  const made = [trainingStateFile, ...(hasLog ? [trainingLogFile] : [])]
  await Effect.runPromise(recordFiles(options.artifact, made))
  return state
}

const calibratedSuffix = "-calibrated"

/**
 * An artifact again, with statistics from images: for weights from elsewhere, whose statistics are those of one network only.
 * `calibrated` gets no training state: the weights are as they were, and as precise. Its version says what was done, as its answers
 * are other ones: tables, predictors and policies of the one are not those of the other.
 */
export const calibrateArtifact = async (
  artifact: string,
  calibrated: string,
  data: string,
  options: CalibrateOptions,
): Promise<void> => {
  const { spec, weights, manifest } = await Effect.runPromise(readArtifact(artifact))
  const images = await calibrationImages(data, spec.resolutions)
  const training = `${manifest.training}; statistics calibrated on ${basename(resolve(data))}`
  const all = await calibrate(spec, weights, images, options)
  const version = spec.version.endsWith(calibratedSuffix) ? spec.version : spec.version + calibratedSuffix
  const named = { ...spec, version }
  await Effect.runPromise(writeArtifact(calibrated, named, all, { training, weights: manifest.weights }))
}

/**
 * Weights and state of an artifact, to train on where no checkpoint is left: the optimiser's moments start from zero, so its
 * updates (warm-up, bias correction) count from zero again, and so do the minutes that the learning rate follows.
 */
export const artifactState = async (
  directory: string,
): Promise<{ readonly parameters: Float32Array; readonly state: TrainingState }> => {
  const { spec, weights } = await Effect.runPromise(readArtifact(directory))
  const stored = JSON.parse(await readFile(join(directory, trainingStateFile), "utf8")) as Omit<
    TrainingState,
    "spec"
  >
  return {
    parameters: packParameters(parameterLayout(spec), weights),
    state: { ...stored, spec, updates: 0, minutes: 0 },
  }
}
