import { describe, expect, it } from "vitest"
import { DominanceTree, type Entry, isStricter, strictnessGap } from "../../policies/DominanceTree.ts"
import { below, type Random, seededRandom } from "../../supernet/Random.ts"

/** Grid points as a replay buffer has them, with the absent level; values that often tie. */
const randomPoint = (random: Random, dimensions: number) =>
  Float64Array.from({ length: dimensions }, () => (random.next() < 0.2 ? -1 : below(random, 10) / 9))

const cases = [1, 3, 9].flatMap((dimensions) => [1, 2, 3].map((seed) => ({ dimensions, seed })))

const fill = (dimensions: number, seed: number) => {
  const random = seededRandom(seed * 100 + dimensions)
  const tree = new DominanceTree<number>(dimensions)
  const entries: Array<Entry<number>> = []
  for (let i = 0; i < 1500; i++) {
    const gone = entries[below(random, entries.length + 1)]
    if (gone !== undefined && random.next() < 0.3) {
      entries.splice(entries.indexOf(gone), 1)
      expect(tree.remove(gone)).toBe(true)
    }
    const entry = { point: randomPoint(random, dimensions), value: below(random, 40), item: i }
    entries.push(entry)
    tree.add(entry)
  }
  return { random, tree, entries }
}

describe("dominance tree agrees with looking at every entry", () => {
  it.each(cases)("best stricter entry: $dimensions dimensions, seed $seed", ({ dimensions, seed }) => {
    const { random, tree, entries } = fill(dimensions, seed)
    for (let q = 0; q < 300; q++) {
      const query = randomPoint(random, dimensions)
      const stricter = entries.filter((e) => isStricter(e.point, query))
      const value = Math.max(...stricter.map((e) => e.value))
      const gap = Math.min(
        ...stricter.filter((e) => e.value === value).map((e) => strictnessGap(e.point, query)),
      )
      const found = tree.best(query)
      expect(found?.value ?? Number.NEGATIVE_INFINITY).toBe(value)
      expect(found === undefined ? Number.POSITIVE_INFINITY : strictnessGap(found.point, query)).toBeCloseTo(
        gap,
        12,
      )
    }
  })

  it.each(cases)(
    "what an entry makes pointless: $dimensions dimensions, seed $seed",
    ({ dimensions, seed }) => {
      const { random, tree, entries } = fill(dimensions, seed)
      for (let q = 0; q < 100; q++) {
        const point = randomPoint(random, dimensions)
        const expected = entries.filter((e) => e.value < 20 && isStricter(point, e.point)).map((e) => e.item)
        const found = tree.dominated(point, 20).map((e) => e.item)
        expect(found.sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b))
      }
      expect(tree.size).toBe(entries.length)
    },
  )
})
