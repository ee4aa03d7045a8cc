import * as tf from "@tensorflow/tfjs"
import { beforeAll, describe, expect, it } from "vitest"
import { normal, type Random, seededRandom } from "../../../supernet/Random.ts"
import { Reference } from "../../../supernet/Reference.ts"
import type { SupernetSpec } from "../../../supernet/Spec.ts"
import { normalizeStrategy, sampleStrategy } from "../../../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel } from "../../../supernet/Submodel.ts"
import { batchNorm } from "../../../supernet/Weights.ts"
import { useWasmKernels } from "../../../supernet/kernels/TfjsKernels.ts"
import type { StatisticsSource } from "../../../supernet/train/Context.ts"
import { KernelNetwork, type NetworkPlan, plainPlan } from "../../../supernet/train/KernelNetwork.ts"
import { packParameters } from "../../../supernet/train/Parameters.ts"
import { sampleBits, sampleGrids } from "../../../supernet/train/Recipe.ts"
import { TfjsNetwork } from "../../../supernet/train/TfjsNetwork.ts"
import { largestDifference, livelyWeights, tinySpec } from "../Tiny.ts"

const spec: SupernetSpec = tinySpec
const weights = livelyWeights(spec, 3)
const images = 4

/** Each kernel is exact to 2e-6 (see TfjsKernels.test.ts); twenty blocks of batch norm over few pixels amplify that. */
const gradientTolerance = 1e-2

const gaussian = (random: Random, length: number): Float32Array =>
  Float32Array.from({ length }, () => normal(random))

const randomPlan = (random: Random): NetworkPlan => {
  const submodel = sampleSubmodel(spec, random)
  return { submodel, grids: sampleGrids(spec, submodel, random), bits: sampleBits(spec, submodel, random) }
}

const portable = (): TfjsNetwork => {
  const network = new TfjsNetwork(spec)
  network.setParameters(packParameters(network.layout, weights))
  return network
}

const handWritten = async (): Promise<KernelNetwork> => {
  const network = await KernelNetwork.make(spec)
  network.parameters.set(packParameters(network.layout, weights))
  return network
}

/** Relative distance of two gradient vectors, in norm. */
const distance = (a: Float32Array, b: Float32Array): number =>
  Math.hypot(...a.map((v, i) => v - b[i]!)) / Math.hypot(...b)

/** Gradients of both networks for one plan, by parameter. */
const compareGradients = async (
  plan: NetworkPlan,
  random: Random,
  statistics: StatisticsSource = {},
): Promise<number> => {
  const { resolution } = plan.submodel
  const pixels = gaussian(random, images * resolution * resolution * 3)
  const dLogits = gaussian(random, images * spec.classes.length)
  const ours = await handWritten()
  const tape = ours.forward(pixels, images, plan, statistics)
  ours.zeroGradients()
  ours.backward(tape, dLogits)
  const theirs = portable()
  theirs.accumulate(
    pixels,
    images,
    plan,
    (logits) => {
      expect(largestDifference(tape.logits, logits)).toBeLessThan(1e-3)
      return dLogits
    },
    statistics,
  )
  const result = distance(ours.gradients, theirs.gradients)
  theirs.dispose()
  return result
}

describe("hand-written and tfjs network", () => {
  beforeAll(useWasmKernels)

  it("agree on the gradients of the smallest submodel, tfjs on its plain cpu backend", async () => {
    await tf.setBackend("cpu")
    expect(await compareGradients(plainPlan(spec, minSubmodel(spec, 64)), seededRandom(1))).toBeLessThan(
      gradientTolerance,
    )
  })

  it("agree on the gradients of the largest submodel and of random ones on random grids", async () => {
    await tf.setBackend("wasm")
    const random = seededRandom(2)
    const plans = [
      plainPlan(spec, maxSubmodel(spec, 64)),
      ...[1, 2, 3].map(() => ({ ...randomPlan(random), bits: [] })),
    ]
    for (const plan of plans) expect(await compareGradients(plan, random)).toBeLessThan(gradientTolerance)
  })
})

describe("hand-written and tfjs network under given statistics", () => {
  it("agree on the gradients: none flows through the statistics", async () => {
    await useWasmKernels()
    await tf.setBackend("wasm")
    const random = seededRandom(8)
    const given = (block: string, layer: string) =>
      batchNorm(weights, block, layer, { kernel: 5, expand: 4, resolution: 64 })
    for (let i = 0; i < 3; i++) {
      const plan = { ...randomPlan(random), bits: [] }
      expect(await compareGradients(plan, random, { given })).toBeLessThan(1e-4)
    }
  })
})

describe("tfjs, hand-written and ONNX forward", () => {
  it("agree to 1e-4 on random strategies with grids, with the artifact's statistics", async () => {
    const random = seededRandom(4)
    const reference = new Reference(spec, weights)
    const network = portable()
    const ours = await handWritten()
    for (let i = 0; i < 12; i++) {
      const strategy = normalizeStrategy(spec, sampleStrategy(spec, ["a", "b"], random, { bits: [32] }))
      const { resolution } = strategy.submodel
      const plan = { submodel: strategy.submodel, grids: strategy.blocks.map((b) => b.grid), bits: [] }
      const raw = Float32Array.from({ length: 2 * resolution ** 2 * 3 }, () =>
        Math.floor(random.next() * 256),
      )
      const pixels = raw.map((v, j) => (v - spec.mean[j % 3]!) / spec.std[j % 3]!)
      const given = (block: string, layer: string) =>
        batchNorm(weights, block, layer, { kernel: 3, expand: 3, resolution })
      const expected = await reference.evaluate(strategy, { count: 2, size: resolution, pixels: raw })
      expect(largestDifference(network.logits(pixels, 2, plan, { given }), expected)).toBeLessThan(1e-4)
      expect(largestDifference(ours.forward(pixels, 2, plan, { given }).logits, expected)).toBeLessThan(1e-4)
    }
    network.dispose()
  })
})

describe("gradients add up", () => {
  it("over several submodels before they are zeroed", async () => {
    const random = seededRandom(5)
    const network = await handWritten()
    const plan = plainPlan(spec, minSubmodel(spec, 64))
    const pixels = gaussian(random, images * 64 * 64 * 3)
    const dLogits = gaussian(random, images * spec.classes.length)
    network.zeroGradients()
    network.backward(network.forward(pixels, images, plan), dLogits)
    const once = network.gradients.slice()
    network.backward(network.forward(pixels, images, plan), dLogits)
    expect(
      distance(
        network.gradients,
        once.map((g) => 2 * g),
      ),
    ).toBeLessThan(1e-6)
  })

  it("leave the parameters of blocks that did not run at zero", async () => {
    const network = await handWritten()
    const plan = plainPlan(spec, { ...minSubmodel(spec, 64), depths: spec.stages.map(() => 1) })
    const random = seededRandom(6)
    network.zeroGradients()
    const tape = network.forward(gaussian(random, images * 64 * 64 * 3), images, plan)
    network.backward(tape, gaussian(random, images * spec.classes.length))
    const slot = network.layout.slots.get("blocks.1.expand")!
    expect(network.gradients.subarray(slot.offset, slot.offset + slot.size).every((g) => g === 0)).toBe(true)
  })
})
