/**
 * Looks after the others between their beats. A process that died leaves its subscriptions behind at once, while silence has
 * to last for three beats to mean something. So a device that has missed a beat is pinged, and one that holds this device's
 * work as soon as it has said nothing for a moment; where nobody listens any more, it is out of plans, and its work is taken
 * back, within a fraction of a second.
 */
import { Effect, Layer } from "effect"
import { Bus } from "../subjects/Bus.ts"
import { probeRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { lasting } from "../subjects/Lasting.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { Backlog } from "./Backlog.ts"
import { Membership } from "./Membership.ts"
import type { Member, MembershipTimes } from "./MemberTable.ts"
import { Self } from "./Self.ts"

/** How long a device that holds work may be silent. 300 bytes a time: 1 % of a 5 Mbps link. */
const silentMs = 50
const lookEveryMs = 25
/** While nobody holds any: whoever takes some then is looked at as soon as one that has just said something. */
const idleLookEveryMs = silentMs + lookEveryMs
/** The longest pause between two pings to a device that answers none. */
const longestGapMs = 800
/** Silence of any device, in beats: one is missed, and not only late. */
const missedBeats = 1.4
const answerWithinMs = 2000

/** The last ping to a device, and when the next one may follow. */
interface Asked {
  readonly atMs: number
  readonly gapMs: number
}

const make = Effect.fnUntraced(function* ({ beatEveryMs }: Pick<MembershipTimes, "beatEveryMs">) {
  const bus = yield* Bus
  const self = yield* Self
  const backlog = yield* Backlog
  const membership = yield* Membership
  const asked = new Map<DeviceId, Asked>()
  let seq = 0

  const ping = (device: DeviceId) =>
    Effect.suspend(() => {
      const request = probeRequest.encode({ from: self.device, seq: seq++, kind: "ping" })
      return bus.request(Subjects.probe(device), request, { timeoutMs: answerWithinMs })
    }).pipe(
      Effect.matchEffect({
        onSuccess: () =>
          Effect.sync(() => {
            asked.set(device, { atMs: asked.get(device)?.atMs ?? 0, gapMs: silentMs })
            membership.heard(device)
          }),
        // Late is no proof of death: the link may be slow, and the deadlines of what it holds go on.
        onFailure: (e) => (e._tag === "NobodyListens" ? membership.suspect(device) : Effect.void),
      }),
    )
  /**
   * An unanswered ping does not hold up the next one: a process that dies with a ping unread never answers it, and only the
   * next one finds nobody. Each comes after twice as long, for a device that is only slow.
   */
  const isDue = ({ identity: { device }, lastSeenMs }: Member, now: number): boolean => {
    const last = asked.get(device)
    const isFirst = last === undefined || last.atMs < lastSeenMs
    if (!isFirst && now - last.atMs < last.gapMs) return false
    asked.set(device, { atMs: now, gapMs: isFirst ? silentMs : Math.min(longestGapMs, 2 * last.gapMs) })
    return true
  }
  /** Who should have said something by now. A device that drains says nothing more, but may hold work. */
  const silent = () => {
    const now = performance.now()
    const table = membership.table()
    for (const device of asked.keys()) if (!table.has(device)) asked.delete(device)
    const working = new Set(backlog.inUse())
    return [...table.values()].flatMap((member) => {
      const { device } = member.identity
      const limitMs = working.has(device) ? silentMs : missedBeats * beatEveryMs
      const counts = member.state === "present" || (member.drainsUntilMs !== undefined && working.has(device))
      const isSilent = counts && now - member.lastSeenMs > limitMs
      return isSilent && device !== self.device && isDue(member, now) ? [device] : []
    })
  }
  const look = Effect.suspend(() =>
    Effect.forEach(silent(), (d) => Effect.forkScoped(ping(d)), { discard: true }),
  )
  const pause = Effect.suspend(() =>
    Effect.sleep(backlog.inUse().length === 0 ? idleLookEveryMs : lookEveryMs),
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(lasting("watch", look), pause)))
})

export const watchLayer = (times: Pick<MembershipTimes, "beatEveryMs">) => Layer.effectDiscard(make(times))
