/**
 * Top-1 accuracy of a strategy without running it: a small network on the strategy's encoding, fitted on measured strategies
 * (see AccuracyFit.ts). One hidden layer over one-hot features, so that its first layer is a sum of table rows, one per
 * decision: a prediction costs about a microsecond, and search code that holds decisions as indices can add the rows itself.
 */
import { Schema } from "effect"
import { type Grid, grids } from "./Partition.ts"
import { blocksOf, type SupernetSpec } from "./Spec.ts"
import { type Bits, bitsChoices, type Strategy } from "./Strategy.ts"
import { activeBlocks, type Submodel } from "./Submodel.ts"

/** What accuracy depends on: a submodel, and per active block (stem first) its grid and the bits of its input. */
export interface AccuracyQuery {
  readonly submodel: Submodel
  readonly grids: ReadonlyArray<Grid>
  readonly bits: ReadonlyArray<Bits>
}

export const queryOf = (strategy: Strategy): AccuracyQuery => ({
  submodel: strategy.submodel,
  grids: strategy.blocks.map((b) => b.grid),
  bits: strategy.blocks.map((b) => b.bits),
})

export const PredictorData = Schema.Struct({
  format: Schema.Literal("murmuration-accuracy-1"),
  /** Name and version of the supernet it was fitted on. */
  supernet: Schema.String,
  hidden: Schema.Int,
  /** [features][1 + hidden]: the direct weight of each feature, then its weights into the hidden units. */
  features: Schema.Array(Schema.Array(Schema.Finite)),
  /** [1 + hidden] */
  bias: Schema.Array(Schema.Finite),
  /** [hidden] */
  output: Schema.Array(Schema.Finite),
  /** Measured on strategies that the fit did not see. */
  heldOut: Schema.Struct({
    strategies: Schema.Int,
    meanAbsoluteError: Schema.Finite,
    kendallTau: Schema.Finite,
  }),
})
export type PredictorData = typeof PredictorData.Type

/**
 * Feature indices. Every decision has a feature of its block and one that all blocks of its stage share: few measurements
 * teach the shared one first.
 */
export class FeatureSpace {
  readonly spec: SupernetSpec
  readonly #blocks: ReturnType<typeof blocksOf>
  readonly #perBlock: number

  constructor(spec: SupernetSpec) {
    this.spec = spec
    this.#blocks = blocksOf(spec)
    this.#perBlock = spec.kernels.length + spec.expands.length + 1 + grids.length - 1 + bitsChoices.length - 1
  }

