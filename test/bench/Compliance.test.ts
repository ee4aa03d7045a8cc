/** Figure 16's shares, counted once more in the plainest way; and what they come to beside the oracle's. */
import { assert, describe, it } from "@effect/vitest"
import { passes } from "../../bench/Bench.ts"
import { overOracle } from "../../bench/paper.ts"
import { compare, type Compared } from "../../bench/paper/Comparison.ts"
import { type Compliance, complianceRow, figure16, figure16Cases } from "../../bench/paper/Compliance.ts"
import { OurPlanner } from "../../bench/paper/Methods.ts"

const scale = { points: 2, evaluations: 100, seed: 3 }
const all = figure16(scale)

/** The cases of figure 16 once more: scenario by scenario, SLO by SLO. */
const recounted = (): ReadonlyArray<ReadonlyArray<Compared>> => {
  const cases = figure16Cases(scale.points)
  const perSlo = scale.points ** 2
  const slosPerScenario = cases.length / 2 / perSlo
  return [0, 1].flatMap((scenario) => {
    const planner = new OurPlanner(scale.evaluations, scale.seed)
    return Array.from({ length: slosPerScenario }, (_, i) => {
      const from = (scenario * slosPerScenario + i) * perSlo
      return compare(cases.slice(from, from + perSlo), planner)
    })
  })
}

const shareOf = (compared: ReadonlyArray<Compared>, holds: (c: Compared) => boolean) =>
  compared.filter(holds).length / compared.length

/** The best that one pair of method and network reaches. */
const bestPair = (
  compared: ReadonlyArray<Compared>,
  zoo: boolean,
  { latencySloMs, accuracySlo }: Compliance,
) => {
  const pairs = new Set(compared.flatMap((c) => c.offers.map((o) => `${o.method} + ${o.network}`)))
  const shares = [...pairs].map((pair) =>
    shareOf(compared, (c) =>
      c.offers.some(
        (o) =>
          o.zoo === zoo &&
          `${o.method} + ${o.network}` === pair &&
          o.latencyMs <= latencySloMs &&
          o.accuracy >= accuracySlo,
      ),
    ),
  )
  return Math.max(0, ...shares)
}

describe("compliance", () => {
  it("is the share of settings in which both SLOs are met, by ours and by one baseline for all of them", () => {
    const compared = recounted()
    assert.isAtLeast(all.length, 8)
    const perSlo = all.length / compared.length
    let met = 0
    for (const [i, c] of all.entries()) {
      const settings = compared[Math.floor(i / perSlo)] ?? []
      const isMet = ({ ours }: Compared) => ours.latencyMs <= c.latencySloMs && ours.accuracy >= c.accuracySlo
      assert.strictEqual(c.ours, shareOf(settings, isMet), JSON.stringify(c))
      assert.strictEqual(c.zoo, bestPair(settings, true, c))
      assert.strictEqual(c.fixed, bestPair(settings, false, c))
      const anyone = shareOf(settings, ({ offers }) =>
        offers.some((o) => o.zoo && o.latencyMs <= c.latencySloMs && o.accuracy >= c.accuracySlo),
      )
      assert.strictEqual(c.anyZoo, anyone)
      met += c.ours
    }
    assert.isAbove(met, 0)
    assert.isBelow(met, all.length)
  })

  it("of a baseline that may change is no less than of one that may not, and the oracle's no less than ours", () => {
    for (const c of all) {
      assert.isAtLeast(c.anyZoo, c.zoo)
      assert.isAtLeast(c.oracle, c.oursSampled)
      for (const share of [c.ours, c.zoo, c.anyZoo, c.fixed, c.oursSampled, c.oracle]) {
        assert.isAtLeast(share, 0)
        assert.isAtMost(share, 1)
      }
    }
  })

  it("falls as more accuracy is asked for in the same time", () => {
    for (const c of all) {
      const stricter = all.filter(
        (o) =>
          o.scenario === c.scenario && o.latencySloMs === c.latencySloMs && o.accuracySlo > c.accuracySlo,
      )
      for (const s of stricter)
        for (const of of ["ours", "zoo", "anyZoo", "fixed", "oracle"] as const) assert.isAtMost(s[of], c[of])
    }
  })
})

const example: Compliance = {
  scenario: "augmented",
  latencySloMs: 80,
  accuracySlo: 0.76,
  ours: 0.75,
  zoo: 0.12345,
  zooName: "ADCNN + MobileNetV3",
  anyZoo: 0.25,
  fixed: 0.5,
  oursSampled: 0.7,
  oracle: 0.8,
}

describe("compliance over the oracle's", () => {
  it("is the ratio of what both reach on the oracle's settings, over all SLOs together", () => {
    assert.closeTo(overOracle([example]), 0.7 / 0.8, 1e-12)
    assert.closeTo(overOracle([example, { ...example, oursSampled: 0.1, oracle: 0.2 }]), 0.8 / 1, 1e-12)
    // What nobody can meet counts for neither; all settings count only where the oracle searched.
    const impossible = { ...example, ours: 0.9, oursSampled: 0, oracle: 0 }
    assert.closeTo(overOracle([example, impossible]), 0.7 / 0.8, 1e-12)
  })

  it("of nothing passes no check", () => {
    for (const none of [[], [{ ...example, oursSampled: 0, oracle: 0 }]])
      assert.isFalse(passes({ name: "x", value: overOracle(none), op: ">=", bound: 0.97 }))
  })

  it("stands in the table in percent, rounded to a tenth", () => {
    const row = complianceRow(example)
    assert.deepInclude(row, { figure: "16", oursPercent: 75, zooPercent: 12.3, zooBest: example.zooName })
    assert.deepInclude(row, { fixedSubmodelPercent: 50, oursSampledPercent: 70, oraclePercent: 80 })
  })
})
