/**
 * Looks after those who hold this device's work. A process that died leaves its subscriptions behind at once, while silence
 * has to last for three beats to mean something: so devices that hold work and have said nothing for a moment are pinged,
 * and where nobody listens any more, the work is taken back within a fraction of a second.
 */
import { Effect, Layer, Schedule } from "effect"
import { Bus } from "../subjects/Bus.ts"
import { probeRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { Backlog } from "./Backlog.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"

/** How often, and how long a device may be silent before it is asked. 300 bytes a time: 0.5 % of a 5 Mbps link. */
const everyMs = 100
const answerWithinMs = 2000

const make = Effect.gen(function* () {
  const bus = yield* Bus
  const self = yield* Self
  const backlog = yield* Backlog
  const membership = yield* Membership
  const asked = new Set<DeviceId>()
  let seq = 0

  const ping = (device: DeviceId) =>
    Effect.suspend(() => {
      asked.add(device)
      const request = probeRequest.encode({ from: self.device, seq: seq++, kind: "ping" })
      return bus.request(Subjects.probe(device), request, { timeoutMs: answerWithinMs })
    }).pipe(
      Effect.matchEffect({
        onSuccess: () => Effect.sync(() => membership.heard(device)),
        // Late is no proof of death: the link may be slow, and the deadlines of what it holds go on.
        onFailure: (e) => (e._tag === "NobodyListens" ? membership.suspect(device) : Effect.void),
      }),
      Effect.ensuring(Effect.sync(() => asked.delete(device))),
    )
  const look = Effect.suspend(() => {
    const now = performance.now()
    const silent = backlog.inUse().filter((device) => {
      const member = membership.table().get(device)
      return member?.state === "present" && now - member.lastSeenMs > everyMs && !asked.has(device)
    })
    return Effect.forEach(silent, (d) => Effect.forkScoped(ping(d)), { discard: true })
  })
  yield* Effect.forkScoped(look.pipe(Effect.repeat(Schedule.spaced(everyMs))))
})

export const watchLayer = Layer.effectDiscard(make)
