import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { decodingRoom } from "../../actors/DecodingRoom.ts"

/** Room for 800 bytes, and pictures that are decoded until the test says so. */
const decoding = () => {
  const room = decodingRoom(800)
  const running = new Map<string, Deferred.Deferred<void>>()
  const begin = (name: string, bytes: number) => {
    const done = Deferred.makeUnsafe<void>()
    const decode = Effect.suspend(() => {
      running.set(name, done)
      return Effect.ensuring(
        Deferred.await(done),
        Effect.sync(() => running.delete(name)),
      )
    })
    return Effect.forkChild(Effect.as(room(bytes)(decode), name), { startImmediately: true })
  }
  const finish = (name: string) => {
    const done = running.get(name)
    return done === undefined ? Effect.die(`${name} does not run`) : Deferred.succeed(done, undefined)
  }
  /** Those that are being decoded, once everybody has had a turn. */
  const now = Effect.map(
    Effect.forEach([1, 2, 3, 4, 5], () => Effect.yieldNow),
    () => [...running.keys()].toSorted().join(" "),
  )
  return { begin, finish, now }
}

describe("room for decoding", () => {
  it.effect("lets small pictures pass beside large ones, which wait for each other", () =>
    Effect.gen(function* () {
      const { begin, finish, now } = decoding()
      yield* begin("a", 250)
      const b = yield* begin("b", 250)
      yield* begin("c", 150)
      yield* begin("small", 100)
      yield* begin("tiny", 1)
      assert.strictEqual(yield* now, "a c small tiny")
      yield* finish("a")
      assert.include(yield* now, "b")
      yield* finish("b")
      assert.strictEqual(yield* Fiber.join(b), "b")
    }),
  )

  it.effect("decodes a picture that is larger than all of it alone", () =>
    Effect.gen(function* () {
      const { begin, finish, now } = decoding()
      yield* begin("huge", 5000)
      yield* begin("large", 200)
      assert.strictEqual(yield* now, "huge")
      yield* finish("huge")
      assert.strictEqual(yield* now, "large")
    }),
  )

  it.effect(
    "is kept by a picture that nobody waits for any more until it is decoded, and by none that waits",
    () =>
      Effect.gen(function* () {
        const { begin, finish, now } = decoding()
        const given = yield* begin("given up", 400)
        const waiting = yield* begin("waiting", 400)
        yield* now
        yield* Fiber.interrupt(given)
        yield* Fiber.interrupt(waiting)
        yield* begin("next", 400)
        assert.strictEqual(yield* now, "given up")
        yield* finish("given up")
        assert.strictEqual(yield* now, "next")
      }),
  )
})
