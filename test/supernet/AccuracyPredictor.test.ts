import { describe, expect, it } from "vitest"
import { defaultFit, fitPredictor } from "../../supernet/AccuracyFit.ts"
import { AccuracyPredictor, FeatureSpace, queryOf } from "../../supernet/AccuracyPredictor.ts"
import { treatedStrategy } from "../../supernet/Evaluate.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { kendallTau } from "../../supernet/Statistics.ts"
import { sampleStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { activeBlocks, maxSubmodel } from "../../supernet/Submodel.ts"

const spec = ofaMobileNetV3({ name: "t", version: "1", widthMultiplier: 0.5, classes: ["a", "b"] })

/** An accuracy with the shape of the real one: it saturates with size, and cuts and 8 bits cost a little. */
const madeUp = (strategy: Strategy): number => {
  const blocks = activeBlocks(spec, strategy.submodel)
  const size =
    blocks.reduce((sum, b) => sum + b.expand + b.kernel / 2, 0) * (strategy.submodel.resolution / 128)
  const cuts = strategy.blocks.filter((b) => b.grid !== "1x1").length
  const narrow = strategy.blocks.filter((b) => b.bits === 8).length
  return 0.9 - 0.3 * Math.exp(-size / 100) - 0.001 * cuts - 0.0005 * narrow
}

const table = (count: number, seed: number) => {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => {
    const strategy = sampleStrategy(spec, ["a", "b", "c"], random)
    return { ...queryOf(strategy), top1: madeUp(strategy) }
  })
}

const quickFit = { ...defaultFit, steps: 500, decays: [1e-4] }

describe("accuracy predictor", () => {
  it("ranks and prices strategies that it was not fitted on", () => {
    const data = fitPredictor(spec, table(300, 1), quickFit)
    expect(data.heldOut.meanAbsoluteError).toBeLessThan(0.01)
    expect(data.heldOut.kendallTau).toBeGreaterThan(0.85)
    const predictor = new AccuracyPredictor(spec, data)
    const fresh = table(100, 2)
    const errors = fresh.map((q) => Math.abs(predictor.predict(q) - q.top1))
    expect(errors.reduce((a, b) => a + b) / errors.length).toBeLessThan(0.01)
  })

  it("predicts the same by summed rows as by query", () => {
    const data = fitPredictor(spec, table(60, 3), { ...quickFit, steps: 50 })
    const predictor = new AccuracyPredictor(spec, data)
    for (const q of table(20, 4)) {
      const sum = new Float64Array(predictor.stride)
      predictor.start(sum)
      for (const [j, v] of predictor.row(predictor.space.of(q)).entries()) sum[j]! += v
      expect(predictor.finish(sum)).toBeCloseTo(predictor.predict(q), 9)
    }
  })

  it("never gains by a cut or a narrow value, though the table's noise says so", () => {
    const noise = seededRandom(8)
    const noisy = table(80, 7).map((q) => ({ ...q, top1: q.top1 + 0.08 * (noise.next() - 0.5) }))
    const predictor = new AccuracyPredictor(spec, fitPredictor(spec, noisy, { ...quickFit, steps: 200 }))
    for (const q of table(40, 9)) {
      const after = predictor.predict(q)
      for (const i of q.grids.keys()) {
        const [whole, exact] = [q.grids.with(i, "1x1"), q.bits.with(i, 32)]
        expect(predictor.predict({ ...q, grids: whole })).toBeGreaterThanOrEqual(after - 1e-9)
        expect(predictor.predict({ ...q, bits: exact })).toBeGreaterThanOrEqual(after - 1e-9)
      }
    }
  })

  it("charges nothing for what loses nothing: 16 bits, and 8 bits of an image", () => {
    const predictor = new AccuracyPredictor(
      spec,
      fitPredictor(spec, table(60, 3), { ...quickFit, steps: 50 }),
    )
    for (const q of table(20, 4)) {
      const exact = q.bits.map((b, i): typeof b => (b === 16 || i === 0 ? 32 : b))
      expect(predictor.predict({ ...q, bits: exact })).toBe(predictor.predict(q))
    }
  })

  it("adds up the blocks of a stage, and of the network, in the features that they share", () => {
    const space = new FeatureSpace(spec)
    const strategy = treatedStrategy(spec, maxSubmodel(spec, 128), { grid: "2x2", cut: "all", bits: 8 })
    const counts = new Map<number, number>()
    for (const f of space.of(queryOf(strategy))) counts.set(f, (counts.get(f) ?? 0) + 1)
    // 22 blocks are cut both ways, 22 get narrow values (all but the stem), 20 have an expand ratio.
    expect(Math.max(...counts.values())).toBe(44)
    expect([...counts.values()].filter((n) => n === 22)).toHaveLength(2)
    expect([...counts.values()].filter((n) => n === 20)).toHaveLength(3)
    expect(Math.max(...counts.keys())).toBeLessThan(space.size)
  })

  it("refuses the data of another supernet", () => {
    const data = fitPredictor(spec, table(40, 5), { ...quickFit, steps: 5 })
    const other = { ...spec, resolutions: [128] }
    expect(() => new AccuracyPredictor(other, data)).toThrow(/features/)
  })
})

describe("Kendall's tau", () => {
  it("is 1 for equal, -1 for reversed and about 0 for unrelated rankings", () => {
    expect(kendallTau([1, 2, 3, 4], [10, 20, 30, 40])).toBe(1)
    expect(kendallTau([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1)
    const random = seededRandom(1)
    const [a, b] = [0, 1].map(() => Array.from({ length: 200 }, () => random.next())) as [
      Array<number>,
      Array<number>,
    ]
    expect(Math.abs(kendallTau(a, b))).toBeLessThan(0.15)
  })

  it("counts ties as neither agreement nor disagreement", () => {
    expect(kendallTau([1, 1, 2, 3], [1, 2, 3, 4])).toBeCloseTo(5 / Math.sqrt(5 * 6), 9)
  })
})
