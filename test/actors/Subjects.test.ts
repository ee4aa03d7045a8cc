import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import type { BusShape } from "../../subjects/Bus.ts"
import type { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { below, type Random, seededRandom } from "../../supernet/Random.ts"
import { connectAs } from "../support/Buses.ts"
import { ask, sharedDevices, tensorOf } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

const inSwarm = sharedDevices(2)
const timeoutMs = 5000

const requestSubjects = (d: DeviceId) => [
  Subjects.infer,
  Subjects.inferAt(d),
  Subjects.plan(d),
  Subjects.reconfig(d),
  Subjects.probe(d),
]
const oneWaySubjects = (d: DeviceId, from: DeviceId) => [
  Subjects.tile(d, from),
  Subjects.result(d, from),
  Subjects.link(from),
  Subjects.forecast(d),
  Subjects.swarm(from),
]

/** Bytes that are no message of ours: noise, cut CBOR, wrong CBOR, cut and wrong JSON, hostile nesting and lengths. */
const garbage = (random: Random): ReadonlyArray<Uint8Array> => [
  new Uint8Array(),
  Uint8Array.from({ length: 1 + below(random, 300) }, () => random.next() * 256),
  new Uint8Array([0xa1, 0x61]),
  new Uint8Array([0xa1, 0x61, 0x78, 0x01]),
  new Uint8Array([0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
  new Uint8Array(2000).fill(0x81),
  Buffer.from("{"),
  Buffer.from('{"image": 3, "slo": [], "__proto__": {"a": 1}}'),
  Buffer.from("hello"),
  Buffer.from([0x7b, 0xff, 0xfe]),
]

const replyTag = (bus: BusShape, subject: string, bytes: Uint8Array) =>
  bus.request(subject, bytes, { timeoutMs }).pipe(
    Effect.flip,
    Effect.map((e) => (e._tag === "Refused" ? e.tag : e._tag)),
  )

describe("garbage", () => {
  it.live("on every request subject gets a typed error at once, never silence", () =>
    inSwarm(({ servers, devices: [one] }) =>
      Effect.gen(function* () {
        const operator = yield* connectAs(servers.operatorBus)
        const random = seededRandom(11)
        if (one === undefined) return assert.fail("no device")
        for (const subject of requestSubjects(one.id)) {
          for (const bytes of garbage(random)) {
            assert.include(
              ["BadRequest", "UnknownSlo", "BadImage"],
              yield* replyTag(operator, subject, bytes),
              subject,
            )
          }
        }
      }).pipe(Effect.scoped),
    ),
  )

  it.live("on every one-way subject is dropped, counted, and stops nobody", () =>
    inSwarm(({ servers, devices: [one, two], clients: [client] }) =>
      Effect.gen(function* () {
        const operator = yield* connectAs(servers.operatorBus)
        const random = seededRandom(12)
        if (one === undefined || two === undefined) return assert.fail("too few devices")
        const before = [...one.bus.endpoints].reduce((sum, e) => sum + e.bad, 0)
        for (const subject of oneWaySubjects(one.id, two.id)) {
          for (const bytes of garbage(random)) yield* operator.publish(subject, bytes)
        }
        const counted = () => [...one.bus.endpoints].reduce((sum, e) => sum + e.bad, 0) - before
        yield* waitUntil("the garbage to be counted", () => counted() >= 30)
        const tensor = tensorOf(64, 1)
        const reply = yield* ask(client, { tensor, slo: { latencyMs: 1000 } })
        assert.strictEqual(reply.device, one.id)
      }).pipe(Effect.scoped),
    ),
  )
})

describe("nats micro", () => {
  it.live("shows every actor of every device, with its endpoints and what they did", () =>
    inSwarm(({ servers, devices }) =>
      Effect.gen(function* () {
        const operator = yield* connectAs(servers.operatorBus)
        const gather = (subject: string) =>
          Effect.promise(async () => {
            const options = { strategy: "timer" as never, maxWait: 400 }
            const answers: Array<{
              name: string
              metadata: { device: string }
              endpoints: ReadonlyArray<never>
            }> = []
            for await (const m of await operator.nats.requestMany(subject, new Uint8Array(), options)) {
              answers.push(m.json())
            }
            return answers
          })
        /** Asks again where not all answered in time, as on a busy machine. */
        const gatherAll = Effect.fnUntraced(function* (subject: string, count: number) {
          let answers = yield* gather(subject)
          for (let n = 0; answers.length < count && n < 20; n++) answers = yield* gather(subject)
          return answers
        })
        const actors = ["executor", "membership", "monitor", "planner", "predictor", "reconfig", "scheduler"]
        const infos = yield* gatherAll("$SRV.INFO", devices.length * actors.length)
        for (const { id } of devices) {
          const names = infos.filter((i) => i.metadata.device === id).map((i) => i.name)
          assert.deepStrictEqual(names.sort(), actors)
        }
        const schedulers = yield* gatherAll("$SRV.STATS.scheduler", devices.length)
        assert.sameMembers(
          schedulers.map((s) => s.metadata.device),
          devices.map((d) => d.id),
        )
        for (const { endpoints } of schedulers)
          assert.include(JSON.stringify(endpoints), '"subject":"infer.request"')
      }).pipe(Effect.scoped),
    ),
  )
})
