/** A supernet small enough for naive arithmetic: five stages of up to two narrow blocks, on 64 and 96 pixels. */
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3, type SupernetSpec } from "../../supernet/Spec.ts"
import { randomWeights, type Tensor, weightShapes } from "../../supernet/Weights.ts"

const base = ofaMobileNetV3({
  name: "tiny",
  version: "1",
  widthMultiplier: 0.1,
  classes: ["a", "b", "c"],
  resolutions: [64, 96],
})

export const tinySpec: SupernetSpec = {
  ...base,
  stages: base.stages.map((s, i) => ({ ...s, width: 4 + 4 * (i % 2) })),
  maxDepth: 2,
  depths: [1, 2],
  headWidth: 12,
  featureWidth: 16,
}

/** Random weights in which nothing is neutral: batch norms, biases and kernel transforms all matter. */
export const livelyWeights = (spec: SupernetSpec, seed: number): Map<string, Tensor> => {
  const weights = randomWeights(spec, seed)
  const random = seededRandom(seed + 1)
  const around = (middle: number, spread: number) => middle + (random.next() - 0.5) * spread
  for (const [name, shape] of weightShapes(spec)) {
    const data = weights.get(name)?.data
    if (data === undefined) continue
    for (let i = 0; i < data.length; i++) {
      if (name.endsWith(".gamma") || name.endsWith(".var")) data[i] = around(1, 0.8)
      else if (name.endsWith(".beta") || name.endsWith(".mean") || name.endsWith("_bias"))
        data[i] = around(0, 0.6)
      else if (name.endsWith(".to5") || name.endsWith(".to3")) data[i] = (data[i] ?? 0) + around(0, 0.3)
    }
    weights.set(name, { shape, data })
  }
  return weights
}

/** Random pixels, uint8 RGB [size, size, 3]. */
export const image = (size: number, seed: number): Uint8Array => {
  const random = seededRandom(seed)
  return Uint8Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))
}

/** Largest absolute difference over largest absolute expected value. */
export const largestDifference = (got: Float32Array, expected: Float32Array): number =>
  Math.max(...got.map((v, i) => Math.abs(v - (expected[i] ?? Number.NaN)))) /
  Math.max(...expected.map(Math.abs))
