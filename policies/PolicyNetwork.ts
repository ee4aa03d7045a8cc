/**
 * The policy: a one-layer LSTM (256 units in the paper) whose output feeds one linear head per action type. This file runs
 * it: choosing strategies for a batch of constraints, and the likelihood of given strategies with its gradient by fused
 * back-propagation through time. The heavy work is in `kernels/`, the heads are in `PolicyHeads.ts`.
 *
 * Steps that decide nothing, such as those of blocks that the chosen depths leave out, are skipped, the LSTM's state untouched.
 */
import type { Random } from "../supernet/Random.ts"
import { encodeConstraints, encoderGradients } from "./ConstraintEncoder.ts"
import type { Genome } from "./Genome.ts"
import { loadKernels, type Memory } from "./kernels/Kernels.ts"
import {
  type ChooseOptions,
  chooseStep,
  likelihoods,
  logitGradients,
  type LossGradient,
} from "./PolicyHeads.ts"
import { allocateBuffers, type Buffers, pack, type Packing, roundUp4 } from "./PolicyPacking.ts"
import { PolicyParameters } from "./PolicyParameters.ts"
import { isActiveStep, type PolicyShape, presence, stepAt } from "./PolicyShape.ts"
import type { Constraint } from "./Scenario.ts"

/** Strategies with the constraints under which they are, or were, chosen. */
export interface Batch {
  readonly constraints: ReadonlyArray<Constraint>
  /** Canonical or raw rows; read as they are. */
  readonly genomes: ReadonlyArray<Genome>
}

/** Teacher-forced pass over a batch; rows are (genome, step) pairs in packed order. */
export interface Forward {
  readonly rows: number
  /** Index of the genome of each row, or -1 for rows that only pad. */
  readonly genomeOf: Int32Array
  /** Sum over the step's heads of the log-likelihood of the choices made. */
  readonly logLikelihood: Float32Array
  readonly value: Float32Array
}

export class PolicyNetwork {
  readonly shape: PolicyShape
  readonly parameters: PolicyParameters
  readonly #memory: Memory
  #capacity = 0
  #buffers: Buffers | undefined
  #packing: Packing | undefined
  #batch: Batch | undefined
  #probabilities = new Float32Array(0)

  private constructor(shape: PolicyShape, memory: Memory, random: Random) {
    this.shape = shape
    this.#memory = memory
    this.parameters = new PolicyParameters(shape, memory, random)
  }

  static async make(shape: PolicyShape, random: Random): Promise<PolicyNetwork> {
    return new PolicyNetwork(shape, await loadKernels(), random)
  }

  #ensure(genomes: number): Buffers {
    if (this.#buffers !== undefined && genomes <= this.#capacity) return this.#buffers
    this.#capacity = roundUp4(genomes)
    this.#buffers = allocateBuffers(this.#memory, this.shape, this.#capacity)
    return this.#buffers
  }

