/** The member table as it changes, and news of its changes for those who wait on them. How it changes is `MemberTable.ts`. */
import { Effect, PubSub, Stream } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Change, holdsOn, type MemberEvent, type MemberTable } from "./MemberTable.ts"

export interface LiveTable {
  readonly now: () => MemberTable
  /** Takes what has changed, and tells of it. */
  readonly apply: (change: Change) => Effect.Effect<void>
  /** The same at once, for callbacks of the network: a suspect that was heard of is planned with again. Nothing is logged. */
  readonly applyUnsafe: (change: Change) => void
  readonly tell: (event: MemberEvent) => Effect.Effect<void>
  readonly events: Stream.Stream<MemberEvent>
  /** Completes when one of these devices is lost; at once when one already is. */
  readonly awaitLoss: (devices: ReadonlyArray<DeviceId>) => Effect.Effect<DeviceId>
}

const isLoss = (event: MemberEvent): boolean =>
  (event._tag === "DeviceLeft" && event.state === "gone") ||
  event._tag === "DeviceStopped" ||
  event._tag === "DeviceIncompatible" ||
  event._tag === "DeviceSuspected" ||
  (event._tag === "DeviceJoined" && event.restarted)

const logEvent = (event: MemberEvent) => {
  if (event._tag === "DeviceJoined")
    return Effect.logInfo(`${event.device} ${event.restarted ? "restarted" : "joined"}`)
  if (event._tag === "DeviceIncompatible")
    return Effect.logWarning(`${event.device} gets no work: it ${event.note}`)
  if (event._tag === "DeviceLeft") return Effect.logInfo(`${event.device} is ${event.state}: ${event.note}`)
  if (event._tag === "DuplicateIdSeen") {
    return Effect.logError(
      `two devices call themselves ${event.device}: ${event.hosts.join(" and ")}; give one another id`,
    )
  }
  return Effect.logDebug(`${event._tag} ${event.device}`)
}

/** `matters`: which events are told. */
export const makeLiveTable = (me: DeviceId, matters: (event: MemberEvent) => boolean) =>
  Effect.gen(function* () {
    const news = yield* PubSub.sliding<MemberEvent>(256)
    let table: MemberTable = new Map()
    const tell = (event: MemberEvent) => Effect.asVoid(PubSub.publish(news, event))
    const isLost = (device: DeviceId) => {
      const member = table.get(device)
      return device !== me && (member === undefined || !holdsOn(member))
    }
    const live: LiveTable = {
      now: () => table,
      applyUnsafe: (change) => {
        table = change.table
        for (const event of change.events.filter(matters)) PubSub.publishUnsafe(news, event)
      },
      apply: (change) => {
        table = change.table
        const told = change.events.filter(matters)
        return Effect.forEach(told, (e) => Effect.andThen(logEvent(e), tell(e)), { discard: true })
      },
      tell,
      events: Stream.fromPubSub(news),
      awaitLoss: (devices) =>
        Effect.scoped(
          Effect.gen(function* () {
            const heard = yield* PubSub.subscribe(news)
            const lost = devices.find(isLost)
            if (lost !== undefined) return lost
            while (true) {
              const event = yield* PubSub.take(heard)
              if (isLoss(event) && devices.includes(event.device)) return event.device
            }
          }),
        ),
    }
    return live
  })
