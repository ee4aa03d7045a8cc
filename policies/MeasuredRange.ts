/**
 * The range of accuracy SLOs that a measured supernet can be asked for: from what nearly every submodel reaches to what few
 * do. A scenario file cannot know it before the supernet is trained.
 */
import { seededRandom } from "../supernet/Random.ts"
import { sampleSubmodel } from "../supernet/Submodel.ts"
import { localGenome, type Space } from "./Genome.ts"
import type { Range, Scenario } from "./Scenario.ts"
import type { AccuracyModel } from "./World.ts"

const samples = 400

/** 5 % to 95 % of random submodels, rounded to a tenth of a point; at least one point wide. */
export const measuredRange = (space: Space, model: AccuracyModel, points: number): Range => {
  const random = seededRandom(1)
  const values = Array.from({ length: samples }, () =>
    model.accuracy(localGenome(space, sampleSubmodel(space.spec, random))),
  ).sort((a, b) => a - b)
  const at = (share: number) => Math.round(1000 * (values[Math.floor(share * samples)] ?? 0)) / 1000
  const [min, max] = [at(0.05), at(0.95)]
  return { min, max: Math.max(max, min + 0.01), scale: "linear", points }
}

export const withMeasuredAccuracy = (scenario: Scenario, space: Space, model: AccuracyModel): Scenario => ({
  ...scenario,
  accuracySlo: measuredRange(space, model, scenario.accuracySlo.points),
})
