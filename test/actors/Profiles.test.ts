import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { learning } from "../../actors/Profiles.ts"
import { dilated } from "../../devices/profiles/DeviceProfile.ts"
import { ProfileBook } from "../../devices/profiles/ProfileBook.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { refusal } from "../../subjects/ErrorReply.ts"

const pi4 = shippedProfile("raspberry-pi-4")
const drone = { ...dilated(pi4, 2), name: "drone-12345678" }

/** A device whose planning thread fails so many times before it learns. */
const device = (failures: number) => {
  const book = new ProfileBook([pi4])
  const [asked, noted] = [[] as Array<string>, [] as Array<string>]
  const learn = ({ name }: { readonly name: string }) =>
    Effect.suspend(() => {
      asked.push(name)
      return asked.length <= failures ? Effect.fail(refusal("Internal", "the thread ended")) : Effect.void
    })
  const noteError = (tag: string, message: string) => void noted.push(`${tag}: ${message}`)
  return { book, asked, noted, learn: learning(book, { learn }, { noteError }) }
}

const quietly = Effect.provide(Layer.merge(TestClock.layer(), Logger.layer([])))

describe("a peer's profile", () => {
  it.effect("is learned although the planning thread has just died, and then planned with", () =>
    Effect.gen(function* () {
      const { book, asked, noted, learn } = device(2)
      const learned = yield* Effect.forkChild(learn("pi-2", drone), { startImmediately: true })
      assert.isFalse(book.describes("pi-2", drone.name))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(learned)
      assert.isTrue(book.describes("pi-2", drone.name))
      assert.strictEqual(asked.length, 3)
      assert.deepStrictEqual(noted, [])
    }).pipe(quietly),
  )

  it.effect("is given up, and said to be, where the thread learns nothing any more", () =>
    Effect.gen(function* () {
      const { book, noted, learn } = device(Infinity)
      const learned = yield* Effect.forkChild(learn("pi-2", drone), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(learned)
      assert.isFalse(book.describes("pi-2", drone.name))
      assert.deepStrictEqual(noted, ["ProfileRefused: profile drone-12345678 of pi-2: the thread ended"])
    }).pipe(quietly),
  )

  it.effect("under a name that means another speed here takes that device out of plans", () =>
    Effect.gen(function* () {
      const { book, asked, noted, learn } = device(0)
      yield* learn("pi-2", { ...drone, name: pi4.name })
      assert.isFalse(book.describes("pi-2", pi4.name))
      assert.isTrue(book.describes("pi-3", pi4.name))
      assert.deepStrictEqual(asked, [])
      assert.match(noted[0] ?? "", /another speed/)
      yield* learn("pi-2", pi4)
      assert.isTrue(book.describes("pi-2", pi4.name))
    }).pipe(quietly),
  )
})
