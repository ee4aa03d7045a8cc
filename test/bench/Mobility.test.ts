import { assert, describe, it } from "@effect/vitest"
import { checksOf, type Moment, oneStrategy, ours, rowOf, scoreOf } from "../../bench/MobilityScore.ts"
import { augmented } from "../../bench/paper/Methods.ts"
import type { Outcome } from "../../policies/Objective.ts"

const moment = (outcomes: Readonly<Record<string, Outcome | undefined>>): Moment => ({
  second: 0,
  condition: augmented({ bandwidthMbps: 10, delayMs: 1 }),
  outcomes: new Map(Object.entries(outcomes)),
})
const good = { latencyMs: 70, accuracy: 0.78 }
const late = { latencyMs: 81, accuracy: 0.79 }
const poor = { latencyMs: 60, accuracy: 0.74 }
const moments = [
  moment({ [ours]: good, [oneStrategy]: good, a: poor, b: undefined }),
  moment({ [ours]: late, [oneStrategy]: poor, a: poor, b: good }),
]

describe("mobility", () => {
  it("counts late answers as nothing, and the others by their accuracy", () => {
    assert.deepStrictEqual(rowOf(scoreOf(moments, ours)), {
      method: ours,
      inTimePercent: 50,
      top1InTime: 78,
      rightInTimePercent: 39,
      atLeast74Percent: 50,
      atLeast75Percent: 50,
      atLeast76Percent: 50,
      atLeast77Percent: 50,
      atLeast78Percent: 50,
    })
    assert.strictEqual(scoreOf(moments, "b").inTime, 0.5)
    assert.deepStrictEqual(scoreOf(moments.slice(0, 1), "b"), {
      method: "b",
      inTime: 0,
      top1InTime: 0,
      rightInTime: 0,
      atLeast: [0, 0, 0, 0, 0],
    })
  })

  it("holds ours against the best baseline and against no adaptation, by answers right and in time", () => {
    const scores = [ours, oneStrategy, "a", "b"].map((m) => scoreOf(moments, m))
    const [lead, adaptation] = checksOf(scores, ["a", "b"])
    // 39 % of ours, 74 % of a; 76 % of the one strategy.
    assert.strictEqual(lead?.name, "lead_over_best_baseline_points")
    assert.closeTo(lead?.value ?? 0, 39 - 74, 1e-9)
    assert.closeTo(adaptation?.value ?? 0, 39 - 76, 1e-9)
  })
})
