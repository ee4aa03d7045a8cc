import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Schedule } from "effect"
import { Backlog } from "../../actors/Backlog.ts"
import { Membership } from "../../actors/Membership.ts"
import { Self } from "../../actors/Self.ts"
import { watchLayer } from "../../actors/Watch.ts"
import { localSwarm } from "../../deploy/LocalSwarm.ts"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { connectAs } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

const [here, there] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]

/** Looks after one device that holds work and never says anything; completes when nobody was found there. */
const watching = (bus: BusShape) =>
  Effect.gen(function* () {
    const missing = yield* Deferred.make<DeviceId>()
    const member = { identity: { device: there }, state: "present", lastSeenMs: 0 }
    const membership = {
      table: () => new Map([[there, member]]),
      suspect: (device: DeviceId) => Effect.asVoid(Deferred.succeed(missing, device)),
      heard: () => undefined,
    }
    const fakes = Layer.mergeAll(
      Layer.succeed(Bus, bus),
      Layer.succeed(Self, { device: here } as unknown as Self["Service"]),
      Layer.succeed(Backlog, { inUse: () => [there] } as unknown as Backlog["Service"]),
      Layer.succeed(Membership, membership as unknown as Membership["Service"]),
    )
    yield* Layer.build(Layer.provide(watchLayer({ beatEveryMs: 250 }), fakes))
    return missing
  })

/** How long one that dies with a ping unread is not missed, ms. */
const missedAfterMs = (a: BusShape, b: BusShape) =>
  Effect.gen(function* () {
    let pings = 0
    // Gets pings and answers none: as a process that is killed before it has read them.
    const dying = b.nats.subscribe(Subjects.probe(there), { callback: () => void pings++ })
    // That it listens takes a moment to be known at the other leaf.
    yield* a.request(Subjects.probe(there), new Uint8Array(1), { timeoutMs: 20 }).pipe(
      Effect.flip,
      Effect.filterOrFail((e) => e._tag === "Late"),
      Effect.retry({ times: 1000, schedule: Schedule.spaced("5 millis") }),
    )
    const before = pings
    const missing = yield* watching(a)
    yield* waitUntil("a ping is on its way", () => pings > before)
    assert.isFalse(yield* Deferred.isDone(missing))
    const diedMs = performance.now()
    dying.unsubscribe()
    assert.strictEqual(yield* Deferred.await(missing), there)
    return performance.now() - diedMs
  }).pipe(Effect.scoped)

describe("a device that holds work", () => {
  it.live("is missed soon after it died, also when a ping lay unread in it", () =>
    Effect.gen(function* () {
      const servers = yield* localSwarm([here, there])
      const [a, b] = [yield* connectAs(servers.deviceBus(here)), yield* connectAs(servers.deviceBus(there))]
      // An unanswered ping ends after two seconds: whoever waits for it is never sooner, a busy machine only sometimes later.
      let soonestMs = yield* missedAfterMs(a, b)
      for (let n = 0; soonestMs >= 1500 && n < 4; n++)
        soonestMs = Math.min(soonestMs, yield* missedAfterMs(a, b))
      assert.isBelow(soonestMs, 1500)
    }).pipe(Effect.scoped),
  )
})
