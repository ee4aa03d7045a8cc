import { describe, expect, it } from "vitest"
import { ReplayBuffer, type ReplaySettings } from "../../policies/ReplayBuffer.ts"
import { below, seededRandom } from "../../supernet/Random.ts"

const genome = (n: number) => Uint8Array.of(n & 255, n >> 8)
const trajectory = (n: number, reward: number, ...constraint: ReadonlyArray<number>) => ({
  constraint: Float64Array.from(constraint),
  genome: genome(n),
  reward,
})
const buffer = (settings: Partial<ReplaySettings> = {}) =>
  new ReplayBuffer(3, { sloPoints: 10, margin: 0, ...settings })

describe("replay buffer", () => {
  it("serves a constraint from the best stricter bucket, not from a more relaxed one", () => {
    const b = buffer()
    b.add(trajectory(1, 0.3, 0.2, 0.1, 0.1))
    b.add(trajectory(2, 0.6, 0.5, 0.5, 0.5))
    b.add(trajectory(3, 0.9, 0.9, 0.9, 0.9))
    expect(b.lookUp(Float64Array.of(0.6, 0.7, 0.7))?.genome).toEqual(genome(2))
    expect(b.lookUp(Float64Array.of(0.6, 0.3, 0.7))?.genome).toEqual(genome(1))
    expect(b.lookUp(Float64Array.of(0.1, 1, 1))).toBeUndefined()
  })

  it("prunes what is worth less than a stricter bucket's best, whichever came first", () => {
    const b = buffer()
    b.add(trajectory(1, 0.4, 0.8, 0.8, 0.8))
    expect(b.add(trajectory(2, 0.5, 0.3, 0.3, 0.3))).toBe(true)
    expect(b.buckets).toBe(1)
    expect(b.add(trajectory(3, 0.4, 0.9, 0.9, 0.9))).toBe(false)
    expect(b.pruned).toBe(2)
  })

  it("keeps the best of each bucket, each strategy once", () => {
    const b = buffer({ bucketSize: 2, prune: false })
    for (const [n, reward] of [0.1, 0.5, 0.3, 0.4].entries()) b.add(trajectory(n, reward, 0.5, 0.5, 0.5))
    expect(b.add(trajectory(1, 0.5, 0.5, 0.5, 0.5))).toBe(false)
    expect(b.trajectories().map((t) => t.reward)).toEqual([0.5, 0.4])
  })

  it("asks for a margin above a stricter rival before it opens a bucket", () => {
    const b = buffer({ margin: 0.05 })
    b.add(trajectory(1, 0.5, 0.3, 0.3, 0.3))
    expect(b.add(trajectory(2, 0.53, 0.6, 0.6, 0.6))).toBe(false)
    expect(b.add(trajectory(3, 0.56, 0.6, 0.6, 0.6))).toBe(true)
  })

  it("draws what to mutate from the buckets that are there, also where one has taken another's place", () => {
    const b = buffer({ capacity: 1, prune: false })
    const random = seededRandom(1)
    b.add(trajectory(1, 0.3, 0.2, 0.2, 0.2))
    expect(b.sample(random)?.genome).toEqual(genome(1))
    b.add(trajectory(2, 0.6, 0.7, 0.7, 0.7))
    expect(b.buckets).toBe(1)
    expect(b.sample(random)?.genome).toEqual(genome(2))
  })

  it("knows nothing for an empty bucket when sharing is off", () => {
    const b = buffer({ share: false, prune: false })
    b.add(trajectory(1, 0.5, 0.3, 0.3, 0.3))
    expect(b.lookUp(Float64Array.of(0.9, 0.9, 0.9))).toBeUndefined()
    expect(b.lookUp(Float64Array.of(0.34, 0.34, 0.34))?.genome).toEqual(genome(1))
  })

  it("a strategy that it serves always satisfies the constraint, with at least the reward promised", () => {
    const random = seededRandom(8)
    const b = new ReplayBuffer(3)
    // A strategy needs at least its own constraint, by construction.
    const needs = new Map<string, ReadonlyArray<number>>()
    for (let n = 0; n < 3000; n++) {
      const need = [random.next(), random.next(), random.next()]
      const t = trajectory(n, 0.01 + (need[0] ?? 0) * (0.5 + 0.5 * random.next()), ...need)
      needs.set(t.genome.join(), need)
      b.add(t)
    }
    for (let q = 0; q < 500; q++) {
      const query = Float64Array.from({ length: 3 }, () => below(random, 37) / 36)
      const need = needs.get(b.lookUp(query, random)?.genome.join() ?? "") ?? []
      for (const [d, ease] of need.entries()) expect(ease).toBeLessThanOrEqual((query[d] ?? 0) + 1e-9)
    }
  })
})
