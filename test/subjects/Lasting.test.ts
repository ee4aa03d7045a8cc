import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { lasting, lastingEach } from "../../subjects/Lasting.ts"

/** Runs with a logger that counts errors. */
const countingErrors = <A, E, R>(test: (errors: () => number) => Effect.Effect<A, E, R>) => {
  let errors = 0
  const counts = Logger.make(({ logLevel }) => {
    if (logLevel === "Error") errors++
  })
  return Effect.suspend(() => test(() => errors)).pipe(Effect.provide(Logger.layer([counts])))
}

describe("a loop that has to last", () => {
  it.effect("goes on after failures and faults, and says once a minute that there are faults", () =>
    countingErrors((errors) =>
      Effect.gen(function* () {
        let rounds = 0
        const round = Effect.suspend((): Effect.Effect<void, string> => {
          rounds++
          if (rounds === 1) return Effect.fail("the bus is down")
          throw new Error("does not encode")
        })
        const loop = lasting("reports", round).pipe(Effect.repeat(Schedule.spaced("1 second")))
        const fiber = yield* Effect.forkChild(loop, { startImmediately: true })
        assert.strictEqual(errors(), 0)
        yield* TestClock.adjust("59 seconds")
        assert.deepStrictEqual([rounds, errors()], [60, 1])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual([rounds, errors()], [70, 2])
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(rounds, 70)
      }),
    ),
  )

  it.effect("goes on after a round that interrupted itself, and with the next value after a fault", () =>
    countingErrors((errors) =>
      Effect.gen(function* () {
        yield* lasting("joins", Effect.interrupt)
        const seen: Array<number> = []
        const take = lastingEach("changes", (value: number) => {
          if (value === 1) throw new Error("not understood")
          return Effect.sync(() => seen.push(value))
        })
        yield* Effect.forEach([0, 1, 2], take)
        assert.deepStrictEqual([seen, errors()], [[0, 2], 1])
      }),
    ),
  )
})
