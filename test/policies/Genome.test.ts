import { describe, expect, it } from "vitest"
import {
  canonicalize,
  decodeGenome,
  devicesUsed,
  encodeStrategy,
  localGenome,
  spaceOf,
} from "../../policies/Genome.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import {
  localStrategy,
  normalizeStrategy,
  sampleStrategy,
  strategyProblems,
} from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"

const spec = ofaMobileNetV3({ name: "test", version: "1", widthMultiplier: 0.5, classes: ["a", "b"] })
const space = spaceOf(spec)
const devices = ["a", "b", "c", "d", "e"]

describe("genome", () => {
  it("carries every strategy there and back, in its normal form", () => {
    const random = seededRandom(1)
    for (let n = 0; n < 500; n++) {
      const strategy = sampleStrategy(spec, devices, random, { locality: n % 2 === 0 ? 0.8 : 0.3 })
      const back = decodeGenome(space, encodeStrategy(space, strategy, devices), devices)
      expect(back).toEqual(strategy)
    }
  })

  it("normalises random rows to what the strategy's own normal form says", () => {
    const random = seededRandom(2)
    const head = space.blocks.length - 1
    for (let n = 0; n < 500; n++) {
      const genome = new Uint8Array(space.length)
      for (let i = 0; i < genome.length; i++) genome[i] = Math.floor(random.next() * 3)
      canonicalize(space, genome)
      const strategy = decodeGenome(space, genome, devices)
      expect(strategyProblems(spec, strategy)).toEqual([])
      expect(normalizeStrategy(spec, strategy)).toEqual(strategy)
      expect(strategy.blocks.at(-1)?.grid, `block ${head}`).toBe("1x1")
      expect(canonicalize(space, genome.slice())).toEqual(genome)
    }
  })

  it("says which devices a strategy needs", () => {
    const random = seededRandom(3)
    expect(devicesUsed(space, localGenome(space, maxSubmodel(spec)))).toBe(1)
    for (let n = 0; n < 100; n++) {
      const strategy = sampleStrategy(spec, devices, random)
      const used = devicesUsed(space, encodeStrategy(space, strategy, devices))
      expect(devices.filter((_, i) => (used >> i) & 1)).toEqual(strategy.devices)
    }
  })

  it("writes the local strategy as the local genome", () => {
    expect(decodeGenome(space, localGenome(space, maxSubmodel(spec)), devices)).toEqual(
      localStrategy(spec, maxSubmodel(spec), "a"),
    )
  })
})
