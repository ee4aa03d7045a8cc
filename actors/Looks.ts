/** Looks at the paths to other devices: one at a time at each, with as many samples as settle what it puts in doubt. */
import { Effect, FiberMap } from "effect"
import { probePlan, wantsPing } from "../devices/links/Probing.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { lastingEach } from "../subjects/Lasting.ts"
import type { LinkPicture } from "./LinkPicture.ts"
import { isPinger, type Probes } from "./Probes.ts"

export interface Looks {
  readonly look: (peer: DeviceId) => Effect.Effect<void>
  /** Beside, unless one is under way. */
  readonly lookNow: (peer: DeviceId) => void
}

/** Between the samples that settle a doubt, and how many of them one look takes at most. */
const againMs = 60
const mostAgain = 6

export const makeLooks = (device: DeviceId, picture: LinkPicture, probes: Probes, lookEveryMs: number) =>
  Effect.gen(function* () {
    const looking = yield* FiberMap.make<DeviceId, void>()
    const runLook = yield* FiberMap.runtime(looking)()

    const lastPingMs = (peer: DeviceId) => picture.path(peer).pings.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
    /** The other one of the pair pings, unless it has not been heard of for too long. */
    const isPingOurs = (peer: DeviceId) =>
      isPinger(device, peer) || performance.now() - lastPingMs(peer) > 3 * lookEveryMs
    /** The pinger settles also what its pings put in doubt; of what a transfer of ours puts in doubt it does not know. */
    const isDoubtOurs = (peer: DeviceId) => {
      const last = picture.path(peer).transfers.at(-1)
      return isPingOurs(peer) || (last !== undefined && lastPingMs(peer) < last.atMs)
    }
    const look = lastingEach("looks at links", (peer: DeviceId) =>
      Effect.gen(function* () {
        if (isPingOurs(peer)) yield* probes.ping(peer)
        for (let again = 0; again < mostAgain; again++) {
          const nowMs = performance.now()
          const path = picture.path(peer)
          const plan = probePlan(path, nowMs, picture.witness(peer))
          if (plan !== undefined) yield* probes.bulk(peer, plan.bytes)
          else if (wantsPing(path) && isDoubtOurs(peer)) yield* probes.ping(peer)
          else break
          yield* Effect.sleep(againMs)
        }
      }),
    )
    const lookNow = (peer: DeviceId) => {
      if (!FiberMap.hasUnsafe(looking, peer)) runLook(peer, look(peer))
    }
    const looks: Looks = { look, lookNow }
    return looks
  })
