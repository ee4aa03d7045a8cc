/**
 * Accuracy of a genome by the shipped supernet's own predictor, fitted on measured strategies: the same number as
 * `AccuracyPredictor.predict` gives for its strategy, from rows that are summed once per decision.
 */
import { AccuracyPredictor, type PredictorData } from "../supernet/AccuracyPredictor.ts"
import { grids } from "../supernet/Partition.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { bitsChoices } from "../supernet/Strategy.ts"
import {
  bitsGene,
  blockGene,
  expandGene,
  type Genome,
  gridGene,
  isActiveBlock,
  kernelGene,
  type Space,
  spaceOf,
} from "./Genome.ts"
import { untrainedAccuracy } from "./UntrainedAccuracy.ts"
import type { AccuracyModel } from "./World.ts"

/** For canonical genomes. Its function shares one buffer: not for several threads. */
export const predictorAccuracy = (space: Space, predictor: AccuracyPredictor): AccuracyModel => {
  const { spec, blocks } = space
  const features = predictor.space
  const expands = spec.expands.length
  const resolution = spec.resolutions.map((_, r) => predictor.row(features.resolution(r)))
  const variant = blocks.map((b, i) =>
    b.kind === "dynamic"
      ? spec.kernels.flatMap((_, k) => spec.expands.map((_, e) => predictor.row(features.variant(i, k, e))))
      : [predictor.row([])],
  )
  const grid = blocks.map((_, i) => grids.map((_, g) => predictor.row(features.grid(i, g))))
  const bits = blocks.map((_, i) => bitsChoices.map((_, b) => predictor.row(features.bits(i, b))))
  const sum = new Float64Array(predictor.stride)
  const add = (row: Float64Array | undefined) => {
    if (row === undefined) return
    for (let j = 0; j < sum.length; j++) sum[j] = (sum[j] ?? 0) + (row[j] ?? 0)
  }
  return {
    accuracy: (genome: Genome) => {
      predictor.start(sum)
      add(resolution[genome[0] ?? 0])
      for (let i = 0; i < blocks.length; i++) {
        if (!isActiveBlock(space, genome, i)) continue
        const at = blockGene(space, i)
        add(variant[i]?.[(genome[at + kernelGene] ?? 0) * expands + (genome[at + expandGene] ?? 0)])
        add(grid[i]?.[genome[at + gridGene] ?? 0])
        add(bits[i]?.[genome[at + bitsGene] ?? 0])
      }
      return predictor.finish(sum)
    },
  }
}

/** By the predictor where there is one, else the stand-in for untrained weights. Throws where it has not the features of this space. */
export const accuracyModelOf = (spec: SupernetSpec, predictor: PredictorData | undefined): AccuracyModel =>
  predictor === undefined
    ? untrainedAccuracy(spaceOf(spec))
    : predictorAccuracy(spaceOf(spec), new AccuracyPredictor(spec, predictor))
