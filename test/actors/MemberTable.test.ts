import { assert, describe, it } from "vitest"
import {
  aged,
  defaultTimes,
  heard,
  type MemberTable,
  mayWait,
  plannable,
  received,
  suspected,
} from "../../actors/MemberTable.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { protocolVersion, type SwarmMessage } from "../../subjects/SwarmMessages.ts"

const pi1 = DeviceId.make("pi-1")

interface Who {
  readonly nonce?: string
  readonly seq?: number
  readonly hostname?: string
  readonly pid?: number
  readonly protocol?: number
}

const message = (kind: "Hello" | "Beat", who: Who = {}): SwarmMessage => {
  const identity = {
    device: pi1,
    nonce: who.nonce ?? "n1",
    hostname: who.hostname ?? "host-a",
    pid: who.pid ?? 1,
    protocol: who.protocol ?? protocolVersion,
    versions: {},
    profile: "raspberry-pi-4",
    emulated: true,
    cpus: 4,
    memoryMb: 4096,
  }
  const load = { requests: 0, tasksQueued: 0, busy: 0, rssMb: 100, eventLoopLagMs: 0 }
  const counts = { answered: 0, refused: 0, dropped: 0, tasks: 0, replans: 0 }
  const status = { upMs: 0, load, strategies: 0, sessions: 0, built: 0, counts, peers: [] }
  const described = { seq: who.seq ?? 1, identity, status }
  return kind === "Hello" ? { _tag: "Hello", ...described, reply: false } : { _tag: "Beat", ...described }
}
const farewell: SwarmMessage = { _tag: "Farewell", device: pi1, nonce: "n1", reason: "SIGTERM", drainMs: 100 }

const empty: MemberTable = new Map()
const joined = received(empty, message("Hello"), 0, defaultTimes).table
const stateOf = (table: MemberTable) => table.get(pi1)?.state

describe("the member table", () => {
  it("counts a device as present from its hello on", () => {
    const { table, events } = received(empty, message("Hello"), 0, defaultTimes)
    assert.deepStrictEqual(events, [{ _tag: "DeviceJoined", device: pi1, restarted: false }])
    assert.deepStrictEqual(
      plannable(table).map((m) => m.identity.device),
      [pi1],
    )
  })

  it("lets who leaves wait for whoever has only fallen silent, and for nobody who is not there any more", () => {
    const may = (table: MemberTable) => [...table.values()].map(mayWait)
    const silent = aged(joined, 901, defaultTimes).table
    assert.deepStrictEqual([may(joined), may(silent)], [[true], [true]])
    const missing = suspected(joined, pi1, 500).table
    assert.deepStrictEqual(may(missing), [false])
    assert.deepStrictEqual(may(received(missing, message("Beat", { seq: 2 }), 600, defaultTimes).table), [
      true,
    ])
    assert.deepStrictEqual(may(aged(silent, 3001, defaultTimes).table), [false])
    assert.deepStrictEqual(may(received(joined, farewell, 100, defaultTimes).table), [false])
  })

  it("keeps a device after two missed beats, suspects it after more than three, gives it up at three seconds", () => {
    assert.deepStrictEqual(aged(joined, 750, defaultTimes).events, [])
    const suspected = aged(joined, 901, defaultTimes)
    assert.deepStrictEqual(suspected.events, [{ _tag: "DeviceSuspected", device: pi1, silentMs: 901 }])
    assert.deepStrictEqual(plannable(suspected.table), [])
    const gone = aged(suspected.table, 3001, defaultTimes)
    assert.deepStrictEqual(gone.events, [
      { _tag: "DeviceLeft", device: pi1, state: "gone", note: "silent for 3001 ms" },
    ])
    assert.strictEqual(stateOf(gone.table), "gone")
    assert.strictEqual(aged(gone.table, 3001 + defaultTimes.forgetMs, defaultTimes).table.size, 0)
  })

  it("takes a suspect back at the next sign of life", () => {
    const suspected = aged(joined, 1000, defaultTimes).table
    const back = heard(suspected, pi1, 1100)
    assert.deepStrictEqual(back.events, [{ _tag: "DeviceReturned", device: pi1 }])
    assert.strictEqual(stateOf(back.table), "present")
  })

  it("does not call a device back after its farewell, unless it starts anew", () => {
    const left = received(joined, farewell, 10, defaultTimes).table
    assert.strictEqual(stateOf(left), "left")
    assert.strictEqual(stateOf(received(left, message("Beat", { seq: 9 }), 20, defaultTimes).table), "left")
    assert.strictEqual(stateOf(heard(left, pi1, 20).table), "left")
    const again = received(left, message("Hello", { nonce: "n2", pid: 2 }), 30, defaultTimes)
    assert.deepStrictEqual(again.events, [{ _tag: "DeviceJoined", device: pi1, restarted: true }])
    assert.strictEqual(stateOf(again.table), "present")
  })

  it("ignores a beat that was overtaken by a newer one", () => {
    const newer = received(joined, message("Beat", { seq: 5 }), 100, defaultTimes).table
    const late = received(newer, message("Beat", { seq: 4 }), 5000, defaultTimes).table
    assert.strictEqual(late.get(pi1)?.lastSeenMs, 100)
  })

  it("names both hosts when two devices beat under one id", () => {
    const second = message("Beat", { nonce: "n2", hostname: "host-b", pid: 7 })
    assert.deepStrictEqual(received(joined, second, 100, defaultTimes).events, [
      { _tag: "DuplicateIdSeen", device: pi1, hosts: ["host-a (pid 1)", "host-b (pid 7)"] },
    ])
  })

  it("shows a device of another protocol version but gives it no work", () => {
    const { table } = received(empty, message("Hello", { protocol: 99 }), 0, defaultTimes)
    assert.strictEqual(stateOf(table), "incompatible")
    assert.include(table.get(pi1)?.note ?? "", "protocol 99")
    assert.deepStrictEqual(plannable(table), [])
  })
})
