/**
 * Leaving in order. A farewell asks the others to let go: each answers as soon as it waits for nothing of the leaving device
 * any more, and until then the device takes tiles of what was planned before. So nobody's request is late for it, and the
 * device is gone as soon as it can be.
 */
import { Effect, type Scope, Schedule } from "effect"
import { createInbox } from "nats"
import type { BusShape } from "../subjects/Bus.ts"
import { swarmMessage } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
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
  readonly self: Self["Service"]
  readonly backlog: Backlog["Service"]
  /** Other devices that are present. */
  readonly present: () => ReadonlyArray<DeviceId>
}

export const makeFarewells = ({
  bus,
  self,
  backlog,
  present,
}: Needs): Effect.Effect<Farewells, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const inbox = createInbox()
    const held = new Set<DeviceId>()
    let untilMs = Number.POSITIVE_INFINITY
    let [leaving, over] = [false, false]

    const letGo = (device: DeviceId, drainMs: number, reply: string) => {
      const waits = Effect.sync(() => backlog.inUse().includes(device))
      const waiting = Effect.repeat(waits, { schedule: lookEvery, while: (w: boolean) => w })
      const answer = Effect.suspend(() => bus.publish(reply, new TextEncoder().encode(self.device)))
      const both = Effect.andThen(Effect.timeoutOption(waiting, Math.max(1, drainMs)), answer)
      return reply === "" ? Effect.void : Effect.asVoid(Effect.forkIn(Effect.ignore(both), scope))
    }
    const say = (reason: string, drainMs: number) =>
      Effect.suspend(() => {
        const { nonce } = self.identity
        const farewell = { _tag: "Farewell", device: self.device, nonce, reason, drainMs } as const
        return bus.publish(Subjects.swarm(self.device), swarmMessage.encode(farewell), inbox)
      })
    const leave = (reason: string, drainMs: number) =>
      Effect.suspend(() => {
        if (leaving) return Effect.void
        leaving = true
        untilMs = performance.now() + drainMs
        for (const device of present()) held.add(device)
        bus.nats.subscribe(inbox, {
          callback: (_, m) => void held.delete(new TextDecoder().decode(m.data) as DeviceId),
        })
        return Effect.ignore(say(reason, drainMs))
      })
    const isHeld = Effect.sync(
      () => performance.now() < untilMs && bus.isUp() && present().some((device) => held.has(device)),
    )
    return {
      isLeaving: () => leaving,
      leave,
      letGo,
      released: Effect.repeat(isHeld, { schedule: lookEvery, while: (h: boolean) => h }).pipe(
        Effect.ensuring(Effect.sync(() => void (over = true))),
        Effect.asVoid,
      ),
      takesWork: () => !over,
    }
  })
