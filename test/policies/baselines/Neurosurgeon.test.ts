import { assert, describe, it } from "@effect/vitest"
import { opsMs } from "../../../devices/profiles/DeviceProfile.ts"
import { shippedProfile, shippedProfileNames } from "../../../devices/profiles/Shipped.ts"
import type { Baseline, BaselineOutcome, BaselineWorld } from "../../../policies/baselines/Baseline.ts"
import {
  layerLatencyOn,
  neurosurgeon,
  neurosurgeonBaseline,
  remoteOnlyBaseline,
  singleDeviceBaseline,
} from "../../../policies/baselines/Neurosurgeon.ts"
import { below, seededRandom } from "../../../supernet/Random.ts"
import { networkOps } from "../../../supernet/zoo/LayerGraph.ts"
import { zoo } from "../../../supernet/zoo/Zoo.ts"
import { toyCondition, toyNetwork, toyWorld } from "./Toy.ts"

const shipped: BaselineWorld = { profileOf: (type) => shippedProfile(type as "raspberry-pi-4") }

/** Its only plan: no cut is better than the fastest. */
const only = (baseline: Baseline, ...given: Parameters<Baseline["plans"]>): BaselineOutcome => {
  const plans = baseline.plans(...given)
  assert.strictEqual(plans.length, 1)
  return plans[0] as BaselineOutcome
}

describe("Neurosurgeon, by hand", () => {
  // Local, ms: a 0.6912, b 0.064, c 5.76, d 0.64; remote a tenth. Image 768 bytes, b 2,560, result 40.
  const network = toyNetwork()

  it("keeps everything local when the link is slow", () => {
    const condition = toyCondition([{ type: "fast", bandwidthMbps: 1, delayMs: 10 }])
    const { latencyMs, plan } = only(neurosurgeonBaseline, network, condition, toyWorld)
    assert.closeTo(latencyMs, 0.6912 + 0.064 + 5.76 + 0.64, 1e-6)
    assert.strictEqual(plan.summary, "all on local")
  })

  it("sends the image when it is smaller than any feature map and the remote is fast", () => {
    const condition = toyCondition([{ type: "fast", bandwidthMbps: 100, delayMs: 0.1 }])
    const { latencyMs, plan } = only(neurosurgeonBaseline, network, condition, toyWorld)
    // 768 bytes and 40 bytes at 12,500 bytes a millisecond, twice 0.1 ms delay, a tenth of 7.1552 ms.
    assert.closeTo(latencyMs, 768 / 12_500 + 40 / 12_500 + 0.2 + 0.71552, 1e-6)
    assert.strictEqual(plan.summary, "all on remote-1")
  })

  it("cuts behind the narrow layer when what comes before is cheap and little has to be sent", () => {
    const condition = toyCondition([{ type: "fast", bandwidthMbps: 1, delayMs: 0 }])
    const { latencyMs, plan } = neurosurgeon({ bits: 8 })(network, condition, toyWorld)
    // 640 bytes and 40 bytes at 125 a millisecond, c and d on the remote. All local takes 7.1552, all remote 7.1795.
    assert.closeTo(latencyMs, 0.6912 + 0.064 + 640 / 125 + 0.576 + 0.064 + 40 / 125, 1e-6)
    assert.strictEqual(plan.summary, "local before toy.c, rest on remote-1")
    assert.strictEqual(plan.localLayers, 2)
  })

  it("takes the better of two remotes", () => {
    const near = { type: "slow", bandwidthMbps: 1000, delayMs: 0 }
    const condition = toyCondition([near, { ...near, type: "fast" }, near])
    const { plan } = only(neurosurgeonBaseline, network, condition, toyWorld)
    assert.deepStrictEqual(plan.devices, ["remote-2"])
  })

  it("runs on the local device when it is alone", () => {
    const { latencyMs, plan } = only(neurosurgeonBaseline, network, toyCondition([]), toyWorld)
    assert.closeTo(latencyMs, 7.1552, 1e-6)
    assert.deepStrictEqual(plan.devices, ["local"])
  })
})

describe("Neurosurgeon on the zoo", () => {
  it("predicts whole networks from its regressions to 10 %, on every shipped device", () => {
    for (const name of shippedProfileNames) {
      const profile = shippedProfile(name)
      const latency = layerLatencyOn(profile)
      for (const network of zoo) {
        const predicted = network.layers.reduce((sum, l) => sum + latency(l), 0)
        const real = opsMs(profile, networkOps(network))
        assert.closeTo(predicted / real, 1, 0.1, `${network.name} on ${name}`)
      }
    }
  })

  it("is never worse than one device or one remote, but for its regressions' error", () => {
    const random = seededRandom(4)
    for (let i = 0; i < 30; i++) {
      const condition = {
        devices: [
          { id: "local", type: "raspberry-pi-4", bandwidthMbps: 100_000, delayMs: 0 },
          {
            id: "pi",
            type: "raspberry-pi-4",
            bandwidthMbps: 5 + below(random, 500),
            delayMs: below(random, 100),
          },
          {
            id: "gpu",
            type: "gtx-1080-desktop",
            bandwidthMbps: 5 + below(random, 500),
            delayMs: below(random, 100),
          },
        ],
      }
      for (const network of zoo) {
        const cut = only(neurosurgeonBaseline, network, condition, shipped)
        const alone = only(singleDeviceBaseline, network, condition, shipped)
        const remote = only(remoteOnlyBaseline, network, condition, shipped)
        assert.isAtMost(cut.latencyMs, 1.05 * Math.min(alone.latencyMs, remote.latencyMs))
        assert.strictEqual(cut.accuracy, network.top1)
      }
    }
  })
})
