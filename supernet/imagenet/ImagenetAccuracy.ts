/**
 * ImageNet accuracy of once-for-all submodels, for scenarios at ImageNet scale where no ImageNet is at hand: our small
 * regression of OFA's published predictor (see Fit.ts), less what cutting into tiles and quantising cost.
 */
import { readFileSync } from "node:fs"
import { Schema } from "effect"
import type { Strategy } from "../Strategy.ts"
import type { Submodel } from "../Submodel.ts"
import { AccuracyModel, modelAccuracy, narrowAccuracy, NarrowModel } from "./AccuracyModel.ts"

const Errors = Schema.Struct({
  points: Schema.Int,
  mae: Schema.Finite,
  rmse: Schema.Finite,
  max: Schema.Finite,
  kendallTau: Schema.Finite,
})

/** What Fit.ts writes: models, and how well they agree with what they stand for. Accuracies and errors are 0..1. */
export const AccuracyFit = Schema.Struct({
  about: Schema.String,
  fineTuningGain: Schema.Record(Schema.String, Schema.Finite),
  /** Regression against OFA's predictor on submodels that it was not fitted on. */
  heldOut: Errors,
  /** The same on the smallest and the largest submodel at every resolution. */
  extremes: Errors,
  /** OFA's predictor (constant taken off) against published w1.2 networks. */
  predictorCheck: Schema.Struct({
    offset: Schema.Finite,
    error: Errors,
    subnets: Schema.Array(
      Schema.Struct({ name: Schema.String, predicted: Schema.Finite, publishedTop1: Schema.Finite }),
    ),
  }),
  /** w1.0 model against published networks, each left out in turn. */
  narrowLeaveOneOut: Errors,
  models: Schema.Struct({ "1.0": NarrowModel, "1.2": AccuracyModel }),
  anchors: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      width: Schema.Finite,
      resolution: Schema.Int,
      publishedMacsM: Schema.Finite,
      macsM: Schema.Finite,
      publishedTop1: Schema.Finite,
      fineTuned: Schema.Int,
      fromSupernet: Schema.Finite,
      ours: Schema.Finite,
    }),
  ),
})
export type AccuracyFit = typeof AccuracyFit.Type

/** Top-1 (0..1) that cutting costs: stem and first block, then each stage, if all blocks there are cut. */
const StagePenalties = Schema.Array(Schema.Finite)

/** What cutting and quantising cost, top-1 (0..1). Late maps are small, and their tiles miss more of their neighbours. */
export const PartitionPenalty = Schema.Struct({
  /** False: not yet measured, and then all zero. */
  measured: Schema.Boolean,
  /** On which supernet, images and strategies. */
  how: Schema.String,
  grid: Schema.Struct({ "1x2": StagePenalties, "2x1": StagePenalties, "2x2": StagePenalties }),
  /** If every block that receives features receives them at this width. */
  bits: Schema.Struct({ "16": Schema.Finite, "8": Schema.Finite }),
})
export type PartitionPenalty = typeof PartitionPenalty.Type

const readJson = <A>(name: string, schema: Schema.Codec<A, unknown>): A =>
  Schema.decodeUnknownSync(schema)(JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8")))

export const accuracyFit: AccuracyFit = readJson("ofa-accuracy.json", AccuracyFit)
export const partitionPenalty: PartitionPenalty = readJson("partition-penalty.json", PartitionPenalty)

export type OfaWidth = "1.0" | "1.2"

/** Resolutions at which the ImageNet-scale supernets run: OFA trained w1.2 on 160 to 224, ours must divide by 32. */
export const imagenetResolutions: ReadonlyArray<number> = [160, 192, 224]

/** Predicted ImageNet top-1 (0..1) of a submodel, uncut and in float32, without fine-tuning. */
export const imagenetAccuracy = (submodel: Submodel, width: OfaWidth = "1.2"): number => {
  const { models } = accuracyFit
  return width === "1.0"
    ? narrowAccuracy(models["1.2"], models["1.0"], submodel)
    : modelAccuracy(models["1.2"], submodel)
}

/** Active blocks in each part of the network that has a penalty of its own: stem and first block, then the stages. */
export const partSizes = (submodel: Submodel): ReadonlyArray<number> => [2, ...submodel.depths]

/**
 * Top-1 (0..1) lost by a strategy's grids and bits. A grid's penalty counts by the share of its part's blocks that are cut,
 * that of bits by the share of all blocks. The head is never cut.
 */
export const partitionLoss = (
  { submodel, blocks }: Pick<Strategy, "submodel" | "blocks">,
  penalty: PartitionPenalty = partitionPenalty,
): number => {
  const partOf = partSizes(submodel).flatMap((size, part) =>
    Array.from({ length: size }, () => ({ size, part })),
  )
  return blocks.reduce((loss, b, i) => {
    const { size, part } = partOf[i] ?? { size: 1, part: -1 }
    const cut = b.grid === "1x1" ? 0 : (penalty.grid[b.grid][part] ?? 0) / size
    // The image's pixels are bytes: 8 bits lose nothing at the stem.
    const quantised = b.bits === 32 || i === 0 ? 0 : penalty.bits[b.bits] / Math.max(1, blocks.length - 1)
    return loss + cut + quantised
  }, 0)
}

/** Predicted ImageNet top-1 (0..1) of a normalised strategy. */
export const imagenetStrategyAccuracy = (
  strategy: Strategy,
  width: OfaWidth = "1.2",
  penalty: PartitionPenalty = partitionPenalty,
): number => imagenetAccuracy(strategy.submodel, width) - partitionLoss(strategy, penalty)
