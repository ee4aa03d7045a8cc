/**
 * Leaving in order. A farewell asks the others to let go: each answers as soon as it waits for nothing of the leaving device
 * any more, and until then the device takes tiles of what was planned before. So nobody's request is late for it, and the
 * device is gone as soon as it can be. It is said again in place of each beat: whoever missed it would take the silence that
 * follows for death, and whoever was away for a moment answers late.
 */
import { Effect, type Scope, Schedule } from "effect"
import { createInbox } from "nats"
import type { BusShape } from "../subjects/Bus.ts"
import { swarmMessage } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { lasting, lastingEach } from "../subjects/Lasting.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { Backlog } from "./Backlog.ts"
import type { Self } from "./Self.ts"

const lookEvery = Schedule.spaced("10 millis")

export interface Farewells {
  readonly isLeaving: () => boolean
  readonly leave: (reason: string, drainMs: number) => Effect.Effect<void>
  readonly released: Effect.Effect<void>
  readonly takesWork: () => boolean
  /** Another device leaves: answers it once nothing that this device serves waits for it. */
  readonly letGo: (device: DeviceId, drainMs: number, reply: string) => Effect.Effect<void>
}

interface Needs {
  readonly bus: BusShape
  readonly self: Pick<Self["Service"], "device" | "identity">
  readonly backlog: Pick<Backlog["Service"], "inUse">
  /** Other devices that may wait for something of this one. */
  readonly waiting: () => ReadonlyArray<DeviceId>
  readonly beatEveryMs: number
}

/** Answers the farewells of other devices. */
const letting = ({ bus, self, backlog }: Pick<Needs, "bus" | "self" | "backlog">) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    /** Farewells, by where they are answered, that have no answer yet. */
    const open = new Set<string>()
    return (device: DeviceId, drainMs: number, reply: string) =>
      Effect.suspend(() => {
        if (reply === "" || open.has(reply)) return Effect.void
        open.add(reply)
        const isUsed = Effect.sync(() => backlog.inUse().includes(device))
        const done = Effect.repeat(isUsed, { schedule: lookEvery, while: (used: boolean) => used })
        const answer = Effect.suspend(() => bus.publish(reply, new TextEncoder().encode(self.device)))
        const both = Effect.andThen(Effect.timeoutOption(done, Math.max(1, drainMs)), answer).pipe(
          Effect.ensuring(Effect.sync(() => open.delete(reply))),
        )
        return Effect.asVoid(Effect.forkIn(lasting("answers to farewells", both), scope))
      })
  })

export const makeFarewells = ({
  bus,
  self,
  backlog,
  waiting,
  beatEveryMs,
}: Needs): Effect.Effect<Farewells, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const inbox = createInbox()
    const answered = new Set<DeviceId>()
    let untilMs = Number.POSITIVE_INFINITY
    let [leaving, over] = [false, false]

    const said = lastingEach("farewells", (said: { readonly reason: string; readonly drainMs: number }) => {
      const { nonce } = self.identity
      const farewell = { _tag: "Farewell", device: self.device, nonce, ...said } as const
      return bus.publish(Subjects.swarm(self.device), swarmMessage.encode(farewell), inbox)
    })
    const say = (reason: string, drainMs: number) => said({ reason, drainMs })
    const isHeld = () =>
      leaving && !over && performance.now() < untilMs && waiting().some((d) => !answered.has(d))
    const sayAgain = (reason: string) =>
      Effect.suspend(() => (isHeld() ? say(reason, untilMs - performance.now()) : Effect.void)).pipe(
        Effect.repeat({ schedule: Schedule.spaced(beatEveryMs), while: isHeld }),
      )
    const leave = (reason: string, drainMs: number) =>
      Effect.suspend(() => {
        if (leaving) return Effect.void
        leaving = true
        untilMs = performance.now() + drainMs
        bus.nats.subscribe(inbox, {
          callback: (_, m) => void answered.add(new TextDecoder().decode(m.data) as DeviceId),
        })
        if (drainMs <= 0) return say(reason, 0)
        const again = Effect.andThen(Effect.sleep(beatEveryMs), sayAgain(reason))
        return Effect.andThen(say(reason, drainMs), Effect.asVoid(Effect.forkIn(again, scope)))
      })
    // Where this device is cut off from its own leaf, nobody gets anything from it any more.
    const isWaitedFor = Effect.sync(() => bus.isUp() && isHeld())
    return {
      isLeaving: () => leaving,
      leave,
      letGo: yield* letting({ bus, self, backlog }),
      released: Effect.repeat(isWaitedFor, { schedule: lookEvery, while: (w: boolean) => w }).pipe(
        Effect.ensuring(Effect.sync(() => void (over = true))),
        Effect.asVoid,
      ),
      takesWork: () => !over,
    }
  })
