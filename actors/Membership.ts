/**
 * Keeps the member table of this device: hears the others and notices silence from the start, says hello once the device can
 * take work, beats, and says farewell when its scope closes. Others ask it who is there, and wait on it for news about devices that hold their work.
 */
import { Context, Effect, Layer, PubSub, Schedule, Stream } from "effect"
import { Bus } from "../subjects/Bus.ts"
import { swarmMessage } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Arrival, listen } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { SwarmMessage } from "../subjects/SwarmMessages.ts"
import {
  aged,
  type Change,
  defaultTimes,
  heard,
  holdsOn,
  mayWait,
  type Member,
  type MemberEvent,
  type MemberTable,
  type MembershipTimes,
  plannable,
  received,
  suspected,
} from "./MemberTable.ts"
import { Backlog } from "./Backlog.ts"
import { makeFarewells } from "./Farewell.ts"
import { Self } from "./Self.ts"

export interface MembershipShape {
  readonly table: () => MemberTable
  /** Other devices that are present and hold the same weights, by id. */
  readonly usable: () => ReadonlyArray<Member>
  readonly isPresent: (device: DeviceId) => boolean
  /** A sign of life that did not come as a beat. */
  readonly heard: (device: DeviceId) => void
  /** Nobody listens where this device should: it ends new plans with it and the wait for what it holds. A beat clears it. */
  readonly suspect: (device: DeviceId) => Effect.Effect<void>
  readonly events: Stream.Stream<MemberEvent>
  /**
   * Completes when one of these devices is suspected, gone or restarted; at once when one already is. One that has said
   * farewell finishes what it holds: it is lost only when its process is over.
   */
  readonly awaitLoss: (devices: ReadonlyArray<DeviceId>) => Effect.Effect<DeviceId>
  /** Says hello, and beats from then on: called when this device can take work. */
  readonly join: Effect.Effect<void>
  /** A device refused work because it is leaving: its farewell did not get here. */
  readonly left: (device: DeviceId) => Effect.Effect<void>
  /** Says farewell, in place of beats. The others answer when they wait for nothing of this device any more. */
  readonly leave: (reason: string, drainMs: number) => Effect.Effect<void>
  /** After `leave`: completes when all others have let this device go, or its drain time is over. */
  readonly released: Effect.Effect<void>
  /** Whether this device still takes tiles: until it is released. */
  readonly takesWork: () => boolean
}

/** Event-loop lag between two beats: how much later than asked a timer fires. */
const lagMeter = () => {
  let last = performance.now()
  return (everyMs: number) => {
    const now = performance.now()
    const lag = Math.max(0, now - last - everyMs)
    last = now
    return lag
  }
}

