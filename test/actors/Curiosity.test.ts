import { assert, describe, it } from "vitest"
import { Curiosity } from "../../actors/Curiosity.ts"
import type { Condition, Slo } from "../../policies/Condition.ts"

const condition = (bandwidthMbps = 50, delayMs = 5): Condition => ({
  devices: [
    { id: "a", type: "pi", bandwidthMbps: 100_000, delayMs: 0 },
    { id: "b", type: "pi", bandwidthMbps, delayMs },
  ],
})
const slo: Slo = { kind: "latency", latencyMs: 100 }

/** Thinks whenever it is worth it, looking every 10 ms; gives how often in `forMs`. */
const thoughtsIn = (
  forMs: number,
  found: (atMs: number) => boolean = () => false,
  now: (atMs: number) => Condition = () => condition(),
) => {
  let atMs = 0
  const curiosity = new Curiosity(() => atMs)
  const times: Array<number> = []
  for (; atMs < forMs; atMs += 10) {
    if (!curiosity.isWorthIt(now(atMs), slo)) continue
    curiosity.begin(now(atMs), slo)
    times.push(atMs)
    curiosity.learn(now(atMs), slo, found(atMs))
  }
  return times
}

describe("curiosity", () => {
  it("thinks less and less while nothing better is found, and never quite stops", () => {
    const times = thoughtsIn(120_000)
    assert.deepStrictEqual(times.slice(0, 5), [0, 200, 600, 1400, 3000])
    assert.isAbove(times.length, 9)
    assert.isBelow(times.length, 15)
  })

  it("goes on thinking while it finds better strategies", () => {
    assert.isAtLeast(thoughtsIn(10_000, () => true).length, 90)
    const times = thoughtsIn(60_000, (atMs) => atMs > 30_000 && atMs < 52_000)
    assert.isBelow(times.filter((t) => t < 30_000).length, 10)
    assert.isAbove(times.filter((t) => t > 52_000).length, 3)
  })

  it("waits a quarter as long after a link changed, however much it jitters", () => {
    const jittering = thoughtsIn(120_000, undefined, (atMs) => condition(atMs % 20 === 0 ? 50 : 100))
    const steady = thoughtsIn(120_000)
    assert.isAbove(jittering.length, 2 * steady.length)
    assert.isBelow(jittering.length, 5 * steady.length)
  })

  it("does not wait when the best that is known has become bad", () => {
    let atMs = 0
    const curiosity = new Curiosity(() => atMs)
    const accurate: Slo = { kind: "accuracy", accuracy: 0.75 }
    for (let thoughts = 0; thoughts < 9; atMs += 10) {
      if (!curiosity.isWorthIt(condition(), accurate)) continue
      thoughts++
      curiosity.begin(condition(), accurate, { latencyMs: 90, accuracy: 0.8 })
      curiosity.learn(condition(), accurate, false)
    }
    atMs += 200
    assert.isFalse(curiosity.isWorthIt(condition(1), accurate, { latencyMs: 150, accuracy: 0.8 }))
    assert.isTrue(curiosity.isWorthIt(condition(1), accurate, { latencyMs: 1500, accuracy: 0.8 }))
  })

  it("has not thought yet about another objective, other devices, or anything once it forgot", () => {
    const curiosity = new Curiosity(() => 0)
    curiosity.begin(condition(), slo)
    assert.isFalse(curiosity.isWorthIt(condition(), slo))
    assert.isFalse(curiosity.isWorthIt(condition(), { kind: "latency", latencyMs: 99.5 }))
    assert.isTrue(curiosity.isWorthIt(condition(), { kind: "latency", latencyMs: 120 }))
    assert.isTrue(curiosity.isWorthIt(condition(), { kind: "accuracy", accuracy: 0.8 }))
    assert.isTrue(curiosity.isWorthIt({ devices: condition().devices.slice(0, 1) }, slo))
    curiosity.forget()
    assert.isTrue(curiosity.isWorthIt(condition(), slo))
  })
})
