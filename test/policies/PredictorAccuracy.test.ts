import { describe, expect, it } from "vitest"
import { encodeStrategy } from "../../policies/Genome.ts"
import { predictorAccuracy } from "../../policies/PredictorAccuracy.ts"
import { AccuracyPredictor, FeatureSpace, queryOf } from "../../supernet/AccuracyPredictor.ts"
import { normal, seededRandom } from "../../supernet/Random.ts"
import { sampleStrategy } from "../../supernet/Strategy.ts"
import { tinySpace, tinySpec } from "./TinyWorld.ts"

describe("the predictor's accuracy of a genome", () => {
  it("is what the predictor says of its strategy", () => {
    const random = seededRandom(31)
    const hidden = 5
    const numbers = (count: number, scale: number) =>
      Array.from({ length: count }, () => scale * normal(random))
    const predictor = new AccuracyPredictor(tinySpec, {
      format: "murmuration-accuracy-2",
      supernet: "tiny 1",
      hidden,
      features: Array.from({ length: new FeatureSpace(tinySpec).size }, () => numbers(1 + hidden, 0.01)),
      bias: [0.6, ...numbers(hidden, 0.1)],
      output: numbers(hidden, 0.1),
      heldOut: { strategies: 0, meanAbsoluteError: 0, kendallTau: 0 },
    })
    const model = predictorAccuracy(tinySpace, predictor)
    for (let n = 0; n < 200; n++) {
      const strategy = sampleStrategy(tinySpec, ["a", "b", "c"], random)
      const genome = encodeStrategy(tinySpace, strategy, ["a", "b", "c"])
      expect(model.accuracy(genome)).toBeCloseTo(predictor.predict(queryOf(strategy)), 9)
    }
  })
})
