/**
 * The range of accuracies that a supernet's submodels have, and the range of accuracy SLOs that can so be asked for. A
 * scenario file cannot know it before the supernet is trained.
 */
import { uniformSubmodel } from "../supernet/Submodel.ts"
import { localGenome, type Space } from "./Genome.ts"
import type { Range, Scenario } from "./Scenario.ts"
import type { AccuracyModel } from "./World.ts"

/**
 * Lowest and highest accuracy of the uniform submodels. Not simply the smallest's and the largest's: a measured supernet
 * may do best somewhere between.
 */
export const accuracyRange = (space: Space, { accuracy }: AccuracyModel): readonly [number, number] => {
  const { spec } = space
  const all = spec.resolutions.flatMap((resolution) =>
    spec.depths.flatMap((depth) =>
      spec.kernels.flatMap((kernel) =>
        spec.expands.map((expand) =>
          accuracy(localGenome(space, uniformSubmodel(spec, resolution, depth, kernel, expand))),
        ),
      ),
    ),
  )
  return [Math.min(...all), Math.max(...all)]
}

/** From 5 % to 95 % of the way, rounded to a tenth of a point; at least one point wide. */
export const measuredRange = (space: Space, model: AccuracyModel, points: number): Range => {
  const [lowest, highest] = accuracyRange(space, model)
  const at = (share: number) => Math.round(1000 * (lowest + share * (highest - lowest))) / 1000
  const [min, max] = [at(0.05), at(0.95)]
  return { min, max: Math.max(max, min + 0.01), scale: "linear", points }
}

export const withMeasuredAccuracy = (scenario: Scenario, space: Space, model: AccuracyModel): Scenario => ({
  ...scenario,
  accuracySlo: measuredRange(space, model, scenario.accuracySlo.points),
})
