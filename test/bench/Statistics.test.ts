/** What benches say of nothing: a number that was not measured must never pass for one that was. */
import { assert, describe, it } from "@effect/vitest"
import { type Check, mean, median, passes, quantile } from "../../bench/Bench.ts"
import {
  afterFarewell,
  endings,
  killExtras,
  silences,
  stillPlannedMs,
  withinSlo,
} from "../../bench/chaos/Measures.ts"
import { leadOver } from "../../bench/paper/Comparison.ts"
import {
  foundByShare,
  overranShare,
  rightShare,
  unanswered,
  waitedShare,
  withinObjective,
} from "../../cli/DemoMeasures.ts"

describe("mean, median and quantiles", () => {
  it("of nothing are no number", () => {
    assert.isNaN(mean([]))
    assert.isNaN(median([]))
    for (const share of [0, 0.5, 0.95, 1]) assert.isNaN(quantile([], share))
  })

  it("of one value are that value", () => {
    assert.deepStrictEqual([mean([3]), median([3]), quantile([3], 0), quantile([3], 1)], [3, 3, 3, 3])
  })

  it("are the members at their place, the order that they came in aside", () => {
    const values = [9, 1, 7, 3, 5]
    assert.strictEqual(mean(values), 5)
    assert.strictEqual(median(values), 5)
    assert.deepStrictEqual(
      [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(values, share)),
      [1, 3, 5, 7, 9],
    )
    assert.strictEqual(quantile(values, 0.95), 9)
    // Of an even number the larger one in the middle.
    assert.strictEqual(median([4, 1, 3, 2]), 3)
    assert.deepStrictEqual(values, [9, 1, 7, 3, 5])
  })
})

describe("a check", () => {
  const bounds: ReadonlyArray<Pick<Check, "op" | "bound">> = [
    { op: "<=", bound: 5 },
    { op: ">=", bound: 5 },
    { op: ">", bound: 5 },
    { op: "=", bound: 5 },
    { op: "within", bound: [0, 10] },
  ]

  it("of what was not measured is missed, whatever it asks", () => {
    for (const bound of bounds) assert.isFalse(passes({ name: "x", value: Number.NaN, ...bound }))
  })

  it("takes its bound as it says", () => {
    const passed = (value: number) => bounds.map((bound) => passes({ name: "x", value, ...bound }))
    assert.deepStrictEqual(passed(5), [true, true, false, true, true])
    assert.deepStrictEqual(passed(4), [true, false, false, false, true])
    assert.deepStrictEqual(passed(11), [false, true, true, false, false])
  })
})

describe("measures of a swarm that answered nothing", () => {
  const kill = { device: "pi-1" as never, atMs: 0 }

  it("are zero answers within their objective, and nothing that recovered", () => {
    assert.strictEqual(withinSlo([]), 0)
    assert.strictEqual(endings([]), "")
    assert.deepStrictEqual(silences([]), { lost: 0, tooLate: 0 })
    assert.isEmpty(killExtras([], [kill]))
    assert.deepStrictEqual(stillPlannedMs([], [kill], [], 1000), [0])
    assert.deepStrictEqual(afterFarewell([], [kill]), { requests: 0, late: 0, slow: 0 })
  })

  it("of the demo are zero shares, and no share of right answers", () => {
    assert.strictEqual(withinObjective([]), 0)
    assert.strictEqual(unanswered([]), 0)
    assert.deepStrictEqual([foundByShare([], "policy"), waitedShare([]), overranShare([])], [0, 0, 0])
    assert.isUndefined(rightShare([]))
  })
})

describe("a lead over baselines in no case", () => {
  it("is less than any bound, and covers nothing", () => {
    const lead = leadOver([], () => undefined)
    assert.isFalse(passes({ name: "lead", value: lead.most, op: ">=", bound: 0 }))
    assert.deepStrictEqual([lead.oursCovers, lead.theirsCovers, lead.cases, lead.lower], [0, 0, 0, 0])
  })
})
