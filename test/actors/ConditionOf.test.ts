import { assert, describe, it } from "vitest"
import { conditionOf, type Known } from "../../actors/ConditionOf.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const [first, second] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const profile = "raspberry-pi-4"

/** A swarm of two, of which only what a condition is made from is there. */
const known = (deviceMs: number, linkMs: number): Known =>
  ({
    self: { device: first, profile: { name: profile } },
    membership: { usable: () => [{ identity: { device: second, profile } }] },
    links: { get: (peer: DeviceId) => (peer === second ? { delayMs: 2, bandwidthMbps: 100 } : undefined) },
    backlog: { ms: (device: DeviceId) => (device === second ? deviceMs : 0) },
    tiles: { queuedMs: (to: DeviceId, mbps: number) => (to === second ? (linkMs * 100) / mbps : 0) },
  }) as unknown as Known

const waiting = (deviceMs: number, linkMs: number) =>
  conditionOf(known(deviceMs, linkMs), { includes: () => true })([]).devices.map((d) => d.backlogMs)

describe("the condition of the moment", () => {
  it("has a device begin behind its own work, or behind what goes to it first, whichever takes longer", () => {
    assert.deepStrictEqual(waiting(0, 0), [undefined, undefined])
    assert.deepStrictEqual(waiting(80, 30), [undefined, 80])
    assert.deepStrictEqual(waiting(80, 200), [undefined, 200])
  })
})
