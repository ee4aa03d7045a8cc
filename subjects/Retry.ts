/**
 * Asking again, within the deadline of a request: after an error that may pass (nobody listens, the connection is being
 * repaired, a refusal that says so), and beside messages that stay unanswered for half of the time that is left, because the
 * device that took one, or a server on its way, may have died. The first answer counts; who waits gets one.
 */
import { Effect, Fiber, Option } from "effect"
import type { RequestError } from "./BusErrors.ts"
import { monotonicMs } from "./Connection.ts"

export interface RetryOptions {
  /** Messages at most after errors, and as many beside those that stay without a reply. */
  readonly attempts: number
  readonly deadlineMs: number
}

/** Between two messages: it doubles each time, and differs between clients that were refused in the same moment. */
const firstPauseMs = 50
/** Silence that is worth another message, at least. */
const leastSilenceMs = 1000

/** Whether the same request may succeed in a moment. A deadline that passed has no moment left. */
export const mayPass = (error: { readonly _tag: string }): boolean => {
  const { _tag } = error
  if (_tag === "NobodyListens" || _tag === "BusDown") return true
  const refused = error as Partial<Extract<RequestError, { _tag: "Refused" }>>
  return _tag === "Refused" && refused.retryable === true && refused.tag !== "DeadlineExpired"
}

/** `ask` gets the time that is left, and whether it is the first message. */
export const retried = <A, E extends { readonly _tag: string }>(
  ask: (leftMs: number, isFirst: boolean) => Effect.Effect<A, E>,
  { attempts, deadlineMs }: RetryOptions,
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const endMs = monotonicMs() + deadlineMs
    let asked = 0
    // Those after silence count for themselves: errors that cost no time must not use them up.
    let beside = 0
    const once = Effect.suspend(() => ask(Math.max(1, endMs - monotonicMs()), asked++ === 0))

    /** One message, and others beside it when nothing comes back. */
    const patient = Effect.gen(function* () {
      const silenceMs = Math.max(leastSilenceMs, (endMs - monotonicMs()) / 2)
      const hasTime = monotonicMs() + silenceMs < endMs
      if (!hasTime || beside + 1 >= attempts) return yield* once
      const running = yield* Effect.forkChild(Effect.result(once), { startImmediately: true })
      const early = yield* Effect.timeoutOption(Fiber.join(running), silenceMs)
      if (Option.isSome(early)) return yield* Effect.fromResult(early.value)
      beside++
      return yield* Effect.race(Effect.flatMap(Fiber.join(running), Effect.fromResult), loop)
    })
    const again = (error: E): Effect.Effect<A, E> => {
      const pauseMs = firstPauseMs * 2 ** (asked - 1) * (0.5 + Math.random())
      const isOver = asked >= attempts || !mayPass(error) || monotonicMs() + pauseMs >= endMs
      return isOver ? Effect.fail(error) : Effect.delay(loop, pauseMs)
    }
    const loop: Effect.Effect<A, E> = Effect.suspend(() => Effect.catch(patient, again))
    return loop
  })
