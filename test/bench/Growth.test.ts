/** Whether something grows: what the soak bench says of samples whose growth is known. */
import { assert, describe, it } from "@effect/vitest"
import { floorCount, floors, growth, type Sample, slopePerHour } from "../../bench/chaos/Growth.ts"
import { normal, seededRandom } from "../../supernet/Random.ts"

const [hourMs, everyMs] = [3_600_000, 2000]

/** Half an hour of samples. */
const samplesOf = (mb: (atMs: number) => number): ReadonlyArray<Sample> =>
  Array.from({ length: hourMs / 2 / everyMs }, (_, i) => ({ atMs: i * everyMs, rssMb: mb(i * everyMs) }))

/** Garbage: 40 MB in 90 seconds, then gone at once. */
const wave = (atMs: number) => (40 * (atMs % 90_000)) / 90_000

describe("a slope", () => {
  it("of a line is the line's, without error, wherever the line begins", () => {
    for (const perHour of [7, 0, -3.5]) {
      for (const beginMs of [0, 1e9]) {
        const points = Array.from({ length: 20 }, (_, i) => {
          const atMs = beginMs + i * 60_000
          return [atMs, 100 + (perHour * atMs) / hourMs] as const
        })
        const { slope, error } = slopePerHour(points)
        assert.closeTo(slope, perHour, 1e-6)
        assert.closeTo(error, 0, 1e-5)
      }
    }
  })

  it("of a line with noise is the line's within a few of its errors, which are what the noise makes them", () => {
    const random = seededRandom(3)
    const wide = Array.from({ length: 200 }, () => {
      const samples = samplesOf((atMs) => 100 + (12 * atMs) / hourMs + 3 * normal(random))
      const { slope, error } = growth(samples)
      return Math.abs(slope - 12) / error
    })
    // Two thirds within one error, nearly all within three.
    const within = (errors: number) => wide.filter((x) => x <= errors).length / wide.length
    assert.isAbove(within(1), 0.55)
    assert.isBelow(within(1), 0.8)
    assert.isAbove(within(3), 0.97)
  })

  it("of fewer than three points is not known", () => {
    const points: ReadonlyArray<readonly [number, number]> = [
      [0, 100],
      [60_000, 200],
    ]
    for (const some of [[], points.slice(0, 1), points]) {
      const { slope, error } = slopePerHour(some)
      assert.isNaN(error)
      assert.isNaN(slope)
    }
    assert.isNaN(growth([{ atMs: 0, rssMb: 1 }]).error)
  })
})

describe("floors", () => {
  it("are the lowest of each part of the time, in order", () => {
    const samples = samplesOf((atMs) => 200 + wave(atMs))
    const lowest = floors(samples)
    assert.lengthOf(lowest, floorCount)
    const [first = 0, last = 0] = [samples[0]?.atMs, samples.at(-1)?.atMs]
    const length = (last - first) / floorCount
    for (const [i, floor] of lowest.entries()) {
      assert.isAtLeast(floor.atMs, first + i * length)
      assert.isAtMost(floor.atMs, first + (i + 1) * length)
      const part = samples.filter((s) => s.atMs >= first + i * length && s.atMs < first + (i + 1) * length)
      assert.strictEqual(floor.rssMb, Math.min(...part.map((s) => s.rssMb)))
    }
  })

  it("take waves for what they are: no growth; and do not hide growth below them", () => {
    const random = seededRandom(4)
    for (const perHour of [0, 5, 30]) {
      const samples = samplesOf((atMs) => 200 + (perHour * atMs) / hourMs + wave(atMs) + random.next())
      const { slope, error } = growth(floors(samples))
      assert.closeTo(slope, perHour, 2)
      assert.isBelow(error, 2)
    }
    // A wave that has begun at the end is a slope, where nobody looks below it.
    const begun = samplesOf((atMs) => 200 + (atMs > 0.47 * hourMs ? 40 : 0))
    assert.isAbove(growth(begun).slope, 20)
    assert.closeTo(growth(floors(begun)).slope, 0, 1e-6)
  })

  it("of few samples, or of none, are those", () => {
    assert.isEmpty(floors([]))
    const one = { atMs: 5, rssMb: 7 }
    assert.deepStrictEqual(floors([one]), [one])
    const two = [one, { atMs: 9, rssMb: 3 }]
    assert.deepStrictEqual(floors(two), two)
  })
})
