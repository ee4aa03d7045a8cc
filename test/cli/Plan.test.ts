import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { deviceName, plannedDevices, planTimeline } from "../../cli/Plan.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { normalizeStrategy } from "../../supernet/Strategy.ts"
import { activeBlocks, minSubmodel } from "../../supernet/Submodel.ts"

const spec = ofaMobileNetV3({ name: "half", version: "1", widthMultiplier: 0.5, classes: ["a", "b"] })

describe("devices on the command line", () => {
  it.effect("take one link for all remotes, or one for each", () =>
    Effect.gen(function* () {
      const same = yield* plannedDevices("raspberry-pi-4,raspberry-pi-4,jetson-nano", "50", "5")
      assert.deepStrictEqual(
        same.map((d) => [d.profile.name, d.mbps, d.delayMs]),
        [
          ["raspberry-pi-4", Infinity, 0],
          ["raspberry-pi-4", 50, 5],
          ["jetson-nano", 50, 5],
        ],
      )
      const own = yield* plannedDevices("raspberry-pi-4,raspberry-pi-4,jetson-nano", "50,20", "5,9")
      assert.deepStrictEqual(
        own.slice(1).map((d) => [d.mbps, d.delayMs]),
        [
          [50, 5],
          [20, 9],
        ],
      )
    }),
  )

  it.effect("are refused with what to do: an unknown profile, a wrong count, no number", () =>
    Effect.gen(function* () {
      const unknown = yield* Effect.flip(plannedDevices("toaster", "50", "5"))
      assert.include(unknown.hint, "raspberry-pi-4")
      const count = yield* Effect.flip(plannedDevices("raspberry-pi-4,raspberry-pi-4", "50,20", "5"))
      assert.include(count.message, "2 numbers for 1 remote")
      const text = yield* Effect.flip(plannedDevices("raspberry-pi-4,raspberry-pi-4", "fast", "5"))
      assert.include(text.message, "fast")
    }),
  )
})

describe("profiles of one name", () => {
  it.effect("are refused where they mean different speeds", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "murmuration-plan-"))
      const file = join(folder, "mine.json")
      const put = (profile: object) => writeFileSync(file, JSON.stringify(profile))
      put({ ...shippedProfile("jetson-nano"), name: "raspberry-pi-4" })
      const error = yield* Effect.flip(plannedDevices(`raspberry-pi-4,${file}`, "50", "5"))
      assert.include(error.message, "same name, raspberry-pi-4, and another speed")
      assert.include(error.hint, "another name")
      put(shippedProfile("raspberry-pi-4"))
      assert.lengthOf(yield* plannedDevices(`raspberry-pi-4,${file}`, "50", "5"), 2)
      rmSync(folder, { recursive: true })
    }),
  )
})

describe("a planned timeline", () => {
  it.effect("charges each remote its own link", () =>
    Effect.gen(function* () {
      const submodel = minSubmodel(spec)
      const onRemote = (remote: number) =>
        normalizeStrategy(spec, {
          submodel,
          devices: [0, 1, 2].map(deviceName),
          blocks: activeBlocks(spec, submodel).map(() => ({ grid: "1x1", bits: 8, placement: [remote] })),
        })
      const devices = yield* plannedDevices("raspberry-pi-4,raspberry-pi-4,raspberry-pi-4", "100,5", "2,30")
      const [near, far] = [planTimeline(spec, onRemote(1), devices), planTimeline(spec, onRemote(2), devices)]
      const imageBytes = submodel.resolution ** 2 * 3
      const slower = (imageBytes * 8) / 5e3 - (imageBytes * 8) / 100e3 + 2 * (30 - 2)
      assert.approximately(far.latencyMs - near.latencyMs, slower, 0.02 * slower)
    }),
  )
})
