import { assert, describe, it } from "@effect/vitest"
import {
  type CacheCondition,
  type CachedPlan,
  hardCorner,
  type CacheObjective,
  StrategyCache,
} from "../../devices/StrategyCache.ts"
import { seededRandom } from "../../supernet/Random.ts"

interface Plan extends CachedPlan {
  readonly name: string
}
const plan = (name: string, latencyMs: number, top1: number, uses = ["local", "b"]): Plan => ({
  name,
  latencyMs,
  top1,
  uses,
})
const condition = (
  mbps: number,
  delayMs: number,
  value = 100,
  kind: CacheObjective["kind"] = "latency",
): CacheCondition => ({
  objective: { kind, value },
  devices: [
    { id: "local", type: "pi-4", mbps: Infinity, delayMs: 0 },
    { id: "b", type: "pi-4", mbps, delayMs },
  ],
})

describe("the hard corner of a bucket", () => {
  it("is no easier than any condition of it, close to it, and in the same bucket", () => {
    const random = seededRandom(3)
    for (let i = 0; i < 1000; i++) {
      const kind = random.next() < 0.5 ? "latency" : "accuracy"
      const value = kind === "latency" ? 20 + 500 * random.next() : random.next()
      const here = condition(1 + 999 * random.next(), 200 * random.next(), value, kind)
      const corner = hardCorner(here)
      const [was, is] = [here.devices[1], corner.devices[1]]
      assert.isAtMost(is?.mbps ?? 0, (was?.mbps ?? 0) * (1 + 1e-6))
      assert.isAtLeast(is?.mbps ?? 0, 0.7 * (was?.mbps ?? 0))
      assert.isAtLeast(is?.delayMs ?? 0, (was?.delayMs ?? 0) * (1 - 1e-6))
      assert.isAtMost(is?.delayMs ?? 0, Math.max(1.2 * (was?.delayMs ?? 0), (was?.delayMs ?? 0) + 2.5))
      if (kind === "latency") assert.isAtMost(corner.objective.value, value * (1 + 1e-6))
      else assert.isAtLeast(corner.objective.value, value - 1e-6)
      const cache = new StrategyCache<Plan>()
      cache.store(
        corner,
        plan("x", corner.objective.value * (kind === "latency" ? 0.99 : 1), corner.objective.value),
      )
      assert.strictEqual(cache.lookUp(here)?.how, "bucket", JSON.stringify({ here, corner }))
    }
  })
})

describe("a look-up", () => {
  it("finds a plan again in its bucket", () => {
    const cache = new StrategyCache<Plan>()
    cache.store(hardCorner(condition(50, 10)), plan("a", 80, 0.8))
    assert.deepInclude(cache.lookUp(condition(50, 10)), { how: "bucket" })
    assert.deepInclude(cache.stats(), { entries: 1, bucketHits: 1, misses: 0 })
  })

  it("takes a plan for a harder condition, and never one for an easier", () => {
    const cache = new StrategyCache<Plan>()
    cache.store(condition(50, 10), plan("a", 80, 0.8))
    assert.strictEqual(cache.lookUp(condition(90, 8))?.how, "dominance")
    assert.isUndefined(cache.lookUp(condition(30, 10)))
    assert.isUndefined(cache.lookUp(condition(50, 20)))
    assert.isUndefined(cache.lookUp(condition(50, 10, 70)))
  })

  it("does not reach for a plan that is far too careful", () => {
    const cache = new StrategyCache<Plan>()
    cache.store(condition(5, 10), plan("a", 80, 0.8))
    assert.isUndefined(cache.lookUp(condition(500, 10)))
  })

  it("prefers the more accurate of two that keep a latency, and the faster of two that keep an accuracy", () => {
    const cache = new StrategyCache<Plan>()
    cache.store(condition(45, 10), plan("plain", 60, 0.75))
    cache.store(condition(40, 10), plan("accurate", 90, 0.8))
    assert.strictEqual(cache.lookUp(condition(60, 10))?.plan.name, "accurate")
    cache.store(condition(45, 10, 0.7, "accuracy"), plan("fast", 60, 0.75))
    cache.store(condition(40, 10, 0.7, "accuracy"), plan("slow", 90, 0.8))
    assert.strictEqual(cache.lookUp(condition(60, 10, 0.7, "accuracy"))?.plan.name, "fast")
  })

  it("cares only about the devices that a plan uses", () => {
    const cache = new StrategyCache<Plan>()
    const three = condition(50, 10)
    const c = { id: "c", type: "pi-4", mbps: 50, delayMs: 10 }
    cache.store({ ...three, devices: [...three.devices, c] }, plan("a", 80, 0.8))
    // Device c has left; the plan never used it.
    assert.strictEqual(cache.lookUp(three)?.plan.name, "a")
    const other = [three.devices[0], { id: "b", type: "pi-3", mbps: 50, delayMs: 10 }].filter(
      (d) => d !== undefined,
    )
    assert.isUndefined(cache.lookUp({ ...three, devices: other }))
  })

  it("promises only what holds: every hit meets the objective under a latency that grows with harder links", () => {
    const random = seededRandom(9)
    const latency = (x: CacheCondition) =>
      40 + 2 * (x.devices[1]?.delayMs ?? 0) + 2000 / (x.devices[1]?.mbps ?? 1)
    const cache = new StrategyCache<Plan>({ capacity: 64 })
    let hits = 0
    for (let i = 0; i < 2000; i++) {
      const now = condition(10 + 200 * random.next(), 30 * random.next(), 150)
      const hit = cache.lookUp(now)
      if (hit === undefined) {
        const corner = hardCorner(now)
        cache.store(corner, plan("p", latency(corner), 0.8))
      } else {
        hits++
        assert.isAtMost(latency(now), 150)
      }
    }
    assert.isAbove(hits / 2000, 0.7)
  })
})

describe("the bound", () => {
  it("drops the least recently used entry first", () => {
    const cache = new StrategyCache<Plan>({ capacity: 2, reachBuckets: 0 })
    cache.store(condition(10, 10), plan("a", 80, 0.8))
    cache.store(condition(100, 10), plan("b", 80, 0.8))
    cache.lookUp(condition(10, 10))
    cache.store(condition(1000, 10), plan("c", 80, 0.8))
    assert.strictEqual(cache.lookUp(condition(10, 10))?.plan.name, "a")
    assert.isUndefined(cache.lookUp(condition(100, 10)))
    assert.strictEqual(cache.stats().entries, 2)
  })

  it("forgets the plans of a device that left, and everything when the world changes", () => {
    const cache = new StrategyCache<Plan>()
    cache.store(condition(10, 10), plan("with b", 80, 0.8))
    cache.store(condition(100, 10), plan("alone", 80, 0.7, ["local"]))
    cache.forgetDevice("b")
    assert.strictEqual(cache.lookUp(condition(10, 10))?.plan.name, "alone")
    cache.clear()
    assert.strictEqual(cache.stats().entries, 0)
  })
})
