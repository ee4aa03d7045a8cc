/**
 * A training on disk, so that it can go on: weights, their average and Adam's moments, the best weights so far, what the
 * learner remembers, the curve. It says which training it is of: another one must not go on with it.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { Schema } from "effect"
import { settingsOf } from "./Algorithms.ts"
import type { Imitated, Learner } from "./Learner.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import { modelsDigest, type Setting } from "./Setting.ts"
import type { TrainOptions, ValidationReport } from "./Train.ts"

/** A validation, and the averaged weights that were validated. */
export interface Validated {
  readonly report: ValidationReport
  readonly weights: Float32Array
}

/** What must be the same for a training to go on; how long it takes and who helps may change. */
export interface TrainingIdentity {
  /** sha256 of supernet, profiles and accuracy model with their numbers. */
  readonly models: string
  readonly kind: string
  /** sha256 of the scenario, the network's sizes, the algorithm's settings, the seed, and what is validated on. */
  readonly settings: string
}

export const identityOf = (setting: Setting, options: TrainOptions): TrainingIdentity => {
  const { seed, hidden, stepPer, averaging, validationCount, oracle } = options
  const settings = [setting.scenario, settingsOf(options), seed, hidden, stepPer, averaging]
  const validation = [validationCount, oracle.searchEvaluations, oracle.polishEvaluations, oracle.seed]
  const digest = createHash("sha256")
    .update(JSON.stringify([settings, validation]))
    .digest("hex")
  return { models: modelsDigest(setting), kind: options.kind, settings: digest }
}

/** A checkpoint that a training cannot go on from. */
export class CheckpointRefused extends Schema.TaggedError<CheckpointRefused>()("CheckpointRefused", {
  file: Schema.String,
  /** What is different there. */
  differs: Schema.Array(Schema.String),
}) {
  readonly hint =
    "to train from the start, remove it or train into another folder; to keep its weights and what it remembers, move it and start from it (--from)"
  override get message() {
    return `checkpoint ${this.file} is of another training (${this.differs.join(", ")})`
  }
}

interface CheckpointHeader {
  readonly of: TrainingIdentity
  readonly iteration: number
  readonly curve: ReadonlyArray<ValidationReport>
  readonly best: ValidationReport
  readonly updates: number
  readonly sizes: readonly [number, number]
  /** What the learner remembers: constraints, and genomes in base64. */
  readonly memory: ReadonlyArray<readonly [ReadonlyArray<number>, string]>
}

export interface Checkpoint extends Pick<CheckpointHeader, "iteration" | "curve"> {
  readonly best: Validated
  readonly average: Float32Array
  readonly memory: ReadonlyArray<Imitated>
}

const packed = (memory: ReadonlyArray<Imitated>): CheckpointHeader["memory"] =>
  memory.map(({ constraint, genome }) => [[...constraint], Buffer.from(genome).toString("base64")])

const unpacked = (memory: CheckpointHeader["memory"]): ReadonlyArray<Imitated> =>
  memory.map(([constraint, genome]) => ({
    constraint: Float64Array.from(constraint),
    genome: Uint8Array.from(Buffer.from(genome, "base64")),
  }))

/** One JSON line, then the weights, their average, Adam's moments and the best average as raw float32; never half of it. */
export const writeCheckpoint = (
  file: string,
  of: TrainingIdentity,
  network: PolicyNetwork,
  learner: Learner,
  progress: Pick<Checkpoint, "iteration" | "curve" | "average" | "best">,
): void => {
  const { weights, moments, updates } = network.parameters.snapshot()
  const { iteration, curve, average, best } = progress
  const header: CheckpointHeader = {
    of,
    iteration,
    curve,
    best: best.report,
    updates,
    sizes: [weights.length, moments.length],
    memory: packed(learner.memory?.() ?? []),
  }
  const bytes = (a: Float32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength)
  const parts = [weights, average, moments, best.weights].map(bytes)
  writeFileSync(`${file}.new`, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...parts]))
  renameSync(`${file}.new`, file)
}

/** A checkpoint's header, and the numbers after it in turn. */
const open = (file: string) => {
  const data = readFileSync(file)
  let at = data.indexOf("\n")
  // Files of older versions say nothing of the training that they are of.
  type Header = Omit<CheckpointHeader, "of"> & { readonly of?: TrainingIdentity }
  const header = JSON.parse(data.subarray(0, at++).toString()) as Header
  const floats = (count: number) => {
    at += 4 * count
    return new Float32Array(Uint8Array.from(data.subarray(at - 4 * count, at)).buffer)
  }
  return { header, floats }
}

const ofAnotherNetwork = (sizes: CheckpointHeader["sizes"], network: PolicyNetwork) => {
  const { count } = network.parameters
  return sizes[0] === count ? [] : [`its network has ${sizes[0]} weights, not ${count}`]
}

const ofAnotherTraining = (of: TrainingIdentity | undefined, wanted: TrainingIdentity) =>
  of === undefined
    ? ["it is of an older version and does not say of which"]
    : [
        ...(of.models === wanted.models ? [] : ["other supernet, profiles or accuracy model"]),
        ...(of.kind === wanted.kind ? [] : [`${of.kind} SLO, not ${wanted.kind}`]),
        ...(of.settings === wanted.settings ? [] : ["other scenario or settings"]),
      ]

/**
 * Puts weights and moments into the network. Undefined where there is no such file; throws `CheckpointRefused` where it is of
 * another network or training.
 */
export const readCheckpoint = (
  file: string,
  network: PolicyNetwork,
  wanted: TrainingIdentity,
): Checkpoint | undefined => {
  if (!existsSync(file)) return undefined
  const { header, floats } = open(file)
  const { iteration, curve, sizes, updates } = header
  const differs = [...ofAnotherNetwork(sizes, network), ...ofAnotherTraining(header.of, wanted)]
  if (differs.length > 0) throw new CheckpointRefused({ file, differs })
  const [weights, average, moments] = [floats(sizes[0]), floats(sizes[0]), floats(sizes[1])]
  network.parameters.restore({ weights, moments, updates })
  const best = { report: header.best, weights: floats(sizes[0]) }
  return { iteration, curve, best, average, memory: unpacked(header.memory) }
}

/** Puts the averaged weights of another training into the network and gives what it remembers; its progress does not count. */
export const startFrom = (file: string, network: PolicyNetwork): ReadonlyArray<Imitated> => {
  if (!existsSync(file)) throw new RangeError(`there is no checkpoint ${file}`)
  const { header, floats } = open(file)
  const differs = ofAnotherNetwork(header.sizes, network)
  if (differs.length > 0) throw new CheckpointRefused({ file, differs })
  floats(header.sizes[0])
  network.parameters.restore({ weights: floats(header.sizes[0]) })
  return unpacked(header.memory)
}
