/**
 * The supernet in TensorFlow.js operations: any backend (tfjs-node, wasm, cpu), gradients from the tape. It is the portable
 * form of `KernelNetwork`, which does the same by hand; tests hold the two, and the ONNX graphs, together.
 */
import * as tf from "@tensorflow/tfjs"
import { type BlockGeometry, geometry, type Region, regionHeight, regionWidth } from "../Partition.ts"
import { type Activation, hiddenChannels, squeezeChannels, type SupernetSpec } from "../Spec.ts"
import type { Bits } from "../Strategy.ts"
import { type ActiveBlock, activeBlocks } from "../Submodel.ts"
import { batchNormEpsilon, blockName } from "../Weights.ts"
import type { StatisticsSource } from "./Context.ts"
import type { NetworkPlan } from "./KernelNetwork.ts"
import { type ParameterLayout, parameterLayout } from "./Parameters.ts"

const tile = (x: tf.Tensor4D, r: Region): tf.Tensor4D =>
  x.shape[1] === regionHeight(r) && x.shape[2] === regionWidth(r)
    ? x
    : tf.slice4d(x, [0, r.y0, r.x0, 0], [-1, regionHeight(r), regionWidth(r), -1])

/** Puts tiles, given row by row, together again. */
const stitch = (tiles: ReadonlyArray<tf.Tensor4D>, regions: ReadonlyArray<Region>): tf.Tensor4D => {
  const columns = regions.filter((r) => r.y0 === 0).length
  const rows: Array<tf.Tensor4D> = []
  for (let i = 0; i < tiles.length; i += columns) rows.push(tf.concat4d(tiles.slice(i, i + columns), 2))
  return tf.concat4d(rows, 1)
}

const perTile = (
  x: tf.Tensor4D,
  inputs: ReadonlyArray<Region>,
  outputs: ReadonlyArray<Region>,
  f: (t: tf.Tensor4D) => tf.Tensor4D,
): tf.Tensor4D =>
  inputs.length === 1
    ? f(x)
    : stitch(
        inputs.map((r) => f(tile(x, r))),
        outputs,
      )

const pad = (x: tf.Tensor4D, by: number): tf.Tensor4D =>
  tf.pad4d(x, [
    [0, 0],
    [by, by],
    [by, by],
    [0, 0],
  ])

const hardSigmoid = <T extends tf.Tensor>(x: T): T => tf.div<T>(tf.clipByValue(tf.add(x, 3), 0, 6), 6)
const activate = (x: tf.Tensor4D, activation: Activation | "none"): tf.Tensor4D =>
  activation === "none" ? x : activation === "relu" ? tf.relu(x) : tf.mul(x, hardSigmoid(x))

/** Rounds as the bus would; the gradient passes straight through. */
const fakeQuantize = (x: tf.Tensor4D, bits: Bits): tf.Tensor4D => {
  if (bits === 32) return x
  const rounded = (v: tf.Tensor): tf.Tensor => {
    if (bits === 16) {
      const scaled = tf.mul(v, 8193)
      return tf.sub(scaled, tf.sub(scaled, v))
    }
    const low = tf.minimum(tf.min(v, [1, 2, 3], true), 0)
    const range = tf.sub(tf.maximum(tf.max(v, [1, 2, 3], true), 0), low)
    const scale = tf.where(tf.greater(range, 0), tf.div(range, 255), 1)
    const zero = tf.clipByValue(tf.round(tf.div(tf.neg(low), scale)), 0, 255)
    const q = tf.clipByValue(tf.add(tf.round(tf.div(v, scale)), zero), 0, 255)
    return tf.mul(tf.sub(q, zero), scale)
  }
  const op = tf.customGrad((v) => ({ value: rounded(v as tf.Tensor), gradFunc: (dy: tf.Tensor) => dy }))
  return op(x) as tf.Tensor4D
}

export class TfjsNetwork {
  readonly spec: SupernetSpec
  readonly layout: ParameterLayout
  readonly #variables: ReadonlyMap<string, tf.Variable>
  readonly #gradients: Float32Array

