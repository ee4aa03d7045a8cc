/**
 * The weights of a policy network, their gradients and Adam's moments, each one block of the kernels' memory: initialised,
 * averaged, saved and updated as a whole.
 */
import { normal, type Random } from "../supernet/Random.ts"
import { type Memory, type Pointer } from "./kernels/Kernels.ts"
import { roundUp4 } from "./PolicyPacking.ts"
import { parameterCount, type ParameterName, parameterSizes, type PolicyShape } from "./PolicyShape.ts"

/** Where each parameter lies. */
export type Layout = Readonly<Record<ParameterName, Pointer>>

const layout = (shape: PolicyShape, start: Pointer): Layout => {
  let next = start
  return Object.fromEntries(
    Object.entries(parameterSizes(shape)).map(([name, size]) => {
      next += size * 4
      return [name, next - size * 4]
    }),
  ) as Record<ParameterName, Pointer>
}

type Block = "weights" | "gradients" | "mean" | "square" | "part"

/** All weights, and for going on with a training Adam's two moments and the number of updates. */
export interface ParameterState {
  readonly weights: Float32Array
  readonly moments?: Float32Array
  readonly updates?: number
}

export class PolicyParameters {
  readonly shape: PolicyShape
  readonly weights: Layout
  readonly gradients: Layout
  /** All weights, rounded up to whole vectors. */
  readonly count: number
  readonly #memory: Memory
  readonly #starts: Readonly<Record<Block, Pointer>>
  #updates = 0

  constructor(shape: PolicyShape, memory: Memory, random: Random) {
    this.shape = shape
    this.#memory = memory
    this.count = roundUp4(parameterCount(shape))
    const block = () => memory.allocate(this.count)
    this.#starts = { weights: block(), gradients: block(), mean: block(), square: block(), part: block() }
    this.weights = layout(shape, this.#starts.weights)
    this.gradients = layout(shape, this.#starts.gradients)
    this.#initialise(random)
  }

  #initialise(random: Random): void {
    const { hidden, features, inputs, trunk } = this.shape
    const fill = (name: ParameterName, deviation: number) => {
      const w = this.weight(name)
      for (let i = 0; i < w.length; i++) w[i] = deviation * normal(random)
    }
    // Rectified layers start at sqrt(2 / inputs) (He et al., 2015); about half of the features are ones.
    fill("features", Math.sqrt(2 / features))
    fill("trunk", Math.sqrt(2 / trunk))
    // Inputs are nearly all zeros: their rows start larger than 1 / sqrt(count).
    fill("inputs", 1 / Math.sqrt(inputs / 4))
    fill("hidden", 1 / Math.sqrt(hidden))
    fill("output", 0.1 / Math.sqrt(hidden))
    // Remember by default: the forget gate starts open (Jozefowicz et al., 2015).
    const rows = this.weight("inputs")
    for (let s = 0; s <= this.shape.space.blocks.length; s++) {
      for (let j = 0; j < hidden; j++) rows[s * 4 * hidden + hidden + j] = 1
    }
  }

  /** A view of all weights or gradients; valid until the network allocates. */
  all(block: "weights" | "gradients"): Float32Array {
    return this.#view(block)
  }

  #view(block: Block): Float32Array {
    return this.#memory.view(this.#starts[block], this.count)
  }

  /** A view of one parameter; valid until the network allocates (the first larger batch). */
  weight(name: ParameterName): Float32Array {
    return this.#memory.view(this.weights[name], parameterSizes(this.shape)[name])
  }

  gradient(name: ParameterName): Float32Array {
    return this.#memory.view(this.gradients[name], parameterSizes(this.shape)[name])
  }

  /** Moves `average` towards the weights: average = decay average + (1 - decay) weights. */
  averageInto(average: Float32Array, decay: number): void {
    const weights = this.#view("weights")
    for (let i = 0; i < weights.length; i++) {
      average[i] = decay * (average[i] ?? 0) + (1 - decay) * (weights[i] ?? 0)
    }
  }

  /** Runs `body` with other weights in place, then puts the present ones back. */
  withWeights<A>(weights: Float32Array, body: () => A): A {
    const own = this.#view("weights").slice()
    this.#view("weights").set(weights)
    try {
      return body()
    } finally {
      this.#view("weights").set(own)
    }
  }

  /** A copy of all weights. */
  copy(): Float32Array {
    return this.#view("weights").slice()
  }

  snapshot(): Required<ParameterState> {
    const moments = new Float32Array(2 * this.count)
    moments.set(this.#view("mean"), 0)
    moments.set(this.#view("square"), this.count)
    return { weights: this.#view("weights").slice(), moments, updates: this.#updates }
  }

  restore({ weights, moments, updates }: ParameterState): void {
    this.#view("weights").set(weights)
    if (moments !== undefined) {
      this.#view("mean").set(moments.subarray(0, this.count))
      this.#view("square").set(moments.subarray(this.count))
    }
    this.#updates = updates ?? 0
  }

  /** Sets the gradient to the sum of `parts` [n, count], in their order: floating point makes order part of the result. */
  sumGradients(parts: Float32Array): void {
    const { gradients, part } = this.#starts
    this.#view("gradients").set(parts.subarray(0, this.count))
    for (let from = this.count; from < parts.length; from += this.count) {
      this.#view("part").set(parts.subarray(from, from + this.count))
      this.#memory.kernels.accumulate(part, gradients, this.count)
    }
  }

  /** One Adam step along the last gradient, its norm clipped to `maxNorm`. Returns the norm before clipping. */
  step(rate: number, maxNorm = 1): number {
    const { kernels } = this.#memory
    const { weights, gradients, mean, square } = this.#starts
    const norm = Math.sqrt(kernels.sumOfSquares(gradients, this.count))
    const t = ++this.#updates
    const corrected = (rate * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t)
    const scale = norm > maxNorm ? maxNorm / norm : 1
    kernels.adam(weights, gradients, mean, square, this.count, corrected, 0.9, 0.999, 1e-7, scale)
    return norm
  }
}
