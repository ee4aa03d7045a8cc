import { assert, describe, it } from "@effect/vitest"
import {
  adaptive,
  adaptiveAll,
  comparedMethods,
  exponentialMean,
  type Forecaster,
  holt,
  lastValue,
  linearRegression,
  movingMedian,
  reverting,
  robustSlope,
  single,
} from "../../../devices/links/Forecaster.ts"
import { normal, seededRandom } from "../../../supernet/Random.ts"

const seconds = (values: ReadonlyArray<number>) => values.map((value, i) => ({ atMs: i * 1000, value }))

/** Mean absolute error over the later part of a series. */
const meanError = (forecaster: Forecaster, values: ReadonlyArray<number>, horizonS: number): number => {
  let [sum, count] = [0, 0]
  for (let origin = 40; origin + horizonS < values.length; origin++) {
    const f = forecaster(seconds(values.slice(0, origin + 1)), horizonS * 1000)
    sum += Math.abs((f?.value ?? 0) - (values[origin + horizonS] ?? 0))
    count++
  }
  return sum / count
}

const noisy = (seed: number, length: number) => {
  const random = seededRandom(seed)
  return Array.from({ length }, () => Math.max(0.1, 50 + 10 * normal(random)))
}
const walk = (seed: number, length: number) => {
  const random = seededRandom(seed)
  let value = 50
  return Array.from({ length }, () => (value = Math.max(1, value + 3 * normal(random))))
}

describe("single methods", () => {
  const line = Array.from({ length: 12 }, (_, i) => 10 + 2 * i)
  it("follow a line, each to its own degree", () => {
    assert.approximately(linearRegression(10)(line, 3), 10 + 2 * 14, 1e-9)
    assert.approximately(robustSlope(10)(line, 3), 10 + 2 * 14, 1e-9)
    assert.strictEqual(lastValue(line, 3), 32)
    assert.isAbove(holt(0.5, 0.3)(line, 3), 32)
  })
  it("stay on a constant", () => {
    const flat = line.map(() => 7)
    for (const m of [
      linearRegression(10),
      robustSlope(10),
      holt(0.5, 0.1),
      exponentialMean(0.4),
      movingMedian(5),
      reverting(0.4, 20),
    ]) {
      assert.approximately(m(flat, 5), 7, 1e-9)
    }
  })
  it("ignore an outlier where they are robust", () => {
    const spiked = [...line.slice(0, 6), 500, ...line.slice(7)]
    assert.isBelow(Math.abs(robustSlope(12)(spiked, 1) - 34), 2)
    assert.isAbove(Math.abs(linearRegression(12)(spiked, 1) - 34), 20)
  })
  it("never forecast a negative bandwidth", () => {
    const falling = [50, 40, 30, 20, 10, 1]
    for (const f of [...Object.values(comparedMethods).map(single), adaptive]) {
      const forecast = f(seconds(falling), 5000)
      assert.isAtLeast(forecast?.value ?? -1, 0)
      assert.isAtLeast(forecast?.low ?? -1, 0)
    }
  })
})

describe("the default forecast", () => {
  // Not more than a tenth: its weights are those that are never worse than the last value on real traces.
  it("beats the last value by a tenth where values only scatter", () => {
    const values = noisy(3, 300)
    assert.isBelow(meanError(adaptive, values, 2), 0.9 * meanError(single(lastValue), values, 2))
  })
  it("is as good as the last value where nothing is better", () => {
    const values = walk(5, 300)
    assert.isBelow(meanError(adaptive, values, 1), 1.02 * meanError(single(lastValue), values, 1))
  })
  const kinds = [
    { kind: "scatter", series: noisy },
    { kind: "a random walk", series: walk },
  ]
  const cases = kinds.flatMap((k) => [1, 5].map((horizonS) => ({ ...k, horizonS })))
  it.each(cases)("has a band that holds 90 %% +- 3 of $kind, $horizonS s ahead", ({ series, horizonS }) => {
    let [inside, count] = [0, 0]
    for (const seed of [11, 12, 13, 14, 15, 16]) {
      const values = series(seed, 300)
      for (let origin = 60; origin + horizonS < values.length; origin++) {
        const f = adaptive(seconds(values.slice(Math.max(0, origin - 99), origin + 1)), horizonS * 1000)
        if (f === undefined) throw new Error("no forecast")
        const truth = values[origin + horizonS] ?? 0
        if (truth >= f.low && truth <= f.high) inside++
        count++
      }
    }
    assert.isAbove(inside / count, 0.87)
    assert.isBelow(inside / count, 0.93)
  })
  it("has a wider band while a link is restless than the same link had while it was calm", () => {
    const calm = noisy(21, 60).map((v) => 50 + (v - 50) / 10)
    const restless = [...calm, 70, 30, 75, 28, 66, 35, 72, 40, 50]
    const width = (values: ReadonlyArray<number>) => {
      const f = adaptive(seconds(values), 1000)
      return (f?.high ?? 0) / (f?.low ?? 1)
    }
    assert.isAbove(width(restless), 1.3 * width([...calm, 50]))
  })
  it("says something careful about a link that it hardly knows", () => {
    assert.isUndefined(adaptive([], 1000))
    const one = adaptive([{ atMs: 0, value: 40 }], 1000)
    assert.strictEqual(one?.value, 40)
    assert.isBelow(one?.low ?? 40, 25)
    assert.isAbove(one?.high ?? 40, 60)
  })
  it("counts a horizon in the history's own steps", () => {
    const alternating = Array.from({ length: 60 }, (_, i) => ({
      atMs: i * 250,
      value: i % 2 === 0 ? 10 : 20,
    }))
    // Two steps ahead the series repeats itself, so the last value is exact there.
    assert.approximately(adaptive(alternating, 500)?.value ?? 0, 20, 0.5)
  })

  it("says the same of each horizon whether asked about one or about several", () => {
    const horizonsMs = [500, 1000, 3000, 20_000]
    for (const length of [1, 3, 4, 5, 9, 60, 120]) {
      const history = seconds(walk(length, length))
      assert.deepStrictEqual(
        adaptiveAll(history, horizonsMs),
        horizonsMs.flatMap((h) => adaptive(history, h) ?? []),
      )
    }
    assert.isUndefined(adaptiveAll([], horizonsMs))
  })
})
