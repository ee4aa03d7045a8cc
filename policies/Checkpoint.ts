/**
 * A training on disk, so that it can go on: weights, their average and Adam's moments, what the learner remembers, the curve.
 */
import { readFileSync, writeFileSync } from "node:fs"
import type { Imitated, Learner } from "./Learner.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import type { ValidationReport } from "./Train.ts"

interface CheckpointHeader {
  readonly iteration: number
  readonly curve: ReadonlyArray<ValidationReport>
  readonly updates: number
  readonly sizes: readonly [number, number]
  /** What the learner remembers: constraints, and genomes in base64. */
  readonly memory: ReadonlyArray<readonly [ReadonlyArray<number>, string]>
}

export interface Checkpoint extends Omit<CheckpointHeader, "memory"> {
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

/** Weights and memory of another training, not its progress. */
export const startFrom = (file: string | undefined, network: PolicyNetwork): Checkpoint | undefined => {
  if (file === undefined) return undefined
  const other = readCheckpoint(file, network)
  if (other === undefined) throw new RangeError(`there is no checkpoint ${file}`)
  network.parameters.restore({ weights: other.average })
  return other
}

/** One JSON line, then the weights, their average, and Adam's moments as raw float32. */
export const writeCheckpoint = (
  file: string,
  network: PolicyNetwork,
  average: Float32Array,
  learner: Learner,
  iteration: number,
  curve: ReadonlyArray<ValidationReport>,
) => {
  const { weights, moments, updates } = network.parameters.snapshot()
  const header: CheckpointHeader = {
    iteration,
    curve,
    updates,
    sizes: [weights.length, moments.length],
    memory: packed(learner.memory?.() ?? []),
  }
  const bytes = (a: Float32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength)
  writeFileSync(
    file,
    Buffer.concat([
      Buffer.from(`${JSON.stringify(header)}\n`),
      bytes(weights),
      bytes(average),
      bytes(moments),
    ]),
  )
}

export const readCheckpoint = (file: string, network: PolicyNetwork): Checkpoint | undefined => {
  let data: Buffer
  try {
    data = readFileSync(file)
  } catch {
    return undefined
  }
  const end = data.indexOf("\n")
  const header = JSON.parse(data.subarray(0, end).toString()) as CheckpointHeader
  const [weights, moments] = header.sizes
  if (weights !== network.parameters.snapshot().weights.length) {
    throw new RangeError(
      `checkpoint ${file} is of a network with ${weights} weights: remove it, or train the same shape`,
    )
  }
  const floats = (from: number, count: number) =>
    new Float32Array(Uint8Array.from(data.subarray(from, from + 4 * count)).buffer)
  network.parameters.restore({
    weights: floats(end + 1, weights),
    moments: floats(end + 1 + 8 * weights, moments),
    updates: header.updates,
  })
  return { ...header, memory: unpacked(header.memory), average: floats(end + 1 + 4 * weights, weights) }
}
