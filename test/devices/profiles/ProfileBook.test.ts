import { assert, describe, it } from "@effect/vitest"
import { dilated } from "../../../devices/profiles/DeviceProfile.ts"
import { ProfileBook } from "../../../devices/profiles/ProfileBook.ts"
import { shippedProfile } from "../../../devices/profiles/Shipped.ts"

const pi4 = shippedProfile("raspberry-pi-4")
const named = (name: string, factor = 1) => ({ ...dilated(pi4, factor), name })

describe("a book of profiles", () => {
  it("learns a new name once, and knows it when it comes again with another title", () => {
    const book = new ProfileBook([pi4])
    assert.strictEqual(book.learn(named("drone-7", 2)), "added")
    assert.isTrue(book.includes("drone-7"))
    assert.strictEqual(book.learn({ ...named("drone-7", 2), title: "measured again" }), "known")
    assert.strictEqual(book.size, 2)
  })

  it("never changes what a name stands for", () => {
    const book = new ProfileBook([pi4])
    assert.strictEqual(book.learn({ ...dilated(pi4, 2), name: pi4.name }), "other")
    assert.deepEqual(book.get(pi4.name), pi4)
  })

  it("lets the first of two equal names count: a device's own before the shipped ones", () => {
    const own = { ...dilated(pi4, 3), name: pi4.name }
    assert.deepEqual(new ProfileBook([own, pi4]).get(pi4.name), own)
  })

  it("is bounded", () => {
    const book = new ProfileBook([pi4])
    for (let i = 0; i < 64; i++) assert.strictEqual(book.learn(named(`drone-${i}`)), "added")
    assert.strictEqual(book.learn(named("one too many")), "full")
  })
})
