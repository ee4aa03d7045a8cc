/**
 * The policy: a one-layer LSTM (256 units in the paper) whose output feeds one linear head per action type. This file runs
 * it: choosing strategies for a batch of constraints, and the likelihood of given strategies with its gradient by fused
 * back-propagation through time. The heavy work is in `kernels/`, the heads are in `PolicyHeads.ts`.
 *
 * Steps of blocks that the chosen depths leave out are skipped, the LSTM's state untouched.
 */
import { normal, type Random } from "../supernet/Random.ts"
import { type Genome, isActiveBlock } from "./Genome.ts"
import { loadKernels, type Memory, type Pointer } from "./kernels/Kernels.ts"
import {
  type ChooseOptions,
  chooseStep,
  likelihoods,
  logitGradients,
  type LossGradient,
} from "./PolicyHeads.ts"
import { allocateBuffers, type Buffers, pack, type Packing, roundUp4 } from "./PolicyPacking.ts"
import {
  geneAt,
  headsAt,
  parameterCount,
  type ParameterName,
  parameterSizes,
  type PolicyShape,
  presence,
  writeFeatures,
} from "./PolicyShape.ts"
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
  readonly entropy: Float32Array
  readonly value: Float32Array
}

interface Parameters {
  readonly at: Readonly<Record<ParameterName, Pointer>>
  readonly start: Pointer
}

const layout = (shape: PolicyShape, start: Pointer): Parameters => {
  let next = start
  const at = Object.fromEntries(
    Object.entries(parameterSizes(shape)).map(([name, size]) => {
      next += size * 4
      return [name, next - size * 4]
    }),
  ) as Record<ParameterName, Pointer>
  return { at, start }
}

export class PolicyNetwork {
  readonly shape: PolicyShape
  readonly #memory: Memory
  readonly #weights: Parameters
  readonly #gradients: Parameters
  readonly #adamMean: Pointer
  readonly #adamSquare: Pointer
  readonly #count: number
  #updates = 0
  #capacity = 0
  #buffers: Buffers | undefined
  #packing: Packing | undefined
  #batch: Batch | undefined
  #probabilities = new Float32Array(0)

  private constructor(shape: PolicyShape, memory: Memory) {
    this.shape = shape
    this.#memory = memory
    this.#count = roundUp4(parameterCount(shape))
    const block = () => memory.allocate(this.#count)
    this.#weights = layout(shape, block())
    this.#gradients = layout(shape, block())
    this.#adamMean = block()
    this.#adamSquare = block()
  }

  static async make(shape: PolicyShape, random: Random): Promise<PolicyNetwork> {
    const network = new PolicyNetwork(shape, await loadKernels())
    network.#initialise(random)
    return network
  }

  #initialise(random: Random): void {
    const { hidden, features, inputs } = this.shape
    const fill = (name: ParameterName, deviation: number) => {
      const w = this.parameter(name)
      for (let i = 0; i < w.length; i++) w[i] = deviation * normal(random)
    }
    // Features are near one-hot: about a tenth of them are non-zero, so their rows start larger than 1 / sqrt(count).
    fill("features", 1 / Math.sqrt(features / 4))
    fill("inputs", 1 / Math.sqrt(inputs / 4))
    fill("hidden", 1 / Math.sqrt(hidden))
    fill("output", 0.1 / Math.sqrt(hidden))
    // Remember by default: the forget gate starts open (Jozefowicz et al., 2015).
    const rows = this.parameter("inputs")
    for (let s = 0; s < this.shape.steps; s++) {
      for (let j = 0; j < hidden; j++) rows[s * 4 * hidden + hidden + j] = 1
    }
  }

  /** A view of one parameter; valid until the network allocates (the first larger batch). */
  parameter(name: ParameterName): Float32Array {
    return this.#memory.view(this.#weights.at[name], parameterSizes(this.shape)[name])
  }