  constructor(spec: SupernetSpec) {
    this.spec = spec
    this.layout = parameterLayout(spec)
    this.#gradients = new Float32Array(this.layout.size)
    this.#variables = new Map(
      [...this.layout.slots.values()].map(({ name, shape }) => [name, tf.variable(tf.zeros([...shape]))]),
    )
  }

  setParameters(vector: Float32Array): void {
    for (const { name, shape, offset, size } of this.layout.slots.values()) {
      const value = tf.tensor(vector.slice(offset, offset + size), [...shape])
      this.#variable(name).assign(value)
      value.dispose()
    }
  }

  /** Sum of the gradients since `zeroGradients`, as a flat vector. */
  get gradients(): Float32Array {
    return this.#gradients
  }

  zeroGradients(): void {
    this.#gradients.fill(0)
  }

  dispose(): void {
    for (const v of this.#variables.values()) v.dispose()
  }

  #variable(name: string): tf.Variable {
    const found = this.#variables.get(name)
    if (found === undefined) throw new RangeError(`no parameter ${name}`)
    return found
  }

  /** The first rows (and columns) of a parameter, reshaped to two dimensions. */
  #matrix(name: string, rows: number, columns: number): tf.Tensor2D {
    const v = this.#variable(name)
    const [outer = 1, inner = 1] = v.shape
    return tf.slice2d(tf.reshape(v, [outer, inner]), [0, 0], [rows, columns])
  }

  #vector(name: string, length: number): tf.Tensor1D {
    return tf.slice1d(this.#variable(name) as tf.Tensor as tf.Tensor1D, 0, length)
  }

  #pointwise(x: tf.Tensor4D, name: string, outputs: number): tf.Tensor4D {
    const inputs = x.shape[3]
    const filter = tf.reshape(tf.transpose(this.#matrix(name, outputs, inputs)), [1, 1, inputs, outputs])
    return tf.conv2d(x, filter as tf.Tensor4D, 1, "valid")
  }

  #norm(
    x: tf.Tensor4D,
    block: string,
    layer: string,
    activation: Activation | "none",
    statistics: StatisticsSource,
  ): tf.Tensor4D {
    const channels = x.shape[3]
    const given = statistics.given?.(block, layer)
    const { mean, variance } =
      given === undefined
        ? tf.moments(x, [0, 1, 2])
        : {
            mean: tf.tensor1d(given.mean.slice(0, channels)),
            variance: tf.tensor1d(given.variance.slice(0, channels)),
          }
    const gamma = this.#vector(`${block}.${layer}.gamma`, channels)
    const scale = tf.mul(gamma, tf.rsqrt(tf.add(variance, batchNormEpsilon)))
    const centred = tf.mul(tf.sub(x, mean), scale)
    return activate(tf.add(centred, this.#vector(`${block}.${layer}.beta`, channels)), activation)
  }

  /** Depthwise filter [k, k, channels, 1] of an elastic kernel. */
  #filter(block: string, stored: number, kernel: number, channels: number): tf.Tensor4D {
    const whole = tf.slice(this.#variable(`${block}.dw`), [0, 0, 0, 0], [channels, 1, stored, stored])
    let w = tf.reshape<tf.Rank.R3>(whole, [channels, stored, stored])
    for (let size = stored - 2; size >= kernel; size -= 2) {
      const centre = tf.reshape(tf.slice3d(w, [0, 1, 1], [channels, size, size]), [channels, size * size])
      const matrix = this.#variable(`${block}.to${size}`) as tf.Tensor2D
      w = tf.reshape<tf.Rank.R3>(tf.matMul(centre, tf.transpose(matrix)), [channels, size, size])
    }
    return tf.reshape<tf.Rank.R4>(tf.transpose(w, [1, 2, 0]), [kernel, kernel, channels, 1])
  }

  #squeezeExcite(x: tf.Tensor4D, block: string): tf.Tensor4D {
    const hidden = x.shape[3]
    const squeezed = squeezeChannels(hidden)
    const pooled = tf.mean<tf.Tensor2D>(x, [1, 2])
    const reduce = tf.transpose(this.#matrix(`${block}.se.reduce`, squeezed, hidden))
    const reduced = tf.relu(
      tf.add(tf.matMul(pooled, reduce), this.#vector(`${block}.se.reduce_bias`, squeezed)),
    )
    const expand = tf.transpose(this.#matrix(`${block}.se.expand`, hidden, squeezed))
    const raw = tf.add(
      tf.matMul(reduced as tf.Tensor2D, expand),
      this.#vector(`${block}.se.expand_bias`, hidden),
    )
    return tf.mul(x, tf.reshape(hardSigmoid(raw), [x.shape[0], 1, 1, hidden]))
  }

  #block(
    whole: tf.Tensor4D,
    block: ActiveBlock,
    g: BlockGeometry,
    bits: Bits,
    statistics: StatisticsSource,
  ): tf.Tensor4D {
    const name = blockName(this.spec, block)
    const x = perTile(whole, g.inputTiles, g.inputTiles, (t) => fakeQuantize(t, bits))
    const first = block.kind === "first"
    const hidden = first ? block.inChannels : hiddenChannels(this.spec, block.inChannels, block.expand)
    const expanded = first
      ? x
      : this.#norm(
          this.#pointwise(x, `${name}.expand`, hidden),
          name,
          "expand_bn",
          block.activation,
          statistics,
        )
    const filter = this.#filter(name, first ? 3 : Math.max(...this.spec.kernels), block.kernel, hidden)
    const convolved = perTile(expanded, g.inputTiles, g.outputTiles, (t) =>
      tf.depthwiseConv2d(pad(t, block.kernel >> 1), filter, block.stride, "valid"),
    )
    const activated = this.#norm(convolved, name, "dw_bn", block.activation, statistics)
    const gated = block.squeezeExcite
      ? perTile(activated, g.outputTiles, g.outputTiles, (t) => this.#squeezeExcite(t, name))
      : activated
    const projected = this.#pointwise(gated, `${name}.project`, block.outChannels)
    const y = this.#norm(projected, name, "project_bn", "none", statistics)
    return block.residual ? tf.add(y, x) : y
  }

  #stem(x: tf.Tensor4D, g: BlockGeometry, statistics: StatisticsSource): tf.Tensor4D {
    const filter = tf.transpose(this.#variable("stem.conv"), [2, 3, 1, 0]) as tf.Tensor4D
    const y = perTile(x, g.inputTiles, g.outputTiles, (t) => tf.conv2d(pad(t, 1), filter, 2, "valid"))
    return this.#norm(y, "stem", "bn", "h_swish", statistics)
  }

  #head(x: tf.Tensor4D, statistics: StatisticsSource): tf.Tensor2D {
    const { headWidth } = this.spec
    const expanded = this.#norm(
      this.#pointwise(x, "head.expand", headWidth),
      "head",
      "expand_bn",
      "h_swish",
      statistics,
    )
    const mix = tf.transpose(this.#variable("head.mix")) as tf.Tensor2D
    const mixed = tf.matMul(tf.mean<tf.Tensor2D>(expanded, [1, 2]), mix)
    const features = tf.mul<tf.Tensor2D>(mixed, hardSigmoid(mixed))
    const classifier = tf.transpose(this.#variable("head.classifier")) as tf.Tensor2D
    return tf.add(tf.matMul(features, classifier), this.#variable("head.classifier_bias"))
  }

  #logits(x: tf.Tensor4D, plan: NetworkPlan, statistics: StatisticsSource): tf.Tensor2D {
    const active = activeBlocks(this.spec, plan.submodel)
    const tiles = geometry(active, plan.submodel.resolution, plan.grids)
    let y = this.#stem(x, tiles[0]!, statistics)
    for (const [i, block] of active.entries()) {
      if (block.kind !== "first" && block.kind !== "dynamic") continue
      y = this.#block(y, block, tiles[i]!, plan.bits[i] ?? 32, statistics)
    }
    return this.#head(y, statistics)
  }

  #input(images: Float32Array, count: number, plan: NetworkPlan): tf.Tensor4D {
    const { resolution } = plan.submodel
    return tf.tensor4d(images, [count, resolution, resolution, 3])
  }

  /** Logits [count, classes] of normalised RGB images [count, resolution, resolution, 3]. */
  logits(
    images: Float32Array,
    count: number,
    plan: NetworkPlan,
    statistics: StatisticsSource = {},
  ): Float32Array {
    return tf.tidy(
      () => this.#logits(this.#input(images, count, plan), plan, statistics).dataSync() as Float32Array,
    )
  }

  /** Forward and backward; `dLogitsOf` gives the loss's gradient by the logits [count, classes]. */
  accumulate(
    images: Float32Array,
    count: number,
    plan: NetworkPlan,
    dLogitsOf: (logits: Float32Array) => Float32Array,
    statistics: StatisticsSource = {},
  ): void {
    const variables = [...this.#variables.values()]
    const { value, grads } = tf.variableGrads(() => {
      const logits = this.#logits(this.#input(images, count, plan), plan, statistics)
      const d = tf.tensor2d(dLogitsOf(logits.dataSync() as Float32Array), [count, this.spec.classes.length])
      // The gradient of this sum by the logits is d: the loss itself needs no tape.
      return tf.sum(tf.mul(logits, d)).asScalar()
    }, variables)
    value.dispose()
    for (const [name, variable] of this.#variables) {
      const g = grads[variable.name] as tf.Tensor | null | undefined
      if (g === null || g === undefined) continue
      const offset = this.layout.slots.get(name)?.offset ?? 0
      const values = g.dataSync()
      for (let i = 0; i < values.length; i++) this.#gradients[offset + i]! += values[i]!
      g.dispose()
    }
  }
}
