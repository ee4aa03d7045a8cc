import { describe, expect, it } from "vitest"
import { type DeviceProfile, dilated } from "../../devices/profiles/DeviceProfile.ts"
import { shippedProfile, shippedProfileNames } from "../../devices/profiles/Shipped.ts"
import { alikeWithin, inTypesOf } from "../../policies/AlikeTypes.ts"
import { modelWorld } from "../../policies/ModelWorld.ts"
import { policyProposer } from "../../policies/PolicyRuntime.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { localGenome } from "../../policies/Genome.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"

const { scenario, world: shipped } = loadSetting("team")
const times = (name: "raspberry-pi-4" | "raspberry-pi-zero-2-w", factor: number): DeviceProfile => ({
  ...dilated(shippedProfile(name), factor),
  name: `${name} x ${factor}`,
})
const [drone, slowDrone, pi4] = [
  times("raspberry-pi-zero-2-w", 0.8),
  times("raspberry-pi-zero-2-w", alikeWithin * 1.1),
  times("raspberry-pi-4", 1.2),
]
const world = modelWorld(
  shipped.space.spec,
  [...shippedProfileNames.map((n) => shippedProfile(n)), drone, slowDrone, pi4],
  shipped.accuracy,
)
const condition = (...types: ReadonlyArray<string>) => ({
  devices: types.map((type, i) => ({ id: `d-${i}`, type, bandwidthMbps: 100, delayMs: i === 0 ? 0 : 2 })),
})
const typesOf = (...types: ReadonlyArray<string>) =>
  inTypesOf(world, scenario)(condition(...types)).devices.map((d) => d.type)

describe("devices that count as a scenario's types", () => {
  it("are those of its types, and those that are about as fast", () => {
    expect(typesOf("raspberry-pi-zero-2-w", "raspberry-pi-5")).toEqual([
      "raspberry-pi-zero-2-w",
      "raspberry-pi-5",
    ])
    expect(typesOf(drone.name, pi4.name)).toEqual(["raspberry-pi-zero-2-w", "raspberry-pi-4"])
  })

  it("are not those that are much slower or faster, or that nobody knows", () => {
    expect(typesOf(slowDrone.name, "jetson-nano")).toEqual([slowDrone.name, "jetson-nano"])
    expect(typesOf("raspberry-pi-4", "abacus")).toEqual(["raspberry-pi-4", "abacus"])
  })

  it("have a policy's proposals, on the devices that are there", async () => {
    const largest = localGenome(world.space, maxSubmodel(world.space.spec))
    const runtime = {
      shape: { hidden: 1 } as never,
      decode: (constraints: ReadonlyArray<unknown>) => Promise.resolve(constraints.map(() => largest)),
    }
    const proposer = policyProposer(runtime, world, { name: "p", kind: "latency", scenario })
    const slo = { kind: "latency", latencyMs: 60 } as const
    expect(proposer.fits(condition(drone.name, pi4.name), slo)).toBe(true)
    expect(proposer.fits(condition(slowDrone.name, pi4.name), slo)).toBe(false)
    expect(await proposer.propose(condition(drone.name, pi4.name), slo)).toContainEqual(largest)
  })
})
