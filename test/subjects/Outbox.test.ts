import { assert, describe, it } from "vitest"
import type { BusShape } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { Outbox } from "../../subjects/Outbox.ts"

const [me, first, second] = [DeviceId.make("pi-1"), DeviceId.make("pi-2"), DeviceId.make("pi-3")]
const bus = { isUp: () => false } as unknown as BusShape

describe("peers of a sender", () => {
  it("are those that something was sent to lately, or is under way to", () => {
    const outbox = new Outbox(bus, { device: me, idleMs: -1 })
    assert.strictEqual(outbox.outstanding(first).chunks, 0)
    assert.isEmpty([...outbox.peers.keys()])
    outbox.peer(first).chunks++
    outbox.peer(second)
    assert.deepStrictEqual([...outbox.peers.keys()], [first, second])
    outbox.peer(first).chunks--
    outbox.peer(DeviceId.make("pi-4"))
    assert.deepStrictEqual([...outbox.peers.keys()], ["pi-4"])
    const patient = new Outbox(bus, { device: me })
    for (const id of [first, second]) patient.peer(id)
    assert.strictEqual(patient.peers.size, 2)
  })
})