  /** Writes the indices of the ones of a step's position and of the choices of the step before; -1 fills the rest. */
  #writeInputs(ones: Int32Array, row: number, step: number, genome: Genome, previous: number): void {
    const { shape } = this
    const base = row * shape.inputOnes
    ones.fill(-1, base, base + shape.inputOnes)
    const { position } = stepAt(shape, step)
    ones.set(position, base)
    if (previous < 0) return
    const { gene, heads } = stepAt(shape, previous)
    for (let k = 0; k < heads.length; k++) {
      ones[base + position.length + k] = shape.positions + (heads[k]?.column ?? 0) + (genome[gene + k] ?? 0)
    }
  }

  /** Gates' pre-activations from constraints and inputs; the hidden state's share comes step by step. */
  #startGates(b: Buffers, p: Packing, genomes: ReadonlyArray<Genome>): void {
    const { shape } = this
    const k = this.#memory.kernels
    const gates = 4 * shape.hidden
    const ones = this.#memory.integers(b.inputOnes, p.rows * shape.inputOnes)
    this.#memory.integers(b.genomeOf, p.rows).set(p.genomeOf)
    const last = new Int32Array(genomes.length).fill(-1)
    for (let row = 0; row < p.rows; row++) {
      const g = p.genomeOf[row] ?? -1
      const genome = genomes[g]
      if (genome === undefined) {
        ones.fill(-1, row * shape.inputOnes, (row + 1) * shape.inputOnes)
        continue
      }
      const step = p.step[row] ?? 0
      this.#writeInputs(ones, row, step, genome, last[g] ?? -1)
      last[g] = step
    }
    this.#memory.view(b.gates, p.rows * gates).fill(0)
    k.gatherRows(b.constraintGates, b.genomeOf, 1, b.gates, p.rows, gates)
    k.gatherRows(this.parameters.weights.inputs, b.inputOnes, shape.inputOnes, b.gates, p.rows, gates)
  }

  /** Teacher forcing: how likely the policy is to choose these genomes. Keeps what `backward` needs. */
  forward(batch: Batch): Forward {
    const { shape } = this
    const b = this.#ensure(batch.genomes.length)
    const k = this.#memory.kernels
    const w = this.parameters.weights
    encodeConstraints(this.#memory, this.parameters, b, batch.constraints)
    const p = pack(shape, batch.genomes)
    this.#startGates(b, p, batch.genomes)
    this.#recur(b, p)
    k.product(b.hidden, w.output, b.logits, p.rows, shape.hidden, shape.columns, b.scratch, 0)
    this.#packing = p
    this.#batch = batch
    const logits = this.#memory.view(b.logits, p.rows * shape.columns)
    if (this.#probabilities.length < logits.length) this.#probabilities = new Float32Array(logits.length)
    const weights = this.#headWeights()
    const present = batch.constraints.map((c) => presence(shape, c))
    const logLikelihood = likelihoods(shape, p, batch.genomes, present, logits, weights, this.#probabilities)
    const value = Float32Array.from(
      p.genomeOf,
      (_, row) => (logits[row * shape.columns + shape.actions] ?? 0) + (weights.bias[shape.actions] ?? 0),
    )
    return { rows: p.rows, genomeOf: p.genomeOf, logLikelihood, value }
  }

  #recur(b: Buffers, p: Packing): void {
    const k = this.#memory.kernels
    const { hidden } = this.shape
    const [rowBytes, gateBytes] = [hidden * 4, hidden * 16]
    k.pack(this.parameters.weights.hidden, b.packed, hidden, 4 * hidden)
    this.#memory.view(b.before, (p.count[0] ?? 0) * hidden).fill(0)
    this.#memory.view(b.cellBefore, (p.count[0] ?? 0) * hidden).fill(0)
    for (let t = 0; t < p.lengths; t++) {
      const [row, rows] = [p.start[t] ?? 0, p.count[t] ?? 0]
      const at = row * rowBytes
      if (t > 0) {
        const from = (p.start[t - 1] ?? 0) * rowBytes
        for (const [source, target] of [
          [b.hidden, b.before],
          [b.cell, b.cellBefore],
        ] as const) {
          this.#memory.view(target + at, rows * hidden).set(this.#memory.view(source + from, rows * hidden))
        }
        k.packedProduct(b.before + at, b.packed, b.gates + row * gateBytes, rows, hidden, 4 * hidden, 1)
      }
      k.cellForward(
        b.gates + row * gateBytes,
        b.cellBefore + at,
        b.cell + at,
        b.squashed + at,
        b.hidden + at,
        rows,
        hidden,
      )
    }
  }

  /** Gradient of a loss of the last `forward`, given its derivatives by row. Overwrites the gradients. */
  backward(loss: LossGradient): void {
    const [b, p, batch] = [this.#buffers, this.#packing, this.#batch]
    if (b === undefined || p === undefined || batch === undefined)
      throw new RangeError("backward before forward")
    const { shape } = this
    const { hidden, columns } = shape
    const k = this.#memory.kernels
    logitGradients(
      shape,
      p,
      batch.genomes,
      loss,
      this.#probabilities,
      this.#memory.view(b.logits, p.rows * columns),
      { bias: this.parameters.gradient("bias"), within: this.parameters.gradient("within") },
    )
    k.transposedProduct(
      b.hidden,
      b.logits,
      this.parameters.gradients.output,
      p.rows,
      hidden,
      columns,
      b.scratch,
    )
    const outputTransposed = b.transposed + 4 * hidden * hidden * 4
    k.transpose(this.parameters.weights.output, outputTransposed, hidden, columns)
    k.product(b.logits, outputTransposed, b.dHidden, p.rows, columns, hidden, b.scratch, 0)
    k.transpose(this.parameters.weights.hidden, b.transposed, hidden, 4 * hidden)
    k.pack(b.transposed, b.packed, 4 * hidden, hidden)
    this.#memory.view(b.dCell, (p.count[0] ?? 0) * hidden).fill(0)
    for (let t = p.lengths - 1; t >= 0; t--) {
      const [row, rows] = [p.start[t] ?? 0, p.count[t] ?? 0]
      const [at, gatesAt] = [row * hidden * 4, b.gates + row * hidden * 16]
      k.cellBackward(gatesAt, b.cellBefore + at, b.squashed + at, b.dHidden + at, b.dCell, rows, hidden)
      if (t === 0) continue
      const previous = b.dHidden + (p.start[t - 1] ?? 0) * hidden * 4
      k.packedProduct(gatesAt, b.packed, previous, rows, 4 * hidden, hidden, 1)
    }
    this.#inputGradients(b, p, batch)
  }

  #inputGradients(b: Buffers, p: Packing, batch: Batch): void {
    const { hidden, inputs, inputOnes } = this.shape
    const k = this.#memory.kernels
    const { gradients } = this.parameters
    const gates = 4 * hidden
    const first = p.count[0] ?? 0
    const [before, after] = [b.before + first * hidden * 4, b.gates + first * gates * 4]
    k.transposedProduct(before, after, gradients.hidden, p.rows - first, hidden, gates, b.scratch)
    this.#memory.view(gradients.inputs, inputs * gates).fill(0)
    k.scatterRows(b.gates, b.inputOnes, inputOnes, gradients.inputs, p.rows, gates)
    const rows = roundUp4(batch.genomes.length)
    this.#memory.view(b.dConstraintGates, rows * gates).fill(0)
    k.scatterRows(b.gates, b.genomeOf, 1, b.dConstraintGates, p.rows, gates)
    encoderGradients(this.#memory, this.parameters, b, rows)
  }

  /** Chooses a strategy for each constraint. Rows are raw: call `canonicalize` before comparing or storing them. */
  choose(constraints: ReadonlyArray<Constraint>, options: ChooseOptions): ReadonlyArray<Genome> {
    const { shape } = this
    const { hidden, columns } = shape
    const b = this.#ensure(constraints.length)
    const k = this.#memory.kernels
    const w = this.parameters.weights
    const rows = encodeConstraints(this.#memory, this.parameters, b, constraints)
    const gates = 4 * hidden
    const genomes = constraints.map(() => new Uint8Array(shape.space.length))
    const present = constraints.map((c) => presence(shape, c))
    const last = new Int32Array(constraints.length).fill(-1)
    const heads = this.#headWeights()
    k.pack(w.hidden, b.packed, hidden, gates)
    const q = new Float32Array(rows * columns)
    const ones = this.#memory.integers(b.inputOnes, rows * shape.inputOnes).fill(-1)
    const state = [
      [this.#memory.view(b.hidden, rows * hidden), this.#memory.view(b.before, rows * hidden).fill(0)],
      [this.#memory.view(b.cell, rows * hidden), this.#memory.view(b.cellBefore, rows * hidden).fill(0)],
    ] as const
    const logits = this.#memory.view(b.logits, rows * columns)
    for (let step = 0; step < shape.steps; step++) {
      const active = genomes.map((genome) => isActiveStep(shape, genome, step))
      if (!active.includes(true)) continue
      for (const [g, genome] of genomes.entries()) this.#writeInputs(ones, g, step, genome, last[g] ?? -1)
      this.#memory.view(b.gates, rows * gates).set(this.#memory.view(b.constraintGates, rows * gates))
      k.gatherRows(w.inputs, b.inputOnes, shape.inputOnes, b.gates, rows, gates)
      if (step > 0) k.packedProduct(b.before, b.packed, b.gates, rows, hidden, gates, 1)
      k.cellForward(b.gates, b.cellBefore, b.cell, b.squashed, b.hidden, rows, hidden)
      k.product(b.hidden, w.output, b.logits, rows, hidden, columns, b.scratch, 0)
      for (const [g, genome] of genomes.entries()) {
        if (active[g] !== true) continue
        chooseStep(shape, logits, g, step, genome, present[g] ?? 1, heads, q, options)
        last[g] = step
        for (const [now, kept] of state) kept.set(now.subarray(g * hidden, (g + 1) * hidden), g * hidden)
      }
    }
    return genomes
  }

  #headWeights() {
    return { bias: this.parameters.weight("bias"), within: this.parameters.weight("within") }
  }
}
