import { assert, describe, it } from "vitest"
import { Hearsay } from "../../actors/Hearsay.ts"

/** A device that heard these backlogs of another one, a beat every 250 ms, at the moment of the last. */
const heard = (beats: ReadonlyArray<number>) => {
  let nowMs = 0
  const hearsay = new Hearsay(() => nowMs)
  for (const ms of beats) {
    nowMs += 250
    hearsay.beat("b", ms)
  }
  const after = (ms: number, requestMs = 0) => {
    nowMs += ms
    return hearsay.ms("b", requestMs)
  }
  return { hearsay, after }
}

describe("what a device said about how much it has to do", () => {
  it("is worked off, where it was idle at one of its last four beats", () => {
    const { after } = heard([120, 0, 80, 100])
    assert.deepStrictEqual([after(0), after(60), after(60)], [100, 40, 0])
  })

  it("becomes what it usually has, from above and from below, where it was never idle", () => {
    const more = heard([60, 140, 80, 160])
    assert.deepStrictEqual([more.after(0), more.after(30), more.after(100)], [160, 130, 110])
    const less = heard([160, 80, 140, 60])
    assert.deepStrictEqual([less.after(0), less.after(30), less.after(100)], [60, 90, 110])
  })

  it("is a request more, where it was never idle, for what nobody has heard of yet; not more than it usually has", () => {
    const busy = heard([100, 100, 100, 100])
    assert.deepStrictEqual([busy.after(0, 40), busy.after(0, 300)], [140, 200])
    const idleAtTimes = heard([100, 100, 0, 100])
    assert.strictEqual(idleAtTimes.after(0, 40), 100)
  })

  it("is not changed by a word between beats in what is usual, and counts from then on", () => {
    const { hearsay, after } = heard([100, 100, 100, 100])
    hearsay.said("b", 20)
    assert.deepStrictEqual([after(0), after(30), after(200)], [20, 50, 100])
  })

  it("is soon forgotten when the load ends, and when the device leaves", () => {
    const { hearsay, after } = heard([100, 100, 100, 100])
    hearsay.beat("b", 0)
    assert.deepStrictEqual([after(0), after(200)], [0, 0])
    hearsay.beat("b", 100)
    hearsay.forget("b")
    assert.strictEqual(after(0), 0)
  })
})
