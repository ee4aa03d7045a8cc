import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, vi } from "vitest"
import { reconfigRequest } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { protocolVersion } from "../../subjects/SwarmMessages.ts"
import { localStrategy, strategyId } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import {
  acquainted,
  ask,
  expectedLogits,
  middleMoved,
  plannable,
  sharedDevices,
  tensorOf,
  type TestDevice,
} from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"
import { largestDifference, tinySpec } from "../supernet/Tiny.ts"

vi.setConfig({ testTimeout: 90_000 })

const [first, second, third] = ["pi-1", "pi-2", "pi-3"].map((id) => DeviceId.make(id)) as [
  DeviceId,
  DeviceId,
  DeviceId,
]
const waitMs = 30_000
const older = { protocol: protocolVersion, version: "0.0.1" }
const newer = { protocol: protocolVersion, version: "9.0.0" }
const inSwarm = sharedDevices(1, { later: [second, third] })

const submodel = maxSubmodel(tinySpec, 64)
const local = localStrategy(tinySpec, submodel, first)
const middleOn = (device: DeviceId) => middleMoved(local, device)

describe("versions in one swarm", () => {
  it.live(
    "a device of another protocol is listed with what is wrong, gets no work, and is refused by name",
    () =>
      inSwarm(({ devices: [a], start }) =>
        Effect.gen(function* () {
          assert(a !== undefined)
          const b = yield* start(second, { software: { protocol: protocolVersion + 1, version: "9.0.0" } })
          const noted = (d: TestDevice, other: DeviceId) => d.membership.table().get(other)
          yield* waitUntil("it is listed", () => noted(a, second) !== undefined, waitMs)
          yield* waitUntil("it lists the other", () => noted(b, first) !== undefined, waitMs)
          assert.strictEqual(noted(a, second)?.state, "incompatible")
          assert.include(noted(a, second)?.note ?? "", "murmuration 9.0.0")
          assert.include(noted(a, second)?.note ?? "", "upgrade this device")
          assert.include(noted(b, first)?.note ?? "", "upgrade that one")
          assert.deepStrictEqual([plannable(a), plannable(b)], [[first], [second]])

          const strategy = middleOn(second)
          const { name, version } = tinySpec
          const id = strategyId(tinySpec, strategy)
          const request = { from: second, strategyId: id, strategy, supernet: { name, version } }
          const subject = Subjects.reconfig(first)
          const message = reconfigRequest.encode(request)
          const error = yield* Effect.flip(b.bus.request(subject, message, { timeoutMs: waitMs }))
          assert.strictEqual(error._tag === "Refused" ? error.tag : error._tag, "Incompatible")
          assert.include(error.message, "pi-2 speaks protocol 2")
        }),
      ),
  )

  it.live("an older device of the same protocol works like any other", () =>
    inSwarm(({ devices: [a], clients: [client], start }) =>
      Effect.gen(function* () {
        assert(a !== undefined)
        const c = yield* start(third, { software: older })
        yield* acquainted([a, c])
        assert.strictEqual(a.membership.table().get(third)?.identity.versions["murmuration"], "0.0.1")
        const strategy = middleOn(third)
        const wanted = { tensor: tensorOf(64, 1), strategy, include: ["logits", "timeline"] } as const
        const reply = yield* ask(client, { ...wanted, deadlineMs: 40_000 })
        assert.isTrue(reply.timeline?.some((t) => t.device === third))
        const logits = Float32Array.from(reply.logits ?? [])
        assert.isBelow(largestDifference(logits, yield* expectedLogits(strategy, 1)), 1e-4)
      }),
    ),
  )

  it.live("devices are upgraded one after the other while requests flow, and every request is answered", () =>
    inSwarm(({ devices: [a], clients: [client], start }) =>
      Effect.gen(function* () {
        assert(a !== undefined)
        const others = [yield* start(second, { software: older }), yield* start(third, { software: older })]
        yield* acquainted([a, ...others])
        let upgrading = true
        const asking = Effect.suspend(() =>
          ask(client, { tensor: tensorOf(64, 1), slo: { latencyMs: 200 }, deadlineMs: 20_000, attempts: 4 }),
        ).pipe(Effect.repeat({ while: () => upgrading }))
        const flow = yield* Effect.forkChild(Effect.all([asking, asking, asking], { concurrency: 3 }))
        for (const device of others) {
          yield* device.leave
          const upgraded = yield* start(device.id, { software: newer })
          const versionOf = () => a.membership.table().get(device.id)?.identity.versions["murmuration"]
          yield* waitUntil(
            "it is back",
            () => versionOf() === newer.version && plannable(a).length === 3,
            waitMs,
          )
          assert.strictEqual(upgraded.id, device.id)
        }
        upgrading = false
        // Any error of any request fails the flow.
        const replies = yield* Fiber.join(flow)
        assert.lengthOf(replies, 3)
        assert.isAbove(a.self.counters.answered, 6)
      }),
    ),
  )
})
