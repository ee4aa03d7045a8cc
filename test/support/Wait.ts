/** Waiting for a condition instead of sleeping. */
import { Duration, Effect, Schedule } from "effect"

/** Resolves when the condition holds; dies naming what was awaited when it does not within the limit. */
export const waitUntil = (what: string, condition: () => boolean, limitMs = 10_000): Effect.Effect<void> =>
  Effect.sync(condition).pipe(
    Effect.repeat(
      Schedule.spaced("5 millis").pipe(
        Schedule.setInputType<boolean>(),
        Schedule.while(({ input }) => !input),
      ),
    ),
    Effect.timeoutOrElse({
      duration: Duration.millis(limitMs),
      orElse: () => Effect.die(new Error(`waited ${limitMs} ms for: ${what}`)),
    }),
    Effect.asVoid,
  )
