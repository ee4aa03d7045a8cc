/**
 * ImageNet accuracy of a genome: the same number as `imagenetStrategyAccuracy` gives for its strategy, from tables, without
 * building the strategy. A training asks for millions of them.
 */
import { createHash } from "node:crypto"
import { grids } from "../supernet/Partition.ts"
import {
  type AccuracyFit,
  accuracyFit,
  type OfaWidth,
  type PartitionPenalty,
  partitionPenalty,
} from "../supernet/imagenet/ImagenetAccuracy.ts"
import { bitsChoices } from "../supernet/Strategy.ts"
import {
  bitsGene,
  blockGene,
  depthOf,
  expandGene,
  type Genome,
  gridGene,
  isActiveBlock,
  kernelGene,
  type Space,
} from "./Genome.ts"
import type { AccuracyModel } from "./World.ts"

/** Names every number that these accuracies are made of: sha256 of the regression's coefficients and of what cuts and bits cost. */
export const imagenetNumbers = (
  fit: Pick<AccuracyFit, "models"> = accuracyFit,
  penalty: Pick<PartitionPenalty, "grid" | "bits"> = partitionPenalty,
): string =>
  createHash("sha256")
    .update(JSON.stringify([fit.models, penalty.grid, penalty.bits]))
    .digest("hex")

const resolutionWorth = ([linear = 0, square = 0]: ReadonlyArray<number>, resolution: number): number => {
  const r = (resolution - 224) / 32
  return linear * r + square * r * r
}

/** By grid and part of the network (`partSizes`): stem and first block, then the stages. */
const cutPenalty = grids.map((g) => (g === "1x1" ? [] : partitionPenalty.grid[g]))
const bitsPenalty = bitsChoices.map((b) => (b === 32 ? 0 : partitionPenalty.bits[b]))

/** For canonical genomes of a space with OFA's kernels, expands and 20 dynamic blocks. */
export const imagenetWorldAccuracy = (space: Space, width: OfaWidth): AccuracyModel => {
  const { spec } = space
  const wide = accuracyFit.models["1.2"]
  const narrow = width === "1.0" ? accuracyFit.models["1.0"] : undefined
  const worth = space.blocks.map((b) => {
    const table = new Float64Array(spec.kernels.length * spec.expands.length)
    if (b.kind !== "dynamic") return table
    const i = b.stage * spec.maxDepth + b.place
    for (const [k, kernel] of spec.kernels.entries()) {
      for (const [e, expand] of spec.expands.entries()) {
        const expandWorth = expand === 3 ? 0 : (wide.expand[i]?.[[4, 6].indexOf(expand)] ?? 0)
        table[k * spec.expands.length + e] = (wide.kernel[i]?.[[3, 5, 7].indexOf(kernel)] ?? 0) + expandWorth
      }
    }
    return table
  })
  const wideResolution = spec.resolutions.map((r) =>
    narrow === undefined ? resolutionWorth(wide.resolution, r) : 0,
  )
  const narrowResolution = spec.resolutions.map((r) =>
    narrow === undefined ? 0 : resolutionWorth(narrow.resolution, r),
  )
  const [constant = 0, slope = 1, curvature = 0] = wide.saturation

  const accuracy = (genome: Genome): number => {
    let z = wide.base + (wideResolution[genome[0] ?? 0] ?? 0) - wide.centre
    let loss = 0
    let narrowed = 0
    let active = 0
    for (let i = 0; i < space.blocks.length; i++) {
      if (!isActiveBlock(space, genome, i)) continue
      const at = blockGene(space, i)
      z +=
        worth[i]?.[(genome[at + kernelGene] ?? 0) * spec.expands.length + (genome[at + expandGene] ?? 0)] ?? 0
      active++
      const stage = space.blocks[i]?.stage ?? -1
      const size = stage < 0 ? 2 : depthOf(space, genome, stage)
      loss += (cutPenalty[genome[at + gridGene] ?? 0]?.[stage + 1] ?? 0) / size
      if (i > 0) narrowed += bitsPenalty[genome[at + bitsGene] ?? 0] ?? 0
    }
    const top1 = constant + slope * z + curvature * z * z
    const uncut =
      narrow === undefined
        ? top1
        : narrow.base + narrow.scale * top1 + (narrowResolution[genome[0] ?? 0] ?? 0)
    return uncut - loss - narrowed / Math.max(1, active - 1)
  }
  return { accuracy }
}
