import { assert, describe, it } from "@effect/vitest"
import { adcnn, adcnnBaseline, allocateTiles } from "../../../policies/baselines/Adcnn.ts"
import { bitsPerValue } from "../../../policies/baselines/FeatureCoding.ts"
import { singleDeviceBaseline } from "../../../policies/baselines/Neurosurgeon.ts"
import { shippedProfile } from "../../../devices/profiles/Shipped.ts"
import { seededRandom } from "../../../supernet/Random.ts"
import { zoo } from "../../../supernet/zoo/Zoo.ts"
import { toyCondition, toyNetwork, toyWorld } from "./Toy.ts"

/** Nibbles of values that are zero or not, in ADCNN's coded form: two for a run of at most 16 zeros, one for another value. */
const codedNibbles = (zeros: ReadonlyArray<boolean>): number => {
  let [nibbles, run] = [0, 0]
  for (const zero of zeros) {
    run = zero ? run + 1 : 0
    if (!zero) nibbles++
    else if (run % 16 === 1) nibbles += 2
  }
  return nibbles
}

describe("feature coding", () => {
  it.each([0.3, 0.6, 0.8, 0.95])(
    "needs the bits per value that the formula says, at %d zeros",
    (sparsity) => {
      const random = seededRandom(9)
      const zeros = Array.from({ length: 200_000 }, () => random.next() < sparsity)
      assert.closeTo((codedNibbles(zeros) * 4) / zeros.length / bitsPerValue(sparsity), 1, 0.01)
    },
  )
})

describe("allocateTiles", () => {
  it("gives tiles by speed", () => {
    const nodes = [
      { fixedMs: 0, perTileMs: 1 },
      { fixedMs: 0, perTileMs: 3 },
    ]
    assert.deepStrictEqual(allocateTiles(8, nodes), [6, 2])
  })

  it("leaves out a node whose link costs more than it saves", () => {
    const nodes = [
      { fixedMs: 0, perTileMs: 1 },
      { fixedMs: 50, perTileMs: 0.1 },
    ]
    assert.deepStrictEqual(allocateTiles(4, nodes), [4, 0])
  })
})

describe("ADCNN, by hand", () => {
  it("halves the tiled part on two equal devices", () => {
    // 1x2 tiles through all four convolutions: 7.1552 ms of work in two halves, then the pool.
    // The remote's link: 384 bytes in, half of 640 values out, at 125,000 bytes a millisecond.
    const condition = toyCondition([{ type: "slow", bandwidthMbps: 1000, delayMs: 0 }])
    const plan = adcnn({ grids: [[1, 2]], sparsity: 0.8, accuracyLoss: 0.01 })(
      toyNetwork(),
      condition,
      toyWorld,
    )
    const codedBytes = 320 * (bitsPerValue(0.8) / 8)
    assert.closeTo(plan.latencyMs, 7.1552 / 2 + 384 / 125_000 + codedBytes / 125_000, 1e-6)
    assert.deepStrictEqual(plan.plan.tiles, [1, 1])
    // Four of the five layers are tiled.
    assert.closeTo(plan.accuracy, 0.75 - 0.01 * 0.8, 1e-9)
  })

  it("keeps all tiles where they are when the link is too slow", () => {
    const condition = toyCondition([{ type: "fast", bandwidthMbps: 0.01, delayMs: 100 }])
    const { latencyMs, plan } = adcnn({ grids: [[2, 2]] })(toyNetwork(), condition, toyWorld)
    assert.deepStrictEqual(plan.tiles, [4, 0])
    assert.closeTo(latencyMs, 7.1552, 1e-6)
  })
})

describe("ADCNN on the zoo", () => {
  const world = { profileOf: (type: string) => shippedProfile(type as "raspberry-pi-4") }
  const swarm = (remotes: number) => ({
    devices: Array.from({ length: remotes + 1 }, (_, i) => ({
      id: `pi-${i}`,
      type: "raspberry-pi-4",
      bandwidthMbps: i === 0 ? 100_000 : 1000,
      delayMs: i === 0 ? 0 : 2,
    })),
  })

  it("gets faster with every device, and never faster than the devices allow", () => {
    for (const network of zoo) {
      const alone = singleDeviceBaseline.bestPlan(network, swarm(0), world).latencyMs
      const times = [1, 2, 4, 8].map((n) => adcnnBaseline.bestPlan(network, swarm(n), world).latencyMs)
      for (const [i, ms] of times.entries()) {
        assert.isAtMost(ms, (i === 0 ? alone : (times[i - 1] ?? alone)) * 1.02)
        assert.isAtLeast(ms, alone / (2 ** i + 1))
      }
    }
  })
})
