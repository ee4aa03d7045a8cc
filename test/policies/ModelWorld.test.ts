import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { idealBandwidthMbps } from "../../policies/Condition.ts"
import { encodeStrategy, spaceOf } from "../../policies/Genome.ts"
import { imagenetWorldAccuracy } from "../../policies/ImagenetWorldAccuracy.ts"
import { modelWorld } from "../../policies/ModelWorld.ts"
import { idealLink, symmetricLink } from "../../devices/latency/Condition.ts"
import { timeline } from "../../devices/latency/Timeline.ts"
import { profileNamed } from "../../devices/profiles/Shipped.ts"
import { imagenetStrategyAccuracy } from "../../supernet/imagenet/ImagenetAccuracy.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { sampleStrategy } from "../../supernet/Strategy.ts"

const spec = ofaMobileNetV3({
  name: "imagenet",
  version: "1",
  widthMultiplier: 1,
  classes: ["a"],
  resolutions: [160, 192, 224],
})
const space = spaceOf(spec)
const profiles = ["raspberry-pi-4", "gtx-1080-desktop"].map((n) => Result.getOrThrow(profileNamed(n)))

describe("the models' world", () => {
  it("gives the latency of the explained timeline, for any strategy and condition", () => {
    const world = modelWorld(spec, profiles, imagenetWorldAccuracy(space, "1.0"))
    const random = seededRandom(11)
    const profileOf = (name: string) => Result.getOrThrow(profileNamed(name))
    for (let n = 0; n < 100; n++) {
      const devices = [0, 1, 2].map((i) => ({
        id: `d${i}`,
        type: profiles[Math.floor(random.next() * 2)]?.name ?? "",
        bandwidthMbps: i === 0 ? idealBandwidthMbps : 5 + 200 * random.next(),
        delayMs: i === 0 ? 0 : 30 * random.next(),
      }))
      const strategy = sampleStrategy(spec, ["d0", "d1", "d2"], random)
      const condition = {
        devices: devices.map((d, i) => ({
          id: d.id,
          profile: d.type,
          link: i === 0 ? idealLink : symmetricLink(d.bandwidthMbps, d.delayMs),
        })),
      }
      const explained = timeline({ spec, strategy, condition, profileOf })
      const genome = encodeStrategy(space, strategy, ["d0", "d1", "d2"])
      expect(world.latency.at({ devices })(genome)).toBeCloseTo(explained.latencyMs, 6)
    }
  })

  it.each(["1.0", "1.2"] as const)("gives the ImageNet accuracy of the strategy, width %s", (width) => {
    const model = imagenetWorldAccuracy(space, width)
    const random = seededRandom(12)
    for (let n = 0; n < 200; n++) {
      const strategy = sampleStrategy(spec, ["d0", "d1"], random)
      const genome = encodeStrategy(space, strategy, ["d0", "d1"])
      expect(model.accuracy(genome)).toBeCloseTo(imagenetStrategyAccuracy(strategy, width), 9)
    }
  })
})
