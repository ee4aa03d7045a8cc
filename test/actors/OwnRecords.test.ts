import { assert, describe, it } from "vitest"
import { OwnRecords } from "../../actors/OwnRecords.ts"

const dayMs = 24 * 3600 * 1000

describe("records of a device that expire", () => {
  it("are due again a while before they are gone", () => {
    const own = new OwnRecords(24, 6 * dayMs)
    own.written("a", "p1", 0)
    assert.isTrue(own.isFresh("a", 5 * dayMs))
    assert.isFalse(own.isFresh("a", 6 * dayMs))
    assert.isFalse(own.isFresh("b", 0))
    own.written("a", "p1", 6 * dayMs)
    assert.isTrue(own.isFresh("a", 11 * dayMs))
    own.gone("a")
    assert.isFalse(own.isFresh("a", 11 * dayMs))
  })

  it("are to be removed, until they are, when the policies have changed or there are too many", () => {
    const own = new OwnRecords(2, dayMs)
    for (const [i, id] of ["a", "b", "c"].entries()) own.written(id, "p1", i)
    assert.deepStrictEqual(own.toRemove(), ["a"])
    assert.deepStrictEqual(own.toRemove(), ["a"])
    own.written("a", "p1", 3)
    assert.deepStrictEqual(own.toRemove(), ["b"])
    own.gone("b")
    assert.isEmpty(own.toRemove())
    own.written("d", "p2", 4)
    own.policiesChanged("p2")
    assert.deepStrictEqual(own.toRemove(), ["c", "a"])
    own.gone("c")
    assert.deepStrictEqual(own.toRemove(), ["a"])
    own.policiesChanged("p1")
    assert.deepStrictEqual(own.toRemove(), ["d"])
  })
})
