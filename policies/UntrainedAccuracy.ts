/**
 * Stands in for an accuracy predictor where the weights are untrained and there is no accuracy to predict: orders
 * strategies by the size of their submodel, with small penalties for cuts and narrow values, so that a planner has
 * something to trade against latency. The numbers mean nothing else, and whatever shows them says "untrained weights".
 */
import {
  blockGene,
  bitsGene,
  expandGene,
  type Genome,
  gridGene,
  isActiveBlock,
  kernelGene,
  type Space,
} from "./Genome.ts"
import type { AccuracyModel } from "./World.ts"

const share = (index: number, count: number): number => (count <= 1 ? 1 : index / (count - 1))

export const untrainedAccuracy = (space: Space): AccuracyModel => {
  const { spec, blocks } = space
  const chance = 1 / spec.classes.length
  const dynamic = blocks.flatMap((b, i) => (b.kind === "dynamic" ? [i] : []))
  return {
    accuracy: (genome: Genome) => {
      let [size, cut, narrow, active] = [0, 0, 0, 0]
      for (const i of dynamic) {
        if (!isActiveBlock(space, genome, i)) continue
        const at = blockGene(space, i)
        active++
        size +=
          0.5 + 0.2 * share(genome[at + kernelGene] ?? 0, 3) + 0.3 * share(genome[at + expandGene] ?? 0, 3)
        cut += (genome[at + gridGene] ?? 0) > 0 ? 1 : 0
        narrow += (genome[at + bitsGene] ?? 0) === 2 ? 1 : 0
      }
      const pixels = share(genome[0] ?? 0, spec.resolutions.length)
      const penalty = (0.03 * cut + 0.005 * narrow) / Math.max(1, active)
      return chance + (1 - chance) * (0.6 * (size / dynamic.length) + 0.4 * pixels) - penalty
    },
  }
}
