import { assert, it } from "@effect/vitest"
import { bitsChoices, localStrategy, sampleStrategy } from "../../../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel } from "../../../supernet/Submodel.ts"
import { below, normal, seededRandom } from "../../../supernet/Random.ts"
import { Reference } from "../../../supernet/Reference.ts"
import { narrowModel, widenModel } from "../../../supernet/onnx/Boundary.ts"
import { createSession, floats, floatTensor, halfTensor, output } from "../../../supernet/onnx/Runtime.ts"
import { decodeHalf, encodeHalf } from "../../../supernet/Float16.ts"
import { naiveLogits } from "../Naive.ts"
import { image, largestDifference, livelyWeights, tinySpec } from "../Tiny.ts"

const devices = ["a", "b", "c"]
const weights = livelyWeights(tinySpec, 5)

it("any grids and placements of any submodel compute what the plain float64 loops compute, to 1e-4", async () => {
  const reference = new Reference(tinySpec, weights)
  const random = seededRandom(2)
  for (let i = 0; i < 10; i++) {
    const strategy = sampleStrategy(tinySpec, devices, random, {
      bits: [32],
      locality: i % 2 === 0 ? 0.8 : 0.3,
    })
    const size = strategy.submodel.resolution
    const pixels = image(size, i)
    const logits = await reference.evaluate(strategy, { count: 1, size, pixels })
    const expected = Float32Array.from(naiveLogits(tinySpec, weights, strategy, pixels))
    assert.isBelow(largestDifference(logits, expected), 1e-4, JSON.stringify(strategy))
  }
})

it("statistics measured for a kernel, expand and resolution are used there and nowhere else", async () => {
  const submodel = {
    ...minSubmodel(tinySpec, 64),
    kernels: maxSubmodel(tinySpec).kernels.map((_, i) => 3 + 2 * (i % 3)),
  }
  const local = localStrategy(tinySpec, submodel, "a")
  const pixels = image(64, 1)
  const measured = new Map(weights)
  for (const [name, channels] of [
    ["blocks.0.stats.k3e3r64.project_bn", 4],
    ["blocks.4.stats.k3e3.dw_bn", 12],
    ["stem.stats.r64.bn", tinySpec.stemWidth],
    ["blocks.0.stats.k3e3r96.project_bn", 4],
    ["blocks.0.stats.k5e3r64.dw_bn", 12],
  ] as const) {
    for (const [part, value] of [
      ["mean", 1.5 + channels / 7],
      ["var", 2],
    ] as const) {
      measured.set(`${name}.${part}`, { shape: [channels], data: new Float32Array(channels).fill(value) })
    }
  }
  const logits = await new Reference(tinySpec, measured).evaluate(local, { count: 1, size: 64, pixels })
  assert.isBelow(
    largestDifference(logits, Float32Array.from(naiveLogits(tinySpec, measured, local, pixels))),
    1e-4,
  )
  const plain = await new Reference(tinySpec, weights).evaluate(local, { count: 1, size: 64, pixels })
  assert.isAbove(largestDifference(logits, plain), 1e-3)
})

it("a batch answers as its images one by one, also where values are quantised per image", async () => {
  const reference = new Reference(tinySpec, weights)
  const random = seededRandom(3)
  for (const bits of bitsChoices) {
    const submodel = sampleSubmodel(tinySpec, random)
    const strategy = sampleStrategy(tinySpec, devices, random, { bits: [bits], submodel, locality: 0.3 })
    const size = submodel.resolution
    const images = [1, 2, 3].map((seed) => image(size, seed))
    const pixels = Uint8Array.from(images.flatMap((one) => [...one]))
    const together = await reference.evaluate(strategy, { count: 3, size, pixels })
    for (const [i, one] of images.entries()) {
      const alone = await reference.evaluate(strategy, { count: 1, size, pixels: one })
      assert.isBelow(largestDifference(together.subarray(i * 3, i * 3 + 3), alone), 1e-5, `${bits} bits`)
    }
  }
})

it("float pixels answer as the same pixels in bytes", async () => {
  const reference = new Reference(tinySpec, weights)
  const strategy = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), "a")
  const bytes = image(64, 9)
  const fromBytes = await reference.evaluate(strategy, { count: 1, size: 64, pixels: bytes })
  const fromFloats = await reference.evaluate(strategy, {
    count: 1,
    size: 64,
    pixels: Float32Array.from(bytes),
  })
  assert.deepStrictEqual(fromFloats, fromBytes)
})

it("eight bits on the bus are off by at most half a step, sixteen round as IEEE says", async () => {
  const random = seededRandom(4)
  const x = Float32Array.from({ length: 2 * 5 * 7 }, () => normal(random) + 0.4)
  const tensor = floatTensor(x, [1, 2, 5, 7])
  const narrow8 = await createSession(narrowModel({ bits: 8, region: false }))
  const widen8 = await createSession(widenModel(8))
  const q = await narrow8.run({ x: tensor })
  const back = floats(output(await widen8.run(q), "x"))
  const scale = Number(output(q, "scale").data[0])
  assert.closeTo(scale, (Math.max(...x) - Math.min(...x)) / 255, 1e-6)
  for (const [i, v] of x.entries()) assert.isAtMost(Math.abs((back[i] ?? Number.NaN) - v), scale * 0.5001)

  const narrow16 = await createSession(narrowModel({ bits: 16, region: false }))
  const halves = output(await narrow16.run({ x: tensor }), "q").data
  assert.deepStrictEqual(halves, encodeHalf(x))
  const widen16 = await createSession(widenModel(16))
  const widened = await widen16.run({ q: halfTensor(encodeHalf(x), [1, 2, 5, 7]) })
  assert.deepStrictEqual(floats(output(widened, "x")), decodeHalf(encodeHalf(x)))
})

it("a strategy that is not one of this supernet's is refused with the reasons", async () => {
  const reference = new Reference(tinySpec, weights)
  const strategy = localStrategy(
    tinySpec,
    { ...maxSubmodel(tinySpec), resolution: below(seededRandom(1), 50) },
    "a",
  )
  let message = ""
  await reference.strategy(strategy).catch((cause: unknown) => (message = String(cause)))
  assert.include(message, "resolution")
})