  get size(): number {
    return this.spec.resolutions.length + (this.#blocks.length + this.spec.stages.length + 3) * this.#perBlock
  }

  /** How far each feature's weights may go in a fit, relative to the others': a single block is told less by a few rows. */
  get reach(): Float64Array {
    const { resolutions } = this.spec
    const blocks = this.#blocks.length * this.#perBlock
    return Float64Array.from({ length: this.size }, (_, f) =>
      f < resolutions.length ? 1.7 : f < resolutions.length + blocks ? 0.3 : 1,
    )
  }

  /** Whether a feature stands for a cut or for narrow values, which can only cost accuracy. */
  isCost(feature: number): boolean {
    const { resolutions, kernels, expands } = this.spec
    const offset = (feature - resolutions.length) % this.#perBlock
    return feature >= resolutions.length && offset > kernels.length + expands.length
  }

  /** Rows of features of one block, or one stage, along which accuracy can only rise: its kernels, its expand ratios. */
  get rising(): ReadonlyArray<ReadonlyArray<number>> {
    const { resolutions, kernels, expands } = this.spec
    const places = (this.size - resolutions.length) / this.#perBlock
    return Array.from({ length: places }, (_, place) => resolutions.length + place * this.#perBlock).flatMap(
      (start) => [kernels.map((_, i) => start + i), expands.map((_, i) => start + kernels.length + i)],
    )
  }

  resolution(index: number): ReadonlyArray<number> {
    return [index]
  }

  /** The features of a decision (offset within a block's) of block `i`: its own, and its stage's. */
  #both(i: number, offset: number): ReadonlyArray<number> {
    const start = this.spec.resolutions.length
    const block = this.#blocks[i]
    const stage =
      block?.kind === "dynamic" ? block.stage + 3 : ["stem", "first", "head"].indexOf(block?.kind ?? "")
    return [
      start + i * this.#perBlock + offset,
      start + (this.#blocks.length + stage) * this.#perBlock + offset,
    ]
  }

  /** Of a dynamic block that runs: its kernel, its expand, and that it runs at all. */
  variant(block: number, kernel: number, expand: number): ReadonlyArray<number> {
    const { kernels, expands } = this.spec
    const offsets = [kernel, kernels.length + expand, kernels.length + expands.length]
    return offsets.flatMap((o) => this.#both(block, o))
  }

  /** Of a block's grid, by its index in `grids`; none for the uncut. */
  grid(block: number, grid: number): ReadonlyArray<number> {
    return grid === 0
      ? []
      : this.#both(block, this.spec.kernels.length + this.spec.expands.length + 1 + grid - 1)
  }

  /** Of the bits of a block's input, by their index in `bitsChoices`; none for 32. */
  bits(block: number, bits: number): ReadonlyArray<number> {
    const first = this.spec.kernels.length + this.spec.expands.length + 1 + grids.length - 1
    return bits === 0 ? [] : this.#both(block, first + bits - 1)
  }

  /** All features of a query; an index may come more than once (stages count their blocks). */
  of(query: AccuracyQuery): ReadonlyArray<number> {
    const { spec } = this
    const { submodel } = query
    const found = [...this.resolution(spec.resolutions.indexOf(submodel.resolution))]
    for (const [position, b] of activeBlocks(spec, submodel).entries()) {
      if (b.kind === "dynamic") {
        found.push(...this.variant(b.index, spec.kernels.indexOf(b.kernel), spec.expands.indexOf(b.expand)))
      }
      found.push(...this.grid(b.index, grids.indexOf(query.grids[position] ?? "1x1")))
      found.push(...this.bits(b.index, bitsChoices.indexOf(query.bits[position] ?? 32)))
    }
    return found
  }
}

/**
 * The predictor ready for use. Search code adds `rows` itself: start from `start()`, add the row of each decision, then
 * `finish`. Rows are `stride` numbers.
 */
export class AccuracyPredictor {
  readonly data: PredictorData
  readonly space: FeatureSpace
  /** 1 + hidden */
  readonly stride: number
  readonly #sum: Float64Array

  constructor(spec: SupernetSpec, data: PredictorData) {
    this.data = data
    this.space = new FeatureSpace(spec)
    this.stride = 1 + data.hidden
    this.#sum = new Float64Array(this.stride)
    if (data.features.length !== this.space.size) {
      throw new RangeError(
        `a predictor of ${data.features.length} features for a supernet of ${this.space.size}`,
      )
    }
  }

  /** One row: the sum of several features' weights. */
  row(features: ReadonlyArray<number>): Float64Array {
    const row = new Float64Array(this.stride)
    for (const f of features) for (let j = 0; j < this.stride; j++) row[j]! += this.data.features[f]?.[j] ?? 0
    return row
  }

  start(sum: Float64Array): void {
    sum.set(this.data.bias)
  }

  /** Accuracy 0..1 from the summed rows. */
  finish(sum: Float64Array): number {
    let value = sum[0]!
    const { output } = this.data
    for (let j = 0; j < output.length; j++) {
      const h = sum[j + 1]!
      if (h > 0) value += h * output[j]!
    }
    return value < 0 ? 0 : value > 1 ? 1 : value
  }

  /** Predicted top-1 accuracy, 0..1. */
  predict(query: AccuracyQuery): number {
    const sum = this.#sum
    this.start(sum)
    for (const f of this.space.of(query)) {
      const weights = this.data.features[f] ?? []
      for (let j = 0; j < this.stride; j++) sum[j]! += weights[j]!
    }
    return this.finish(sum)
  }
}
