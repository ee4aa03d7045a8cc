import { assert, describe, it } from "vitest"
import type { Slo } from "../../policies/Condition.ts"
import { isNoticeablyBetter } from "../../policies/Objective.ts"

describe("noticeably better", () => {
  const known = { latencyMs: 90, accuracy: 0.8 }
  const slo: Slo = { kind: "latency", latencyMs: 100 }

  it("is first whether the objective is met, then what it leaves free, by more than noise", () => {
    assert.isTrue(isNoticeablyBetter(slo, known, undefined))
    const late = { latencyMs: 101, accuracy: 0.9 }
    assert.isTrue(isNoticeablyBetter(slo, { latencyMs: 99, accuracy: 0.5 }, late))
    assert.isFalse(isNoticeablyBetter(slo, late, known))
    assert.isTrue(isNoticeablyBetter(slo, { latencyMs: 95, accuracy: 0.81 }, known))
    assert.isFalse(isNoticeablyBetter(slo, { latencyMs: 10, accuracy: 0.801 }, known))
  })

  it("is less latency for an accuracy, and more accuracy or less latency where the objective is missed", () => {
    const accurate: Slo = { kind: "accuracy", accuracy: 0.75 }
    assert.isTrue(isNoticeablyBetter(accurate, { latencyMs: 80, accuracy: 0.76 }, known))
    assert.isFalse(isNoticeablyBetter(accurate, { latencyMs: 89, accuracy: 0.99 }, known))
    const beyond: Slo = { kind: "accuracy", accuracy: 0.95 }
    assert.isTrue(isNoticeablyBetter(beyond, { latencyMs: 200, accuracy: 0.82 }, known))
    const tight: Slo = { kind: "latency", latencyMs: 20 }
    assert.isTrue(isNoticeablyBetter(tight, { latencyMs: 60, accuracy: 0.5 }, known))
    assert.isFalse(isNoticeablyBetter(tight, { latencyMs: 89, accuracy: 0.9 }, known))
  })
})
