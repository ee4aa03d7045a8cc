import { assert, describe, it } from "@effect/vitest"
import { bestOffer } from "../../../bench/paper/Methods.ts"
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

/** The fastest plan: the last one. */
const fastest = <A>(plans: ReadonlyArray<A>): A => {
  const last = plans.at(-1)
  assert.isDefined(last)
  return last
}

describe("ADCNN, by hand", () => {
  const halved = { grids: [[1, 2]] as const, sparsity: 0.8, accuracyLoss: 0.01 }
  const condition = toyCondition([{ type: "slow", bandwidthMbps: 1000, delayMs: 0 }])

  it("halves the tiled part on two equal devices", () => {
    // 1x2 tiles through all four convolutions: 7.1552 ms of work in two halves, then the pool.
    // The remote's link: 384 bytes in, half of 640 values out, at 125,000 bytes a millisecond.
    const plan = fastest(adcnn(halved)(toyNetwork(), condition, toyWorld))
    const codedBytes = 320 * (bitsPerValue(0.8) / 8)
    assert.closeTo(plan.latencyMs, 7.1552 / 2 + 384 / 125_000 + codedBytes / 125_000, 1e-6)
    assert.deepStrictEqual(plan.plan.tiles, [1, 1])
    // Four of the five layers are tiled.
    assert.closeTo(plan.accuracy, 0.75 - 0.01 * 0.8, 1e-9)
  })

  it("offers fewer layers in tiles too, down to none, slower and more accurate", () => {
    const plans = adcnn(halved)(toyNetwork(), condition, toyWorld)
    // Behind a, b, c and d a map can be cut; each halves the work before it and leaves the rest to the centre.
    assert.deepStrictEqual(
      plans.map((p) => p.plan.tiledLayers),
      [0, 1, 2, 3, 4],
    )
    assert.closeTo(plans[0]?.latencyMs ?? 0, 7.1552, 1e-6)
    assert.closeTo(plans[2]?.latencyMs ?? 0, (0.6912 + 0.064) / 2 + 5.76 + 0.64, 0.01)
    assert.deepStrictEqual(
      plans.map((p) => Number(p.accuracy.toFixed(4))),
      [0.75, 0.748, 0.746, 0.744, 0.742],
    )
  })

  it("tiles fewer layers where an accuracy SLO is just below what the network has", () => {
    const plans = adcnn(halved)(toyNetwork(), condition, toyWorld)
    const depth = (accuracy: number) => bestOffer(plans, { kind: "accuracy", accuracy })?.plan.tiledLayers
    assert.deepStrictEqual([0.7415, 0.743, 0.747, 0.75, 0.751].map(depth), [4, 3, 1, 0, undefined])
    // Under a latency SLO, no more than it needs.
    assert.strictEqual(bestOffer(plans, { kind: "latency", latencyMs: 7 })?.plan.tiledLayers, 1)
  })

  it("keeps the network whole where it is when the link is too slow", () => {
    const slow = toyCondition([{ type: "fast", bandwidthMbps: 0.01, delayMs: 100 }])
    const plans = adcnn({ grids: [[2, 2]] })(toyNetwork(), slow, toyWorld)
    assert.strictEqual(plans.length, 1)
    assert.deepStrictEqual(plans[0]?.plan.tiles, [1, 0])
    assert.strictEqual(plans[0]?.plan.summary, "all on local")
    assert.closeTo(plans[0]?.latencyMs ?? 0, 7.1552, 1e-6)
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
      const alone = fastest(singleDeviceBaseline.plans(network, swarm(0), world)).latencyMs
      const times = [1, 2, 4, 8].map((n) => fastest(adcnnBaseline.plans(network, swarm(n), world)).latencyMs)
      for (const [i, ms] of times.entries()) {
        // More tiles come back from more devices, and the centre decodes them all.
        assert.isAtMost(ms, i === 0 ? alone : 1.02 * (times[i - 1] ?? alone))
        assert.isAtLeast(ms, alone / (2 ** i + 1))
      }
    }
  })

  it("offers plans of which none is better than another, the whole network on one device first", () => {
    for (const network of zoo) {
      const [alone] = singleDeviceBaseline.plans(network, swarm(4), world)
      const plans = adcnnBaseline.plans(network, swarm(4), world)
      assert.closeTo(plans[0]?.latencyMs ?? 0, alone?.latencyMs ?? 0, 1e-6)
      assert.strictEqual(plans[0]?.accuracy, network.top1)
      for (const [i, plan] of plans.slice(1).entries()) {
        assert.isBelow(plan.latencyMs, plans[i]?.latencyMs ?? 0)
        assert.isBelow(plan.accuracy, plans[i]?.accuracy ?? 0)
      }
    }
  })

  it("uses several devices for an accuracy close to the network's own", () => {
    for (const network of zoo) {
      const plans = adcnnBaseline.plans(network, swarm(4), world)
      const alone = plans[0]?.latencyMs ?? 0
      const best = bestOffer(plans, { kind: "accuracy", accuracy: network.top1 - 0.004 })
      assert.isDefined(best)
      assert.isAtMost(best?.latencyMs ?? 0, alone, network.name)
      if (network.name !== "MobileNetV3-L") assert.isAbove(best?.plan.devices.length ?? 0, 1, network.name)
    }
  })
})
