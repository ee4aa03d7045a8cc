import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { LinkPicture } from "../../actors/LinkPicture.ts"
import { makeLooks } from "../../actors/Looks.ts"
import { observePing, observeTransfer } from "../../devices/links/Estimator.ts"
import { emptyPath } from "../../devices/links/PathHistory.ts"
import { probePlan, wantsPing } from "../../devices/links/Probing.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const [low, high] = [DeviceId.make("a"), DeviceId.make("b")]

/** Pings that one look sends where the newest round trip is five times the others. */
const pingsOf = (device: DeviceId, peer: DeviceId) =>
  Effect.gen(function* () {
    const picture = new LinkPicture(() => undefined)
    const nowMs = performance.now()
    const trips = [10, 10, 10, 10, 50].map((roundTripMs, i) => ({ roundTripMs, nowMs: nowMs - 41 + 10 * i }))
    const pinged = trips.reduce((p, trip) => observePing(p, { ...trip, remoteMs: 0 }), emptyPath)
    // Its bandwidth is known: no probe is due.
    const probe = { bytes: 15_000, elapsedMs: 22, remoteMs: 0, nowMs: nowMs - 20, probe: true }
    const path = observeTransfer(pinged, probe)
    assert.isTrue(wantsPing(path))
    assert.isUndefined(probePlan(path, nowMs))
    picture.learn(peer, "probe", () => path)
    let pings = 0
    const ping = () =>
      Effect.sync(() => {
        pings++
        const again = { roundTripMs: 10, remoteMs: 0, nowMs: performance.now() }
        picture.learn(peer, "probe", (p) => observePing(p, again))
      })
    const { look } = yield* makeLooks(device, picture, { ping, bulk: () => Effect.void }, 500)
    yield* look(peer)
    return pings
  }).pipe(Effect.scoped)

it.live("of a pair only the pinger pings again when a round trip is in doubt", () =>
  Effect.gen(function* () {
    assert.isAtLeast(yield* pingsOf(low, high), 1)
    assert.strictEqual(yield* pingsOf(high, low), 0)
  }),
)
