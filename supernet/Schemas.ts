/**
 * The data of a supernet that travels between devices and lies in files, as schemas. What they mean, and what is computed with
 * them, is in the modules named below, which import only the types: the threads that plan and compute load no schemas, which would
 * take 15 MB in each.
 */
import * as Schema from "effect/Schema"

// Spec.ts

export const StageSpec = Schema.Struct({
  width: Schema.Int,
  stride: Schema.Literals([1, 2]),
  activation: Schema.Literals(["relu", "h_swish"]),
  squeezeExcite: Schema.Boolean,
})

export const SupernetSpec = Schema.Struct({
  /** Name and version, for people and for manifests. */
  name: Schema.String,
  version: Schema.String,
  /** False until the weights come from training: everything printed from such a supernet says "untrained weights". */
  trained: Schema.Boolean,
  widthMultiplier: Schema.Finite,
  stemWidth: Schema.Int,
  firstWidth: Schema.Int,
  stages: Schema.Array(StageSpec),
  maxDepth: Schema.Int,
  depths: Schema.Array(Schema.Int),
  kernels: Schema.Array(Schema.Int),
  expands: Schema.Array(Schema.Int),
  resolutions: Schema.Array(Schema.Int),
  /** Channels of the head: after the 1x1 expansion, and after the feature mix. */
  headWidth: Schema.Int,
  featureWidth: Schema.Int,
  classes: Schema.Array(Schema.String),
  /** Pixel value p (0..255) enters the network as (p - mean) / std, per RGB channel; done inside the stem's graph. */
  mean: Schema.Array(Schema.Finite),
  std: Schema.Array(Schema.Finite),
})
export type SupernetSpec = typeof SupernetSpec.Type

// Partition.ts

/** rows x columns */
export const Grid = Schema.Literals(["1x1", "1x2", "2x1", "2x2"])
export type Grid = typeof Grid.Type

// Submodel.ts

export const Submodel = Schema.Struct({
  /** Side of the square input image, pixels. */
  resolution: Schema.Int,
  /** Blocks that run in each stage (the first d of the stage). */
  depths: Schema.Array(Schema.Int),
  /** Kernel size of each dynamic block at full depth; 0 for a block that does not run. */
  kernels: Schema.Array(Schema.Int),
  /** Expand ratio of each dynamic block at full depth; 0 for a block that does not run. */
  expands: Schema.Array(Schema.Int),
})
export type Submodel = typeof Submodel.Type

// Strategy.ts

/** Width of the values that cross the bus: 32 = float32, 16 = float16, 8 = uint8 with scale and zero point. */
export const Bits = Schema.Literals([32, 16, 8])
export type Bits = typeof Bits.Type

export const BlockPlan = Schema.Struct({
  grid: Grid,
  /** Applies where the block's input crosses the bus; normalised to 32 where none of it does (see `normalizeStrategy`). */
  bits: Bits,
  /** Index into `Strategy.devices`, one per tile of the grid, row by row. */
  placement: Schema.Array(Schema.Int),
})
export type BlockPlan = typeof BlockPlan.Type

export const Strategy = Schema.Struct({
  submodel: Submodel,
  /** Device ids; the first is local: it holds the image and serves the client. */
  devices: Schema.Array(Schema.String),
  /** One per active block of the submodel, stem first, head last. */
  blocks: Schema.Array(BlockPlan),
})
export type Strategy = typeof Strategy.Type

// AccuracyPredictor.ts

export const PredictorData = Schema.Struct({
  format: Schema.Literal("murmuration-accuracy-2"),
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
