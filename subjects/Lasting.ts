/**
 * What a loop does each time, made such that it cannot end the loop. A failure is expected there (the bus is down) and passed
 * over; a defect is a fault of the program: it is logged, and the loop goes on, for a device that says nothing more seems dead.
 */
import { Cause, Clock, Effect } from "effect"

/** A fault that comes back each time is logged so often: loops run up to forty times a second. */
const logEveryMs = 60_000

/** Make one per loop, outside of it: it remembers when it logged last. Interruption ends it as ever. */
export const lasting = <A, E, R>(what: string, each: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  lastingEach(what, () => each)(undefined)

/** The same for a loop over values: changes, events. */
export const lastingEach = <I, A, E, R>(what: string, each: (value: I) => Effect.Effect<A, E, R>) => {
  let loggedMs = Number.NEGATIVE_INFINITY
  const passOver = Effect.fnUntraced(function* (cause: Cause.Cause<E>) {
    if (!Cause.hasDies(cause)) return
    const nowMs = yield* Clock.currentTimeMillis
    if (nowMs - loggedMs < logEveryMs) return
    loggedMs = nowMs
    yield* Effect.logError(`${what}: a fault; it goes on`, cause)
  })
  return (value: I): Effect.Effect<void, never, R> =>
    Effect.suspend(() => each(value)).pipe(Effect.asVoid, Effect.catchCause(passOver))
}
