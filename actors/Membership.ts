/**
 * Keeps the member table of this device: hears the others and notices silence from the start, says hello once the device can
 * take work, beats, and says farewell when its scope closes. Others ask it who is there, and wait on it for news about devices that hold their work.
 */
import { Context, Effect, Layer, Schedule, type Stream } from "effect"
import { Bus, type BusShape } from "../subjects/Bus.ts"
import { swarmMessage } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { lasting } from "../subjects/Lasting.ts"
import { type Arrival, listen } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { SwarmMessage } from "../subjects/SwarmMessages.ts"
import {
  aged,
  defaultTimes,
  heard,
  mayWait,
  type Member,
  type MemberEvent,
  type MemberTable,
  type MembershipTimes,
  plannable,
  received,
  suspected,
} from "./MemberTable.ts"
import { Backlog, type BacklogShape } from "./Backlog.ts"
import { type Farewells, makeFarewells } from "./Farewell.ts"
import { type LiveTable, makeLiveTable } from "./LiveTable.ts"
import { busyMeter, lagMeter, silenceJudge } from "./Meters.ts"
import { ownIdCheck } from "./OwnId.ts"
import { Self, type SelfShape } from "./Self.ts"

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

const make = (times: MembershipTimes) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const self = yield* Self
    const backlog = yield* Backlog
    const { beatEveryMs } = times
    const me = self.device
    /** A device that left in order and is gone matters to those who still wait for it. */
    const matters = (e: MemberEvent) => e._tag !== "DeviceStopped" || backlog.inUse().includes(e.device)
    const live = yield* makeLiveTable(me, matters)
    const table = live.now

    const say = (message: SwarmMessage) =>
      Effect.suspend(() => bus.publish(Subjects.swarm(me), swarmMessage.encode(message))).pipe(Effect.ignore)
    const describe = describing({ bus, self, backlog, live, beatEveryMs })
    const waiting = () =>
      [...table().values()].flatMap((m) =>
        m.identity.device !== me && mayWait(m) ? [m.identity.device] : [],
      )
    const farewells = yield* makeFarewells({ bus, self, backlog, waiting, beatEveryMs })
    const { isLeaving } = farewells
    const beat = Effect.suspend(() => (isLeaving() ? Effect.void : say({ _tag: "Beat", ...describe() })))
    const checkOwnId = ownIdCheck({ self, beat, tell: live.tell })

    const greet = (reply: boolean) => Effect.suspend(() => say({ _tag: "Hello", ...describe(), reply }))
    const take = hearing({ self, backlog, live, farewells, times, checkOwnId, greet })
    yield* listen({ subject: Subjects.swarm(Subjects.anyDevice), input: swarmMessage, handle: take })
    const scope = yield* Effect.scope
    const beats = lasting("beats", beat).pipe(Effect.repeat(Schedule.spaced(beatEveryMs)))
    yield* watchSilence(live, times, backlog)
    yield* Effect.addFinalizer(() => farewells.leave("shut down", 0))

    const weightsFit = (m: Member) => m.status.supernet?.sha256 === self.weightsSha256
    return Membership.of({
      table,
      usable: () => plannable(table()).filter(weightsFit),
      isPresent: (device) => device === me || table().get(device)?.state === "present",
      heard: (device) => live.applyUnsafe(heard(table(), device, performance.now())),
      suspect: (device) => Effect.suspend(() => live.apply(suspected(table(), device, performance.now()))),
      events: live.events,
      awaitLoss: live.awaitLoss,
      join: Effect.asVoid(Effect.andThen(greet(false), Effect.forkIn(beats, scope))),
      left: (device) =>
        Effect.suspend(() => {
          const nonce = table().get(device)?.identity.nonce ?? ""
          const farewell = { _tag: "Farewell", device, nonce, reason: "it is leaving", drainMs: 0 } as const
          return live.apply(received(table(), farewell, performance.now(), times))
        }),
      leave: farewells.leave,
      released: farewells.released,
      takesWork: farewells.takesWork,
    })
  })

interface Hearing {
  readonly self: SelfShape
  readonly backlog: BacklogShape
  readonly live: LiveTable
  readonly farewells: Farewells
  readonly times: MembershipTimes
  readonly checkOwnId: ReturnType<typeof ownIdCheck>
  /** Says hello, or answers one. */
  readonly greet: (reply: boolean) => Effect.Effect<void>
}

/** The device that a message speaks of, which is the one that sent it. */
const speaker = (message: SwarmMessage): DeviceId =>
  message._tag === "Farewell" ? message.device : message.identity.device

/** Takes what devices say about themselves. */
const hearing = ({ self, backlog, live, farewells, times, checkOwnId, greet }: Hearing) =>
  Effect.fnUntraced(function* (message: SwarmMessage, { subject, reply, arrivedMs }: Arrival) {
    const isOwn = speaker(message) === self.device
    // The bus vouches for the sender in the subject; a message that claims to come from another one is a lie.
    if (subject !== Subjects.swarm(speaker(message))) return void self.counters.dropped++
    if (message._tag !== "Farewell" && isOwn) return yield* checkOwnId(message)
    if (message._tag === "Farewell") backlog.forget(message.device)
    else {
      const { identity, status } = message
      backlog.heard(identity.device, identity.profile, status.load.backlogMs ?? {})
    }
    yield* live.apply(received(live.now(), message, arrivedMs, times, self.identity.protocol))
    if (message._tag === "Farewell" && !isOwn) yield* farewells.letGo(message.device, message.drainMs, reply)
    if (message._tag === "Hello" && !message.reply && !farewells.isLeaving()) yield* greet(true)
  })

interface Described {
  readonly bus: BusShape
  readonly self: SelfShape
  readonly backlog: BacklogShape
  readonly live: LiveTable
  readonly beatEveryMs: number
}

/** What a hello or a beat says about this device. */
const describing = ({ bus, self, backlog, live, beatEveryMs }: Described) => {
  const lag = lagMeter()
  const busy = busyMeter(() => self.counters.computeMs)
  let seq = 0
  return () => {
    const peers = plannable(live.now()).map((m) => m.identity.device)
    const status = self.status(peers, busy(), lag(beatEveryMs), backlog.shares())
    const dropped = [...bus.endpoints].reduce((sum, e) => sum + e.bad + e.dropped, status.counts.dropped)
    const counts = { ...status.counts, dropped }
    return { seq: seq++, identity: self.identity, status: { ...status, counts } }
  }
}

/** Twice a beat: whoever has been silent for too long. Of devices that are not even listed any more, nothing is kept. */
const watchSilence = (live: LiveTable, times: MembershipTimes, backlog: BacklogShape) => {
  const everyMs = times.beatEveryMs / 2
  const lag = lagMeter()
  const mayJudge = silenceJudge(times.beatEveryMs)
  const watch = Effect.suspend(() => {
    if (!mayJudge(lag(everyMs))) return Effect.void
    const { table, events } = aged(live.now(), performance.now(), times)
    backlog.keep(table)
    return live.apply({ table, events })
  })
  return Effect.forkScoped(lasting("watch for silence", watch).pipe(Effect.repeat(Schedule.spaced(everyMs))))
}

export class Membership extends Context.Service<Membership, MembershipShape>()("actors/Membership") {
  static readonly layer = (times: MembershipTimes = defaultTimes) => Layer.effect(Membership, make(times))
}
