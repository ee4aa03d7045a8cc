import { assert, describe, it } from "@effect/vitest"
import { estimate, observePing, observeTransfer } from "../../../devices/links/Estimator.ts"
import {
  defaultEstimatorSettings as settings,
  emptyPath,
  type PathHistory,
} from "../../../devices/links/PathHistory.ts"
import { feared } from "../../../devices/links/Steps.ts"
import { regressionSlope, weightedQuantile } from "../../../devices/links/Robust.ts"
import { type Random, seededRandom } from "../../../supernet/Random.ts"

interface TrueLink {
  readonly mbps: number
  readonly delayMs: number
}

/** A message over a link as the bus shows it: fixed cost, link, and now and then a hiccup. */
const messageMs = (link: TrueLink, bytes: number, random: Random): number => {
  const hiccup = random.next() < 0.05 ? 20 * random.next() : 0.25 * random.next()
  return (
    2 * (link.delayMs + settings.messageMs) +
    bytes * (8 / (link.mbps * 1000) + settings.messageMsPerByte) +
    hiccup
  )
}

/** Pings every second and tiles at a rate, from `fromMs` on. */
const live = (
  history: PathHistory,
  link: TrueLink,
  random: Random,
  time: { readonly fromMs: number; readonly toMs: number; readonly tilesPerS: number },
): PathHistory => {
  let h = history
  const stepMs = 100
  for (let now = time.fromMs; now < time.toMs; now += stepMs) {
    if (now % 1000 === 0) {
      const remoteMs = 0.1
      h = observePing(h, { roundTripMs: messageMs(link, 60, random) + remoteMs, remoteMs, nowMs: now })
    }
    if (random.next() < (time.tilesPerS * stepMs) / 1000) {
      const bytes = 10_000 + 130_000 * random.next()
      const remoteMs = 0.5
      h = observeTransfer(h, {
        bytes,
        elapsedMs: messageMs(link, bytes, random) + remoteMs,
        remoteMs,
        nowMs: now,
      })
    }
  }
  return h
}

/** How the estimate misses the truth, in words; empty within 15 % of the bandwidth and 1.5 ms or 10 % of the delay. */
const miss = (h: PathHistory, nowMs: number, link: TrueLink): string => {
  const e = estimate(h, nowMs)
  if (e === undefined) return "no estimate"
  if (Math.abs(e.delayMs - link.delayMs) > Math.max(1.5, 0.1 * link.delayMs)) return `delay ${e.delayMs} ms`
  return Math.abs(e.mbps / link.mbps - 1) > 0.15 ? `bandwidth ${e.mbps} Mbps` : ""
}

