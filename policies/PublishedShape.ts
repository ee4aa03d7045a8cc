/**
 * Accuracy for training policies before a supernet's own predictor exists: the shape of once-for-all's published ImageNet
 * accuracy (which block, kernel, expand and resolution is worth how much), stretched over the scenario's range of accuracy
 * SLOs. Policies only see where an SLO lies in its range, so what they learn carries over to the measured accuracy; the
 * numbers themselves are no measurement.
 */
import { maxSubmodel, minSubmodel } from "../supernet/Submodel.ts"
import { localGenome, type Space } from "./Genome.ts"
import { imagenetWorldAccuracy } from "./ImagenetWorldAccuracy.ts"
import type { Scenario } from "./Scenario.ts"
import type { AccuracyModel } from "./World.ts"

/** The range of SLOs covers this part of the way from the smallest submodel's accuracy to the largest's. */
const covered = [0.03, 0.99] as const

export const publishedShape = (space: Space, scenario: Scenario): AccuracyModel => {
  const published = imagenetWorldAccuracy(space, "1.0")
  const lowest = published.accuracy(localGenome(space, minSubmodel(space.spec)))
  const highest = published.accuracy(localGenome(space, maxSubmodel(space.spec)))
  const { min, max } = scenario.accuracySlo
  const [from, to] = covered.map((share) => lowest + share * (highest - lowest)) as [number, number]
  const scale = (max - min) / (to - from)
  return { accuracy: (genome) => min + scale * (published.accuracy(genome) - from) }
}
