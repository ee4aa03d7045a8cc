import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { dilated } from "../../../devices/profiles/DeviceProfile.ts"
import { namedByNumbers, ProfileBook } from "../../../devices/profiles/ProfileBook.ts"
import { decodeProfile } from "../../../devices/profiles/ProfileSchema.ts"
import { shippedProfile } from "../../../devices/profiles/Shipped.ts"
import { deviceRecord } from "../../../subjects/Codecs.ts"
import { DeviceId } from "../../../subjects/DeviceId.ts"

const pi4 = shippedProfile("raspberry-pi-4")
const named = (name: string, factor = 1) => ({ ...dilated(pi4, factor), name })

describe("a book of profiles", () => {
  it("learns a new name once, and knows it when it comes again with another title", () => {
    const book = new ProfileBook([pi4])
    assert.strictEqual(book.learn(named("drone-7", 2)), "added")
    assert.isTrue(book.describes("pi-2", "drone-7"))
    assert.strictEqual(book.learn({ ...named("drone-7", 2), title: "measured again" }), "known")
    assert.strictEqual(book.size, 2)
  })

  it("never changes what a name stands for", () => {
    const book = new ProfileBook([pi4])
    assert.strictEqual(book.learn({ ...dilated(pi4, 2), name: pi4.name }), "other")
    assert.deepEqual(book.get(pi4.name), pi4)
  })

  it("finds profiles the same when they have travelled, also with their fields in another order", () => {
    for (const factor of [1.7, 3, 33.3]) {
      const sent = named("drone", factor)
      const rates = Object.fromEntries(Object.entries(sent.rates).toReversed())
      const book = new ProfileBook([sent])
      for (const profile of [sent, { ...sent, rates }]) {
        const record = deviceRecord.encode({ device: DeviceId.make("pi-2"), hostname: "drone", profile })
        const read = Result.getOrThrow(deviceRecord.decode("devices.pi-2", record))
        assert.strictEqual(book.judgeOwn("pi-2", Result.getOrThrow(decodeProfile(read.profile))), "known")
      }
    }
  })

  it("does not describe a device that means another speed by the name, until it says something else", () => {
    const book = new ProfileBook([pi4])
    assert.isTrue(book.describes("pi-2", pi4.name))
    assert.isFalse(book.describes("pi-2", "drone-7"))
    assert.strictEqual(book.judgeOwn("pi-2", { ...dilated(pi4, 2), name: pi4.name }), "other")
    assert.isFalse(book.describes("pi-2", pi4.name))
    assert.isTrue(book.describes("pi-3", pi4.name))
    assert.strictEqual(book.judgeOwn("pi-2", pi4), "known")
    assert.isTrue(book.describes("pi-2", pi4.name))
  })

  it("knows devices of one host name apart, and a device that was measured again", () => {
    const [one, two] = [namedByNumbers(named("drone")), namedByNumbers(named("drone", 2))]
    assert.match(one.name, /^drone-[0-9a-f]{8}$/)
    assert.notStrictEqual(one.name, two.name)
    assert.strictEqual(namedByNumbers({ ...named("drone"), title: "measured again" }).name, one.name)
    const book = new ProfileBook([pi4, one])
    assert.strictEqual(book.learn(two), "added")
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
