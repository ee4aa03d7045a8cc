/**
 * Top-1 accuracy of a strategy without running it: a small network on the strategy's encoding, fitted on measured strategies
 * (see AccuracyFit.ts). One hidden layer over one-hot features, so that its first layer is a sum of table rows, one per
 * decision: a prediction costs about a microsecond, and search code that holds decisions as indices can add the rows itself.
 */
import { type Grid, grids } from "./Partition.ts"
import type { PredictorData } from "./Schemas.ts"
import { blocksOf, type SupernetSpec } from "./Spec.ts"
import { type Bits, bitsChoices, type Strategy } from "./Strategy.ts"
import { activeBlocks, type Submodel } from "./Submodel.ts"

export type { PredictorData }

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

/** Equal for equal queries. */
export const queryKey = ({ submodel, grids: cuts, bits }: AccuracyQuery): string =>
  JSON.stringify([submodel, cuts, bits])

/** Feature numbers of one place, in this order; `grids` only where several blocks share the place. */
const placeLayout = ({ kernels, expands }: SupernetSpec) => {
  const runs = kernels.length + expands.length
  return { kernels: 0, expands: kernels.length, runs, cut: runs + 1, narrow: runs + 2, grids: runs + 3 }
}

/**
 * Feature indices. Every decision has a feature of its block, one that all blocks of its stage share and one that all blocks
 * share: few measurements teach the shared ones first. What costs nothing has none: 16 bits, and 8 bits of the stem's input,
 * which is bytes. A cut counts once per direction; which of the grids it is matters little and only the shared features tell.
 */
export class FeatureSpace {
  readonly spec: SupernetSpec
  readonly #blocks: ReturnType<typeof blocksOf>
  readonly #layout: ReturnType<typeof placeLayout>
  readonly #perShared: number
  /** Of the first shared feature. */
  readonly #shared: number
  /** Places that blocks share: the stages, stem, first and head, and at last all of them. */
  readonly #places: number

  constructor(spec: SupernetSpec) {
    this.spec = spec
    this.#blocks = blocksOf(spec)
    this.#layout = placeLayout(spec)
    this.#perShared = this.#layout.grids + grids.length - 1
    this.#shared = spec.resolutions.length + this.#blocks.length * this.#layout.grids
    this.#places = spec.stages.length + 4
  }

  get size(): number {
    return this.#shared + this.#places * this.#perShared
  }

  /** How far each feature's weights may go in a fit, relative to the others': a single block is told less by a few rows. */
  get reach(): Float64Array {
    const all = this.size - this.#perShared
    return Float64Array.from({ length: this.size }, (_, f) =>
      f < this.spec.resolutions.length ? 1.7 : f < this.#shared ? 0.3 : f < all ? 1 : 0.5,
    )
  }

  /** Whether a feature stands for a cut or for narrow values, which can only cost accuracy. */
  isCost(feature: number): boolean {
    const { cut, grids: perBlock } = this.#layout
    const first = this.spec.resolutions.length
    if (feature < first) return false
    return feature < this.#shared
      ? (feature - first) % perBlock >= cut
      : (feature - this.#shared) % this.#perShared >= cut
  }

  /** Rows of features of one place along which accuracy can only rise: its kernels, its expand ratios. */
  get rising(): ReadonlyArray<ReadonlyArray<number>> {
    const { kernels, expands } = this.spec
    const blocks = this.#blocks.map((_, i) => this.#ofBlock(i, 0))
    const shared = Array.from({ length: this.#places }, (_, place) => this.#ofShared(place, 0))
    return [...blocks, ...shared].flatMap((start) => [
      kernels.map((_, i) => start + i),
      expands.map((_, i) => start + kernels.length + i),
    ])
  }

  resolution(index: number): ReadonlyArray<number> {
    return [index]
  }

  #ofBlock(i: number, offset: number): number {
    return this.spec.resolutions.length + i * this.#layout.grids + offset
  }

  #ofShared(place: number, offset: number): number {
    return this.#shared + place * this.#perShared + offset
  }

  /** A decision (offset within a place) of block `i` as its stage and as all blocks share it. */
  #both(i: number, offset: number): ReadonlyArray<number> {
    const { stages } = this.spec
    const block = this.#blocks[i]
    const stage =
      block?.kind === "dynamic"
        ? block.stage
        : stages.length + ["stem", "first", "head"].indexOf(block?.kind ?? "")
    return [this.#ofShared(stage, offset), this.#ofShared(this.#places - 1, offset)]
  }

  #all(i: number, offset: number): ReadonlyArray<number> {
    return [this.#ofBlock(i, offset), ...this.#both(i, offset)]
  }

  /** Of a dynamic block that runs: its kernel, its expand, and that it runs at all. */
  variant(block: number, kernel: number, expand: number): ReadonlyArray<number> {
    const { kernels, expands, runs } = this.#layout
    return [kernels + kernel, expands + expand, runs].flatMap((o) => this.#all(block, o))
  }

  /** Of a block's grid, by its index in `grids`; none for the uncut. The cut itself comes twice where it goes both ways. */
  grid(block: number, grid: number): ReadonlyArray<number> {
    if (grid === 0) return []
    const cut = this.#all(block, this.#layout.cut)
    const ways = grids[grid] === "2x2" ? [...cut, ...cut] : cut
    return [...ways, ...this.#both(block, this.#layout.grids + grid - 1)]
  }

  /** Of the bits of a block's input, by their index in `bitsChoices`; none where they lose nothing. */
  bits(block: number, bits: number): ReadonlyArray<number> {
    return bitsChoices[bits] === 8 && this.#blocks[block]?.kind !== "stem"
      ? this.#all(block, this.#layout.narrow)
      : []
  }

  /** All features of a query; an index may come more than once (what blocks share counts them). */
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
