import { assert, describe, it } from "@effect/vitest"
import { shippedMethods } from "../../bench/paper/ShippedMethods.ts"
import { localGenome } from "../../policies/Genome.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"

describe("the largest submodel at its best cut", () => {
  const { world } = loadSetting("augmented")
  const largest = shippedMethods(world, 1).find((m) => m.name.startsWith("largest"))
  const conditions = [1, 5, 20, 100, 500].map((bandwidthMbps) => ({
    devices: [
      { id: "local", type: "raspberry-pi-zero-2-w", bandwidthMbps: 100_000, delayMs: 0 },
      { id: "desktop", type: "gtx-1080-desktop", bandwidthMbps, delayMs: 2 },
    ],
  }))
  const whole = world.accuracy.accuracy(localGenome(world.space, maxSubmodel(world.space.spec)))

  it("is the fastest under a latency SLO, and keeps an accuracy SLO that the whole submodel keeps", () => {
    for (const condition of conditions) {
      const fast = largest?.choose(condition, { kind: "latency", latencyMs: 50 })
      const accurate = largest?.choose(condition, { kind: "accuracy", accuracy: whole })
      assert.isAtLeast(accurate?.accuracy ?? 0, whole)
      assert.isAtMost(fast?.latencyMs ?? 0, accurate?.latencyMs ?? 0)
    }
  })

  it("is the fastest where no cut is accurate enough", () => {
    for (const condition of conditions) {
      const fast = largest?.choose(condition, { kind: "latency", latencyMs: 50 })
      assert.deepStrictEqual(largest?.choose(condition, { kind: "accuracy", accuracy: 1 }), fast)
    }
  })
})
