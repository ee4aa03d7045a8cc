import { assert, describe, it } from "vitest"
import { conditionOf, type Known } from "../../actors/ConditionOf.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const [first, second] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const profile = "raspberry-pi-4"

const link = { delayMs: 2, bandwidthMbps: 100 }

interface Seen {
  readonly deviceMs?: number
  readonly linkMs?: number
  readonly lateMs?: number
  readonly more?: { readonly feared?: typeof link }
}

/** A swarm of two, of which only what a condition is made from is there. */
const known = ({ deviceMs = 0, linkMs = 0, lateMs = 0, more = {} }: Seen): Known =>
  ({
    self: { device: first, profile: { name: profile } },
    membership: { usable: () => [{ identity: { device: second, profile } }] },
    links: { get: (peer: DeviceId) => (peer === second ? { ...link, ...more } : undefined) },
    backlog: { ms: (device: DeviceId) => (device === second ? deviceMs : 0) },
    tiles: {
      queuedMs: (to: DeviceId, mbps: number) => (to === second ? (linkMs * 100) / mbps : 0),
      lateMs: () => lateMs,
    },
  }) as unknown as Known

const condition = (seen: Seen) => conditionOf(known(seen), { describes: () => true })([])
const waiting = (deviceMs: number, linkMs: number, lateMs = 0) =>
  condition({ deviceMs, linkMs, lateMs }).devices.map((d) => d.backlogMs)

describe("the condition of the moment", () => {
  it("has a device begin behind its own work, or behind what goes to it first, whichever takes longer", () => {
    assert.deepStrictEqual(waiting(0, 0), [undefined, undefined])
    assert.deepStrictEqual(waiting(80, 30), [undefined, 80])
    assert.deepStrictEqual(waiting(80, 200), [undefined, 200])
  })

  it("has nothing arrive before what is late on the way there", () => {
    assert.deepStrictEqual(waiting(0, 30, 120), [undefined, 120])
  })

  it("plans for the worse link while it may just have got worse", () => {
    const feared = { delayMs: 40, bandwidthMbps: 5 }
    const [, remote] = condition({ more: { feared } }).devices
    assert.deepInclude(remote, feared)
    assert.deepInclude(condition({}).devices[1], link)
  })

  it("has room for 64 devices: of more, those with the best links", () => {
    const many = Array.from({ length: 80 }, (_, i) => ({
      identity: { device: DeviceId.make(`d-${i}`), profile },
    }))
    // The later, the better.
    const links = { get: (peer: DeviceId) => ({ ...link, delayMs: 100 - Number(peer.slice(2)) }) }
    const swarm = { ...known({}), membership: { usable: () => many }, links } as unknown as Known
    const { devices } = conditionOf(swarm, { describes: () => true })([])
    assert.lengthOf(devices, 64)
    assert.strictEqual(devices[0]?.id, first)
    const numbers = devices.slice(1).map((d) => Number(d.id.slice(2)))
    assert.strictEqual(Math.min(...numbers), 80 - 63)
  })

  it("leaves out devices that mean another speed by their profile's name", () => {
    const describes = (device: string, name: string) => device !== second && name === profile
    const now = conditionOf(known({}), { describes })([])
    assert.deepStrictEqual(
      now.devices.map((d) => d.id),
      [first],
    )
  })
})
