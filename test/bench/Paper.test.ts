import { assert, describe, it } from "@effect/vitest"
import { type Compared, leadOver, rowOf } from "../../bench/paper/Comparison.ts"
import { bestPair, sampledSettings } from "../../bench/paper/Compliance.ts"
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
import { seededRandom } from "../../supernet/Random.ts"

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
    const pairs = new Set(found.map((o) => `${o.method} + ${o.network}`))
    assert.strictEqual(pairs.size, 5 * (5 + 3))
    assert.isTrue(found.every((o) => Number.isFinite(o.latencyMs) && o.latencyMs > 0 && o.accuracy > 0.69))
    // Only ADCNN trades accuracy for time.
    assert.strictEqual(found.filter((o) => o.method !== "ADCNN").length, 4 * (5 + 3))
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

describe("figure 16", () => {
  it.each([8, 4])(
    "has each bandwidth and each delay in the oracle's sample equally often, of %d",
    (points) => {
      for (let seed = 1; seed <= 20; seed++) {
        const sample = [...sampledSettings(points, seededRandom(seed))]
        assert.strictEqual(sample.length, points ** 2 / 4)
        for (const coordinate of [(i: number) => i % points, (i: number) => Math.floor(i / points)]) {
          const times = Array.from(
            { length: points },
            (_, at) => sample.filter((i) => coordinate(i) === at).length,
          )
          assert.deepStrictEqual(
            times,
            times.map(() => points / 4),
          )
        }
      }
    },
  )

  it("counts a method and network once in a setting, however many of its plans keep both SLOs", () => {
    const named = (method: string, latencyMs: number, accuracy: number) => ({
      ...offer(latencyMs, accuracy),
      method,
    })
    const settings = [
      { offers: [named("a", 90, 0.78), named("a", 80, 0.77), named("b", 95, 0.79)] },
      { offers: [named("a", 120, 0.78), named("a", 80, 0.7), named("b", 95, 0.79)] },
    ]
    assert.deepStrictEqual(bestPair(settings, true, 100, 0.76), { name: "b + n", share: 1 })
    assert.deepStrictEqual(bestPair(settings.slice(0, 1), true, 100, 0.76), { name: "a + n", share: 1 })
    assert.deepStrictEqual(bestPair(settings, false, 100, 0.76), { name: "none", share: 0 })
  })
})
