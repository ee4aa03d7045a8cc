/**
 * The state of a training run in one file: a JSON line (step, updates, minutes, recipe, spec), then the float32 vectors.
 * Random numbers need no state: they are functions of the seed and the step.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import type { SupernetSpec } from "../Spec.ts"
import type { OptimizerState } from "./Optimizer.ts"
import type { Recipe } from "./Recipe.ts"

export interface TrainingState {
  readonly spec: SupernetSpec
  readonly recipe: Recipe
  readonly step: number
  /** Optimiser updates since its moments were last zero. */
  readonly updates: number
  /** Images seen, all workers. */
  readonly images: number
  /** Minutes of training behind this state. */
  readonly minutes: number
  /** Whether the channels have been sorted. */
  readonly sorted: boolean
}

const vectorNames = ["parameters", "momentum", "variance", "average"] as const
const magic = "murmuration training state 1\n"

export const writeCheckpoint = (file: string, state: TrainingState, vectors: OptimizerState): void => {
  const header = Buffer.from(magic + JSON.stringify({ ...state, size: vectors.parameters.length }) + "\n")
  const parts = vectorNames.map((name) => Buffer.from(Float32Array.from(vectors[name]).buffer))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.partial`, Buffer.concat([header, ...parts]))
  renameSync(`${file}.partial`, file)
}

interface Opened {
  readonly state: TrainingState
  readonly size: number
  readonly bytes: Buffer
  /** Byte at which the vectors begin. */
  readonly start: number
}

const open = (file: string): Opened => {
  const bytes = readFileSync(file)
  const end = bytes.indexOf(10, magic.length)
  if (bytes.subarray(0, magic.length).toString() !== magic || end < 0) {
    throw new TypeError(`${file} is no training state`)
  }
  const header = JSON.parse(bytes.subarray(magic.length, end).toString()) as TrainingState & { size: number }
  const { size, ...state } = header
  return { state, size, bytes, start: end + 1 }
}

/** The state of a checkpoint without its vectors. */
export const readState = (file: string): TrainingState => open(file).state

/** Reads a checkpoint into the shared vectors; undefined when there is none. */
export const readCheckpoint = (file: string, vectors: OptimizerState): TrainingState | undefined => {
  if (!existsSync(file)) return undefined
  const { state, size, bytes, start } = open(file)
  if (size !== vectors.parameters.length) {
    throw new TypeError(`${file} is of another supernet (${size} parameters)`)
  }
  for (const [i, name] of vectorNames.entries()) {
    const at = bytes.byteOffset + start + i * size * 4
    vectors[name].set(new Float32Array(bytes.buffer.slice(at, at + size * 4)))
  }
  return state
}
