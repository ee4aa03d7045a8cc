/**
 * How a batch of genomes of different lengths becomes rows without gaps, and the buffers that hold those rows. Genomes are
 * sorted by length, so the rows of one step are contiguous and a step's row r continues row r of the step before.
 */
import type { Genome } from "./Genome.ts"
import type { Memory, Pointer } from "./kernels/Kernels.ts"
import { isActiveStep, type PolicyShape } from "./PolicyShape.ts"

/** The kernels work on four rows at a time. */
export const roundUp4 = (n: number) => (n + 3) & ~3

/** Buffers for batches of up to `capacity` genomes; `capacity` is a multiple of 4. */
export interface Buffers {
  readonly features: Pointer
  readonly trunk: Pointer
  readonly constraintGates: Pointer
  /** Indices of each row's input ones (int32). */
  readonly inputOnes: Pointer
  /** Index of each row's genome (int32). */
  readonly genomeOf: Pointer
  readonly gates: Pointer
  readonly before: Pointer
  readonly cellBefore: Pointer
  readonly cell: Pointer
  readonly squashed: Pointer
  readonly hidden: Pointer
  readonly logits: Pointer
  readonly dHidden: Pointer
  readonly dCell: Pointer
  readonly dConstraintGates: Pointer
  readonly dTrunk: Pointer
  readonly transposed: Pointer
  /** The hidden weights, or their transpose, packed for the steps of a pass. */
  readonly packed: Pointer
  readonly scratch: Pointer
}

export const allocateBuffers = (memory: Memory, shape: PolicyShape, capacity: number): Buffers => {
  const { hidden, steps, columns, features, trunk, inputOnes } = shape
  const rows = capacity * steps
  const widest = Math.max(hidden * 4, trunk, features)
  return {
    features: memory.allocate(capacity * features),
    trunk: memory.allocate(capacity * trunk),
    constraintGates: memory.allocate(capacity * 4 * hidden),
    inputOnes: memory.allocate(rows * inputOnes),
    genomeOf: memory.allocate(rows),
    gates: memory.allocate(rows * 4 * hidden),
    before: memory.allocate(rows * hidden),
    cellBefore: memory.allocate(rows * hidden),
    cell: memory.allocate(rows * hidden),
    squashed: memory.allocate(rows * hidden),
    hidden: memory.allocate(rows * hidden),
    logits: memory.allocate(rows * columns),
    dHidden: memory.allocate(rows * hidden),
    dCell: memory.allocate(capacity * hidden),
    dConstraintGates: memory.allocate(capacity * 4 * hidden),
    dTrunk: memory.allocate(capacity * trunk),
    packed: memory.allocate(4 * hidden * hidden),
    transposed: memory.allocate(4 * hidden * Math.max(hidden, trunk) + columns * hidden),
    scratch: memory.allocate(256 * (widest + 8)),
  }
}

/** Where the packed rows of a batch lie. */
export interface Packing {
  /** Genome indices, longest first. */
  readonly order: Int32Array
  /** First row of each packed step, and its rows (a multiple of 4). */
  readonly start: Int32Array
  readonly count: Int32Array
  readonly lengths: number
  readonly rows: number
  /** Network step of each row; -1 for padding. */
  readonly step: Int32Array
  readonly genomeOf: Int32Array
}

export const pack = (shape: PolicyShape, genomes: ReadonlyArray<Genome>): Packing => {
  const active = genomes.map((g) => {
    const list: Array<number> = []
    for (let s = 0; s < shape.steps; s++) if (isActiveStep(shape, g, s)) list.push(s)
    return list
  })
  const order = Int32Array.from(genomes.keys()).sort(
    (a, b) => (active[b]?.length ?? 0) - (active[a]?.length ?? 0),
  )
  const lengths = active[order[0] ?? 0]?.length ?? 0
  const start = new Int32Array(lengths)
  const count = new Int32Array(lengths)
  let rows = 0
  for (let t = 0; t < lengths; t++) {
    let n = 0
    while (n < order.length && (active[order[n] ?? 0]?.length ?? 0) > t) n++
    start[t] = rows
    count[t] = roundUp4(n)
    rows += roundUp4(n)
  }
  const step = new Int32Array(rows).fill(-1)
  const genomeOf = new Int32Array(rows).fill(-1)
  for (let t = 0; t < lengths; t++) {
    for (let r = 0; r < (count[t] ?? 0); r++) {
      const g = order[r]
      const s = g === undefined ? undefined : active[g]?.[t]
      if (g === undefined || s === undefined) continue
      step[(start[t] ?? 0) + r] = s
      genomeOf[(start[t] ?? 0) + r] = g
    }
  }
  return { order, start, count, lengths, rows, step, genomeOf }
}
