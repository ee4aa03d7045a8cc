import { assert, describe, it } from "vitest"
import { SpareTime } from "../../../devices/engine/SpareTime.ts"

describe("spare time of an engine", () => {
  it("is there from the start, with a pause as long as each piece of work", () => {
    const spare = new SpareTime()
    assert.deepStrictEqual(spare.next(0), { inMs: 0, isBusy: false })
    spare.built(0, 20)
    assert.deepStrictEqual(spare.next(25), { inMs: 15, isBusy: false })
  })

  it("begins when no task has come for a while", () => {
    const spare = new SpareTime()
    spare.built(0, 20)
    spare.ran(100)
    assert.deepStrictEqual(spare.next(100), { inMs: 300, isBusy: false })
    assert.deepStrictEqual(spare.next(350), { inMs: 50, isBusy: false })
    assert.deepStrictEqual(spare.next(500), { inMs: 0, isBusy: false })
  })

  it("is found right after a task where tasks keep coming, once a second", () => {
    const spare = new SpareTime()
    spare.built(0, 20)
    let pieces = 0
    for (let nowMs = 50; nowMs < 10_000; nowMs += 50) {
      spare.ran(nowMs)
      const { inMs, isBusy } = spare.next(nowMs)
      if (inMs > 50) continue
      assert.isTrue(isBusy)
      spare.built(nowMs, nowMs + 20)
      pieces++
    }
    assert.isAtLeast(pieces, 8)
    assert.isAtMost(pieces, 10)
  })

  it("is a fortieth of the time at most where pieces take long and tasks keep coming", () => {
    const spare = new SpareTime()
    spare.built(0, 200)
    spare.ran(8000)
    assert.isFalse(spare.next(8000).isBusy)
    spare.ran(8200)
    assert.deepStrictEqual(spare.next(8200), { inMs: 0, isBusy: true })
  })
})
