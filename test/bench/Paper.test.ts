import { assert, describe, it } from "@effect/vitest"
import { type Compared, leadOver, rowOf } from "../../bench/paper/Comparison.ts"
import {
  augmented,
  bestOffer,
  logSpaced,
  type Offer,
  offers,
  OurPlanner,
  swarm,
} from "../../bench/paper/Methods.ts"
import { figure17 } from "../../bench/paper/Scalability.ts"
import type { Slo } from "../../policies/Condition.ts"

const offer = (latencyMs: number, accuracy: number): Offer => ({
  method: "m",
  network: "n",
  zoo: true,
  latencyMs,
  accuracy,
  plan: "",
})
const latencySlo: Slo = { kind: "latency", latencyMs: 100 }
const accuracySlo: Slo = { kind: "accuracy", accuracy: 0.75 }

describe("bestOffer", () => {
  const some = [offer(90, 0.7), offer(95, 0.78), offer(120, 0.8), offer(50, 0.76)]

  it("takes the most accurate in time, or the fastest that is accurate enough", () => {
    assert.strictEqual(bestOffer(some, latencySlo)?.accuracy, 0.78)
    assert.strictEqual(bestOffer(some, accuracySlo)?.latencyMs, 50)
  })

  it("takes nothing where nothing meets the SLO", () => {
    assert.isUndefined(bestOffer(some, { kind: "latency", latencyMs: 10 }))
  })
})

describe("leadOver", () => {
  const compared = (slo: Slo, ours: [number, number], zoo: Offer | undefined): Compared => {
    const [latencyMs, accuracy] = ours
    const meets = slo.kind === "latency" ? latencyMs <= slo.latencyMs : accuracy >= slo.accuracy
    const found = { latencyMs, accuracy, meets, genome: new Uint8Array() }
    const condition = augmented({ bandwidthMbps: 10, delayMs: 1 })
    return { case: { at: {}, condition, slo }, ours: found, offers: [], zoo, any: zoo }
  }

  it("counts points of accuracy under a latency SLO, and covered cells on both sides", () => {
    const cells = [
      compared(latencySlo, [90, 0.79], offer(80, 0.74)),
      compared(latencySlo, [90, 0.73], offer(80, 0.74)),
      compared(latencySlo, [90, 0.79], undefined),
      compared(latencySlo, [110, 0.79], offer(80, 0.74)),
    ]
    const lead = leadOver(cells, (c) => c.zoo)
    assert.closeTo(lead.most, 5, 1e-9)
    assert.closeTo(lead.least, -1, 1e-9)
    assert.deepStrictEqual([lead.lower, lead.oursCovers, lead.theirsCovers, lead.cases], [2, 3, 3, 4])
  })

  it("counts times faster under an accuracy SLO", () => {
    const lead = leadOver([compared(accuracySlo, [50, 0.76], offer(200, 0.77))], (c) => c.zoo)
    assert.deepStrictEqual([lead.most, lead.lower], [4, 0])
  })

  it("writes a row that says which baseline was best", () => {
    const row = rowOf("13", compared(latencySlo, [90, 0.79], offer(80, 0.74)))
    assert.deepStrictEqual([row["zoo"], row["zooTop1"], row["oursTop1"]], ["m + n", 74, 79])
  })
})

describe("the methods", () => {
  it("offers every method with every network under any condition", () => {
    const found = offers(swarm([{ bandwidthMbps: 50, delayMs: 10 }]))
    assert.strictEqual(found.length, 5 * (5 + 3))
    assert.isTrue(found.every((o) => Number.isFinite(o.latencyMs) && o.latencyMs > 0 && o.accuracy > 0.69))
  })

  it("never does worse in a better network, because it keeps what it found", () => {
    const planner = new OurPlanner(300, 1)
    const accuracies = logSpaced(5, 500, 5).map(
      (bandwidthMbps) =>
        planner.best(augmented({ bandwidthMbps, delayMs: 10 }), { kind: "latency", latencyMs: 60 }).accuracy,
    )
    assert.deepStrictEqual(
      accuracies,
      [...accuracies].sort((a, b) => a - b),
    )
  })

  it("explains the whole latency by its critical path", () => {
    for (const p of figure17({ points: 2, evaluations: 200, seed: 1 })) {
      const { fixedMs, headMs, computeMs, transferMs } = p.path
      assert.closeTo(fixedMs + headMs + computeMs + transferMs, p.oursMs, 1e-6)
    }
  })
})