const busyMeter = (computeMs: () => number) => {
  let last = { at: performance.now(), ms: computeMs() }
  return () => {
    const now = { at: performance.now(), ms: computeMs() }
    const share = (now.ms - last.ms) / Math.max(1, now.at - last.at)
    last = now
    return Math.min(1, Math.max(0, share))
  }
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

const make = (times: MembershipTimes) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const self = yield* Self
    const backlog = yield* Backlog
    const me = self.device
    const events = yield* PubSub.sliding<MemberEvent>(256)
    let table: MemberTable = new Map()
    let seq = 0
    const lag = lagMeter()
    const busy = busyMeter(() => self.counters.computeMs)

    /** A device that left in order and is gone matters to those who still wait for it. */
    const matters = (e: MemberEvent) => e._tag !== "DeviceStopped" || backlog.inUse().includes(e.device)
    const apply = (change: Change) => {
      table = change.table
      return Effect.forEach(
        change.events.filter(matters),
        (e) => Effect.andThen(logEvent(e), PubSub.publish(events, e)),
        {
          discard: true,
        },
      )
    }
    const isPresent = (device: DeviceId) => device === me || table.get(device)?.state === "present"
    const isLost = (device: DeviceId) => {
      const member = table.get(device)
      return device !== me && (member === undefined || !holdsOn(member))
    }
    const describe = () => {
      const peers = plannable(table).map((m) => m.identity.device)
      const status = self.status(peers, busy(), lag(times.beatEveryMs), backlog.shares())
      const dropped = [...bus.endpoints].reduce((sum, e) => sum + e.bad + e.dropped, status.counts.dropped)
      const counts = { ...status.counts, dropped }
      return { seq: seq++, identity: self.identity, status: { ...status, counts } }
    }
    const say = (message: SwarmMessage) =>
      Effect.suspend(() => bus.publish(Subjects.swarm(me), swarmMessage.encode(message))).pipe(Effect.ignore)
    const waiting = () =>
      [...table.values()].flatMap((m) => (m.identity.device !== me && mayWait(m) ? [m.identity.device] : []))
    const { beatEveryMs } = times
    const farewells = yield* makeFarewells({ bus, self, backlog, waiting, beatEveryMs })
    const { isLeaving } = farewells
    const beat = Effect.suspend(() => (isLeaving() ? Effect.void : say({ _tag: "Beat", ...describe() })))

    const take = Effect.fnUntraced(function* (message: SwarmMessage, { reply, arrivedMs: now }: Arrival) {
      if (message._tag !== "Farewell" && message.identity.device === me) {
        return yield* checkOwnId(message)
      }
      if (message._tag === "Farewell") backlog.forget(message.device)
      else {
        const { identity, status } = message
        backlog.heard(identity.device, identity.profile, status.load.backlogMs ?? {})
      }
      yield* apply(received(table, message, now, times, self.identity.protocol))
      if (message._tag === "Farewell" && message.device !== me)
        yield* farewells.letGo(message.device, message.drainMs, reply)
      if (message._tag === "Hello" && !message.reply && !isLeaving())
        yield* say({ _tag: "Hello", ...describe(), reply: true })
    })
    let intruder = ""
    /** Another process speaks under this device's id: the one that started later hears of it and gives up (see `up`). */
    const checkOwnId = Effect.fnUntraced(function* (message: Exclude<SwarmMessage, { _tag: "Farewell" }>) {
      const { nonce, hostname, pid } = message.identity
      if (nonce === self.identity.nonce) return
      const other = `${hostname} (pid ${pid})`
      const mine = `${self.identity.hostname} (pid ${self.identity.pid})`
      self.noteError("DuplicateId", `${other} also calls itself ${me}`)
      const lead = self.status([], 0, 0, {}).upMs - message.status.upMs
      if (lead < 0 || (lead === 0 && nonce < self.identity.nonce)) {
        yield* PubSub.publish(events, { _tag: "DuplicateIdSeen", device: me, hosts: [mine, other] })
        return
      }
      // It learns of this device from the next beat at the latest; better before it does anything.
      yield* beat
      if (nonce !== intruder)
        yield* Effect.logError(`${other} started as ${me}, which is this device, ${mine}`)
      intruder = nonce
    })

    yield* listen({
      subject: Subjects.swarm(Subjects.anyDevice),
      input: swarmMessage,
      handle: take,
    })
    const scope = yield* Effect.scope
    const beats = beat.pipe(Effect.repeat(Schedule.spaced(times.beatEveryMs)), Effect.ignore)
    const join = Effect.suspend(() =>
      Effect.andThen(say({ _tag: "Hello", ...describe(), reply: false }), Effect.forkIn(beats, scope)),
    )
    const watchEveryMs = times.beatEveryMs / 2
    const watchLag = lagMeter()
    const watch = Effect.suspend(() => {
      // After a pause of this process (a busy thread, SIGSTOP) the others' beats are still to be read: they were not silent.
      if (watchLag(watchEveryMs) > times.beatEveryMs) return Effect.void
      return apply(aged(table, performance.now(), times))
    })
    yield* Effect.forkScoped(watch.pipe(Effect.repeat(Schedule.spaced(watchEveryMs))))

    yield* Effect.addFinalizer(() => farewells.leave("shut down", 0))
    const left = (device: DeviceId) =>
      Effect.suspend(() => {
        const nonce = table.get(device)?.identity.nonce ?? ""
        const farewell = { _tag: "Farewell", device, nonce, reason: "it is leaving", drainMs: 0 } as const
        return apply(received(table, farewell, performance.now(), times))
      })

    const weightsFit = (m: Member) => m.status.supernet?.sha256 === self.weightsSha256
    return Membership.of({
      table: () => table,
      usable: () => plannable(table).filter(weightsFit),
      isPresent,
      heard: (device) => {
        const change = heard(table, device, performance.now())
        table = change.table
      },
      suspect: (device) => Effect.suspend(() => apply(suspected(table, device, performance.now()))),
      events: Stream.fromPubSub(events),
      awaitLoss: (devices) =>
        Effect.scoped(
          Effect.gen(function* () {
            const news = yield* PubSub.subscribe(events)
            const lost = devices.find(isLost)
            if (lost !== undefined) return lost
            while (true) {
              const event = yield* PubSub.take(news)
              if (isLoss(event) && devices.includes(event.device)) return event.device
            }
          }),
        ),
      join: Effect.asVoid(join),
      left,
      leave: farewells.leave,
      released: farewells.released,
      takesWork: farewells.takesWork,
    })
  })

export class Membership extends Context.Service<Membership, MembershipShape>()("actors/Membership") {
  static readonly layer = (times: MembershipTimes = defaultTimes) => Layer.effect(Membership, make(times))
}