  gradient(name: ParameterName): Float32Array {
    return this.#memory.view(this.#gradients.at[name], parameterSizes(this.shape)[name])
  }

  /** Moves `average` towards the weights: average = decay average + (1 - decay) weights. */
  averageInto(average: Float32Array, decay: number): void {
    const weights = this.#memory.view(this.#weights.start, this.#count)
    for (let i = 0; i < weights.length; i++) {
      average[i] = decay * (average[i] ?? 0) + (1 - decay) * (weights[i] ?? 0)
    }
  }

  /** Runs `body` with other weights in place, then puts the present ones back. */
  withWeights<A>(weights: Float32Array, body: () => A): A {
    const view = () => this.#memory.view(this.#weights.start, this.#count)
    const own = view().slice()
    view().set(weights)
    try {
      return body()
    } finally {
      view().set(own)
    }
  }

  /** All weights, then Adam's two moments, and the number of updates: what a checkpoint needs. */
  snapshot(): { readonly weights: Float32Array; readonly moments: Float32Array; readonly updates: number } {
    const weights = this.#memory.view(this.#weights.start, this.#count).slice()
    const moments = new Float32Array(2 * this.#count)
    moments.set(this.#memory.view(this.#adamMean, this.#count), 0)
    moments.set(this.#memory.view(this.#adamSquare, this.#count), this.#count)
    return { weights, moments, updates: this.#updates }
  }

  restore(state: {
    readonly weights: Float32Array
    readonly moments?: Float32Array
    readonly updates?: number
  }): void {
    this.#memory.view(this.#weights.start, this.#count).set(state.weights)
    if (state.moments !== undefined) {
      this.#memory.view(this.#adamMean, this.#count).set(state.moments.subarray(0, this.#count))
      this.#memory.view(this.#adamSquare, this.#count).set(state.moments.subarray(this.#count))
    }
    this.#updates = state.updates ?? 0
  }

  #ensure(genomes: number): Buffers {
    if (this.#buffers !== undefined && genomes <= this.#capacity) return this.#buffers
    this.#capacity = roundUp4(genomes)
    this.#buffers = allocateBuffers(this.#memory, this.shape, this.#capacity)
    return this.#buffers
  }

  /** The constraint's share of the gates' pre-activations, the same in every step. */
  #constraintGates(b: Buffers, constraints: ReadonlyArray<Constraint>): number {
    const { shape } = this
    const rows = roundUp4(constraints.length)
    const features = this.#memory.view(b.features, rows * shape.features)
    features.fill(0)
    for (const [i, c] of constraints.entries()) writeFeatures(shape, c, features, i * shape.features)
    this.#memory.kernels.product(
      b.features,
      this.#weights.at.features,
      b.constraintGates,
      rows,
      shape.features,
      4 * shape.hidden,
      b.scratch,
      0,
    )
    return rows
  }

  /** Writes the one-hots of a step and of the choices of the step before into row `row` of the inputs. */
  #writeInputs(inputs: Float32Array, row: number, step: number, genome: Genome, previous: number): void {
    const { shape } = this
    const base = row * shape.inputs
    inputs[base + step] = 1
    if (previous < 0) return
    const genes = geneAt(shape, previous)
    for (const [k, head] of headsAt(shape, previous).entries()) {
      inputs[base + shape.steps + head.column + (genome[genes + k] ?? 0)] = 1
    }
  }

  /** Teacher forcing: how likely the policy is to choose these genomes. Keeps what `backward` needs. */
  forward(batch: Batch): Forward {
    const { shape } = this
    const b = this.#ensure(batch.genomes.length)
    const k = this.#memory.kernels
    const gates = 4 * shape.hidden
    this.#constraintGates(b, batch.constraints)
    const p = pack(shape, batch.genomes)
    const inputs = this.#memory.view(b.inputs, p.rows * shape.inputs)
    inputs.fill(0)
    const last = new Int32Array(batch.genomes.length).fill(-1)
    const gateRows = this.#memory.view(b.gates, p.rows * gates)
    const constraintRows = this.#memory.view(b.constraintGates, roundUp4(batch.genomes.length) * gates)
    for (let row = 0; row < p.rows; row++) {
      const g = p.genomeOf[row] ?? -1
      const genome = batch.genomes[g]
      if (genome === undefined) {
        gateRows.fill(0, row * gates, (row + 1) * gates)
        continue
      }
      const step = p.step[row] ?? 0
      this.#writeInputs(inputs, row, step, genome, last[g] ?? -1)
      last[g] = step
      gateRows.set(constraintRows.subarray(g * gates, (g + 1) * gates), row * gates)
    }
    k.product(b.inputs, this.#weights.at.inputs, b.gates, p.rows, shape.inputs, gates, b.scratch, 1)
    this.#recur(b, p)
    k.product(b.hidden, this.#weights.at.output, b.logits, p.rows, shape.hidden, shape.columns, b.scratch, 0)
    this.#packing = p
    this.#batch = batch
    const logits = this.#memory.view(b.logits, p.rows * shape.columns)
    if (this.#probabilities.length < logits.length) this.#probabilities = new Float32Array(logits.length)
    const weights = { bias: this.parameter("bias"), within: this.parameter("within") }
    const present = batch.constraints.map((c) => presence(shape, c))
    const judged = likelihoods(shape, p, batch.genomes, present, logits, weights, this.#probabilities)
    const value = Float32Array.from(
      p.genomeOf,
      (_, row) => (logits[row * shape.columns + shape.actions] ?? 0) + (weights.bias[shape.actions] ?? 0),
    )
    return { rows: p.rows, genomeOf: p.genomeOf, ...judged, value }
  }

  #recur(b: Buffers, p: Packing): void {
    const k = this.#memory.kernels
    const { hidden } = this.shape
    const [rowBytes, gateBytes] = [hidden * 4, hidden * 16]
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
        k.product(
          b.before + at,
          this.#weights.at.hidden,
          b.gates + row * gateBytes,
          rows,
          hidden,
          4 * hidden,
          b.scratch,
          1,
        )
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
      { bias: this.gradient("bias"), within: this.gradient("within") },
    )
    k.transposedProduct(b.hidden, b.logits, this.#gradients.at.output, p.rows, hidden, columns, b.scratch)
    const outputTransposed = b.transposed + 4 * hidden * hidden * 4
    k.transpose(this.#weights.at.output, outputTransposed, hidden, columns)
    k.product(b.logits, outputTransposed, b.dHidden, p.rows, columns, hidden, b.scratch, 0)
    k.transpose(this.#weights.at.hidden, b.transposed, hidden, 4 * hidden)
    this.#memory.view(b.dCell, (p.count[0] ?? 0) * hidden).fill(0)
    for (let t = p.lengths - 1; t >= 0; t--) {
      const [row, rows] = [p.start[t] ?? 0, p.count[t] ?? 0]
      const [at, gatesAt] = [row * hidden * 4, b.gates + row * hidden * 16]
      k.cellBackward(gatesAt, b.cellBefore + at, b.squashed + at, b.dHidden + at, b.dCell, rows, hidden)
      if (t === 0) continue
      const previous = b.dHidden + (p.start[t - 1] ?? 0) * hidden * 4
      k.product(gatesAt, b.transposed, previous, rows, 4 * hidden, hidden, b.scratch, 1)
    }
    this.#inputGradients(b, p, batch)
  }

  #inputGradients(b: Buffers, p: Packing, batch: Batch): void {
    const { hidden, inputs, features } = this.shape
    const k = this.#memory.kernels
    const gates = 4 * hidden
    k.transposedProduct(b.inputs, b.gates, this.#gradients.at.inputs, p.rows, inputs, gates, b.scratch)
    const first = p.count[0] ?? 0
    k.transposedProduct(
      b.before + first * hidden * 4,
      b.gates + first * gates * 4,
      this.#gradients.at.hidden,
      p.rows - first,
      hidden,
      gates,
      b.scratch,
    )
    const rows = roundUp4(batch.genomes.length)
    this.#memory.view(b.dConstraintGates, rows * gates).fill(0)
    for (let row = 0; row < p.rows; row++) {
      const g = p.genomeOf[row] ?? -1
      if (g >= 0) k.addTo(b.gates + row * gates * 4, b.dConstraintGates + g * gates * 4, gates)
    }
    k.transposedProduct(
      b.features,
      b.dConstraintGates,
      this.#gradients.at.features,
      rows,
      features,
      gates,
      b.scratch,
    )
  }

  /** One Adam step along the last gradient, its norm clipped to `maxNorm`. Returns the norm before clipping. */
  step(rate: number, maxNorm = 1): number {
    const k = this.#memory.kernels
    const norm = Math.sqrt(k.sumOfSquares(this.#gradients.start, this.#count))
    const t = ++this.#updates
    const corrected = (rate * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t)
    const scale = norm > maxNorm ? maxNorm / norm : 1
    const { start } = this.#weights
    k.adam(
      start,
      this.#gradients.start,
      this.#adamMean,
      this.#adamSquare,
      this.#count,
      corrected,
      0.9,
      0.999,
      1e-7,
      scale,
    )
    return norm
  }

  /** Chooses a strategy for each constraint. Rows are raw: call `canonicalize` before comparing or storing them. */
  choose(constraints: ReadonlyArray<Constraint>, options: ChooseOptions): ReadonlyArray<Genome> {
    const { shape } = this
    const { hidden, columns } = shape
    const b = this.#ensure(constraints.length)
    const k = this.#memory.kernels
    const rows = this.#constraintGates(b, constraints)
    const gates = 4 * hidden
    const genomes = constraints.map(() => new Uint8Array(shape.space.length))
    const present = constraints.map((c) => presence(shape, c))
    const last = new Int32Array(constraints.length).fill(-1)
    const weights = { bias: this.parameter("bias"), within: this.parameter("within") }
    const q = new Float32Array(rows * columns)
    for (const p of [b.before, b.cellBefore]) this.#memory.view(p, rows * hidden).fill(0)
    for (let step = 0; step < shape.steps; step++) {
      const inputs = this.#memory.view(b.inputs, rows * shape.inputs)
      inputs.fill(0)
      for (const [g, genome] of genomes.entries()) this.#writeInputs(inputs, g, step, genome, last[g] ?? -1)
      this.#memory.view(b.gates, rows * gates).set(this.#memory.view(b.constraintGates, rows * gates))
      k.product(b.inputs, this.#weights.at.inputs, b.gates, rows, shape.inputs, gates, b.scratch, 1)
      if (step > 0) k.product(b.before, this.#weights.at.hidden, b.gates, rows, hidden, gates, b.scratch, 1)
      k.cellForward(b.gates, b.cellBefore, b.cell, b.squashed, b.hidden, rows, hidden)
      k.product(b.hidden, this.#weights.at.output, b.logits, rows, hidden, columns, b.scratch, 0)
      const logits = this.#memory.view(b.logits, rows * columns)
      for (const [g, genome] of genomes.entries()) {
        if (step > 0 && !isActiveBlock(shape.space, genome, step - 1)) continue
        chooseStep(shape, logits, g, step, genome, present[g] ?? 1, weights, q, options)
        last[g] = step
        for (const [source, target] of [
          [b.hidden, b.before],
          [b.cell, b.cellBefore],
        ] as const) {
          const at = g * hidden * 4
          this.#memory.view(target + at, hidden).set(this.#memory.view(source + at, hidden))
        }
      }
    }
    return genomes
  }
}