describe("a path's estimate", () => {
  const grid = [5, 50, 500].flatMap((mbps) => [0, 5, 20, 100].map((delayMs) => ({ mbps, delayMs })))

  it.each(grid)("is near the truth after ten seconds of traffic at $mbps Mbps and $delayMs ms", (link) => {
    const random = seededRandom(3)
    assert.strictEqual(
      miss(live(emptyPath, link, random, { fromMs: 0, toMs: 10_000, tilesPerS: 5 }), 10_000, link),
      "",
    )
  })

  it.each([
    [
      { mbps: 50, delayMs: 5 },
      { mbps: 10, delayMs: 5 },
    ],
    [
      { mbps: 10, delayMs: 5 },
      { mbps: 50, delayMs: 5 },
    ],
    [
      { mbps: 200, delayMs: 20 },
      { mbps: 20, delayMs: 60 },
    ],
  ])("is right again within two seconds of a step under traffic (%j to %j)", (before, after) => {
    const random = seededRandom(5)
    const settled = live(emptyPath, before, random, { fromMs: 0, toMs: 15_000, tilesPerS: 8 })
    // A longer delay shows in the third ping after it, so a step of the delay takes a second more.
    const waitMs = after.delayMs > before.delayMs ? 3100 : 2000
    const now = 15_000 + waitMs
    assert.strictEqual(
      miss(live(settled, after, random, { fromMs: 15_000, toMs: now, tilesPerS: 8 }), now, after),
      "",
    )
  })

  it("does not keep an old smallest round trip after the delay has grown", () => {
    const random = seededRandom(7)
    const near = live(emptyPath, { mbps: 50, delayMs: 5 }, random, { fromMs: 0, toMs: 20_000, tilesPerS: 4 })
    const far = live(near, { mbps: 50, delayMs: 20 }, random, { fromMs: 20_000, toMs: 26_000, tilesPerS: 4 })
    assert.strictEqual(miss(far, 26_000, { mbps: 50, delayMs: 20 }), "")
  })

  it("is not moved by a single outlier", () => {
    const random = seededRandom(9)
    const link = { mbps: 50, delayMs: 10 }
    const settled = live(emptyPath, link, random, { fromMs: 0, toMs: 10_000, tilesPerS: 5 })
    const late = observeTransfer(settled, { bytes: 75_000, elapsedMs: 2000, remoteMs: 0, nowMs: 10_050 })
    const odd = observePing(late, { roundTripMs: 900, remoteMs: 0, nowMs: 10_060 })
    assert.strictEqual(miss(odd, 10_060, link), "")
  })

  it("fears what a single worse sample says, until the next one is as before", () => {
    const random = seededRandom(9)
    const link = { mbps: 50, delayMs: 10 }
    const settled = live(emptyPath, link, random, { fromMs: 0, toMs: 10_000, tilesPerS: 5 })
    assert.isUndefined(feared(settled))
    const late = observeTransfer(settled, { bytes: 75_000, elapsedMs: 140, remoteMs: 0, nowMs: 10_050 })
    assert.approximately(feared(late)?.slowdown ?? 0, 10, 1.5)
    const far = observePing(settled, { roundTripMs: 121, remoteMs: 0, nowMs: 10_060 })
    assert.approximately(feared(far)?.delayMs ?? 0, 60, 1)
    const near = observePing(settled, { roundTripMs: 2, remoteMs: 0, nowMs: 10_060 })
    assert.isUndefined(feared(near))
    const again = observeTransfer(late, { bytes: 75_000, elapsedMs: 33, remoteMs: 0, nowMs: 10_100 })
    assert.isUndefined(feared(again))
  })

  it("fears no less than the newest sample shows, also where those before took no time on the wire", () => {
    let h: PathHistory = emptyPath
    for (let i = 0; i < 6; i++) {
      h = observePing(h, { roundTripMs: 20, remoteMs: 0, nowMs: i * 1000 })
      h = observeTransfer(h, { bytes: 300, elapsedMs: 12, remoteMs: 0, nowMs: i * 1000 + 500 })
    }
    assert.strictEqual(estimate(h, 6000)?.mbps, settings.fastestMbps)
    const paused = observeTransfer(h, { bytes: 300, elapsedMs: 80, remoteMs: 0, nowMs: 6500 })
    const mbps = estimate(paused, 6500)?.mbps ?? 0
    const shown = (300 * 8) / (1000 * (80 - 12))
    assert.approximately(mbps / (feared(paused)?.slowdown ?? 1), shown, 0.3 * shown)
  })

  it("knows no bandwidth from pings alone, and is sure of nothing old", () => {
    let h: PathHistory = emptyPath
    assert.isUndefined(estimate(h, 0))
    for (let i = 0; i < 5; i++) h = observePing(h, { roundTripMs: 21, remoteMs: 0, nowMs: i * 1000 })
    assert.isNaN(estimate(h, 5000)?.mbps)
    assert.strictEqual(estimate(h, 5000)?.confidence, 0)
    const random = seededRandom(11)
    const fresh = live(emptyPath, { mbps: 50, delayMs: 5 }, random, { fromMs: 0, toMs: 10_000, tilesPerS: 5 })
    const [now, later] = [estimate(fresh, 10_000), estimate(fresh, 70_000)]
    assert.isAbove(now?.confidence ?? 0, 0.7)
    assert.isBelow(later?.confidence ?? 1, 0.2)
  })

  it("tells waiting data apart from the link's own delay", () => {
    let h: PathHistory = emptyPath
    for (let i = 0; i < 8; i++) {
      h = observePing(h, { roundTripMs: i === 3 ? 21 : 33 + (i % 3), remoteMs: 0, nowMs: i * 1000 })
    }
    const e = estimate(h, 8000)
    assert.approximately(e?.queueDelayMs ?? 0, 6.5, 1)
  })
})

describe("regression over sizes", () => {
  it("finds the time per byte without any ping, and admits that equal sizes do not show it", () => {
    const random = seededRandom(13)
    const link = { mbps: 50, delayMs: 10 }
    const mixed = Array.from({ length: 12 }, () => {
      const bytes = 10_000 + 130_000 * random.next()
      return { bytes, ms: messageMs(link, bytes, random) }
    })
    const slope = regressionSlope(mixed) ?? 0
    assert.isBelow(Math.abs(8 / (slope * 1000) / 50 - 1), 0.15)
    assert.isUndefined(regressionSlope(mixed.map((m) => ({ ...m, bytes: 75_000 }))))
  })
})

describe("a weighted quantile", () => {
  it("is the value below which that share of the weight lies", () => {
    const values = [
      { value: 3, weight: 1 },
      { value: 1, weight: 1 },
      { value: 2, weight: 6 },
    ]
    assert.strictEqual(weightedQuantile(values, 0.1), 1)
    assert.strictEqual(weightedQuantile(values, 0.5), 2)
    assert.strictEqual(weightedQuantile(values, 1), 3)
    assert.isNaN(weightedQuantile([], 0.5))
  })
})
