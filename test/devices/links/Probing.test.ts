import { assert, describe, it } from "@effect/vitest"
import { type LinkSetting, linkSteps } from "../../../bench/LinkSteps.ts"
import { estimate, observePing, observeTransfer } from "../../../devices/links/Estimator.ts"
import {
  defaultEstimatorSettings as settings,
  emptyPath,
  type PathHistory,
} from "../../../devices/links/PathHistory.ts"
import { noWitness, probePlan, wantsPing, type Witness } from "../../../devices/links/Probing.ts"
import { type Random, seededRandom } from "../../../supernet/Random.ts"

interface Run {
  history: PathHistory
  nowMs: number
  probes: number
  probeBytes: number
  pings: number
}

const start = (): Run => ({ history: emptyPath, nowMs: 0, probes: 0, probeBytes: 0, pings: 0 })

interface Load {
  readonly tilesPerS: number
  readonly tileBytes: number
  /** What a busy machine adds to a message, at most; ms, default 0.5. */
  readonly noiseMs?: number
}
const idle: Load = { tilesPerS: 0, tileBytes: 0 }
const busy: Load = { tilesPerS: 6, tileBytes: 30_000 }

/**
 * Plays the Monitor without a network, in steps of 20 ms: a ping each half second and where one is wanted, probes as
 * planned, tiles at a rate; every message takes what the link and the bus take, and one in twenty is disturbed.
 */
const play = (
  run: Run,
  link: LinkSetting,
  random: Random,
  forMs: number,
  load: Load = idle,
  witness: (nowMs: number) => Witness = () => noWitness,
): Run => {
  const r = { ...run }
  const until = r.nowMs + forMs
  const takes = (bytes: number) =>
    2 * (link.delayMs + settings.messageMs) +
    bytes * (8 / (link.mbps * 1000) + settings.messageMsPerByte) +
    (random.next() < 0.05 ? 15 * random.next() : (load.noiseMs ?? 0.5) * random.next())
  let lastPingMs = Number.NEGATIVE_INFINITY
  for (; r.nowMs < until; r.nowMs += 20) {
    const { nowMs } = r
    const sincePing = nowMs - lastPingMs
    if (sincePing >= 500 || (sincePing >= 60 && wantsPing(r.history))) {
      r.history = observePing(r.history, { roundTripMs: takes(settings.pingBytes), remoteMs: 0, nowMs })
      lastPingMs = nowMs
      r.pings++
    }
    const plan = probePlan(r.history, nowMs, witness(nowMs))
    if (plan !== undefined) {
      r.probes++
      r.probeBytes += plan.bytes
      const sample = { bytes: plan.bytes, elapsedMs: takes(plan.bytes), remoteMs: 0, nowMs, probe: true }
      r.history = observeTransfer(r.history, sample)
    }
    if (random.next() < (load.tilesPerS * 20) / 1000) {
      const bytes = Math.round(load.tileBytes * (0.5 + random.next()))
      r.history = observeTransfer(r.history, { bytes, elapsedMs: takes(bytes), remoteMs: 0, nowMs })
    }
  }
  return r
}

const isRight = (r: Run, link: LinkSetting): boolean => {
  const e = estimate(r.history, r.nowMs)
  if (e === undefined || Math.abs(e.delayMs - link.delayMs) > Math.max(1.5, 0.1 * link.delayMs)) return false
  return Math.abs(e.mbps / link.mbps - 1) <= 0.15
}

/** ms until the estimate is right and stays so for a second; the limit where it is not. */
const untilRight = (run: Run, link: LinkSetting, random: Random, limitMs: number, load: Load): number => {
  let r = run
  let rightSince = r.nowMs
  while (r.nowMs - run.nowMs < limitMs) {
    r = play(r, link, random, 20, load)
    if (!isRight(r, link)) rightSince = r.nowMs
    else if (r.nowMs - rightSince >= 1000) return rightSince - run.nowMs
  }
  return limitMs
}

const steps: ReadonlyArray<readonly [LinkSetting, LinkSetting]> = [
  ...linkSteps,
  [
    { mbps: 200, delayMs: 20 },
    { mbps: 20, delayMs: 60 },
  ],
  [
    { mbps: 5, delayMs: 20 },
    { mbps: 100, delayMs: 2 },
  ],
]
const seeds = [1, 2, 3]

describe("probing an idle link", () => {
  const grid = [5, 50, 200].flatMap((mbps) => [0, 5, 20, 100].map((delayMs) => ({ mbps, delayMs })))

  it.each(grid)(
    "knows $mbps Mbps and $delayMs ms after five seconds, for less than 1 % of the link",
    (link) => {
      const random = seededRandom(3)
      const settled = play(start(), link, random, 5000)
      assert.isTrue(isRight(settled, link), JSON.stringify(estimate(settled.history, settled.nowMs)))
      const later = play(settled, link, random, 60_000)
      assert.isTrue(isRight(later, link))
      const bytes = later.probeBytes - settled.probeBytes
      assert.isBelow(bytes / ((link.mbps * 1e6 * 60) / 8), 0.01)
    },
  )

  it.each(steps)("is right again within five seconds of a step (%j to %j)", (before, after) => {
    for (const seed of seeds) {
      const random = seededRandom(seed)
      const settled = play(start(), before, random, 12_000 + 500 * seed)
      assert.isBelow(untilRight(settled, after, random, 10_000, idle), 5000)
    }
  })

  it("finds a fast link by larger and larger probes", () => {
    const link = { mbps: 500, delayMs: 1 }
    const found = play(start(), link, seededRandom(5), 10_000)
    const mbps = estimate(found.history, found.nowMs)?.mbps ?? 0
    assert.isBelow(Math.abs(mbps / 500 - 1), 0.25)
  })
})

describe("probing under traffic", () => {
  it.each(steps)("is right again within two seconds of a step (%j to %j)", (before, after) => {
    for (const seed of seeds) {
      const random = seededRandom(seed)
      const settled = play(start(), before, random, 12_000, busy)
      assert.isBelow(untilRight(settled, after, random, 10_000, busy), 2000)
    }
  })

  it.each([5, 20, 50])(
    "leaves the bandwidth of a link of %i Mbps to the tiles that travel anyway",
    (mbps) => {
      const random = seededRandom(7)
      const settled = play(start(), { mbps, delayMs: 5 }, random, 10_000, busy)
      const later = play(settled, { mbps, delayMs: 5 }, random, 60_000, busy)
      assert.isBelow((later.probeBytes - settled.probeBytes) / ((mbps * 1e6 * 60) / 8), 0.001)
    },
  )

  it("still probes a link on which tiles are too short to tell", () => {
    const link = { mbps: 400, delayMs: 2 }
    const random = seededRandom(9)
    const run = play(play(start(), link, random, 5000, busy), link, random, 30_000, busy)
    assert.isAbove(run.probes, 5)
    assert.isBelow(Math.abs((estimate(run.history, run.nowMs)?.mbps ?? 0) / 400 - 1), 0.25)
  })
})

describe("probing on a busy machine", () => {
  it.each([1, 2, 3, 4, 5, 6])(
    "finds a fast link behind tiles that noise makes look slow (seed %i)",
    (seed) => {
      const link = { mbps: 500, delayMs: 5 }
      const load = { tilesPerS: 16, tileBytes: 30_000, noiseMs: 2 }
      const random = seededRandom(seed)
      const settled = play(start(), link, random, 10_000, load)
      const later = play(settled, link, random, 30_000, load)
      assert.isBelow(Math.abs((estimate(later.history, later.nowMs)?.mbps ?? 0) / 500 - 1), 0.35)
      assert.isBelow((later.probeBytes - settled.probeBytes) / ((500e6 * 30) / 8), 0.01)
    },
  )
})

describe("probing with witnesses", () => {
  const link = { mbps: 50, delayMs: 5 }

  it("leaves a link alone that others measure, but for a look now and then", () => {
    const random = seededRandom(11)
    const settled = play(start(), link, random, 10_000)
    const vouched = (nowMs: number) => ({ ...noWitness, measuredMs: nowMs - 1000 })
    const later = play(settled, link, random, 60_000, idle, vouched)
    assert.isAtMost(later.probes - settled.probes, 6)
    assert.isAtLeast(later.probes - settled.probes, 2)
  })

  it("looks at once when another device sees the link change", () => {
    const random = seededRandom(13)
    const settled = play(start(), link, random, 10_000)
    const moved = (nowMs: number) => ({ measuredMs: nowMs, movedMs: settled.nowMs + 50 })
    const later = play(settled, link, random, 300, idle, moved)
    assert.isAtLeast(later.probes - settled.probes, 1)
  })
})

describe("doubts", () => {
  it("are settled by a few more pings, and a lone late one changes nothing", () => {
    const link = { mbps: 50, delayMs: 10 }
    const random = seededRandom(15)
    const settled = play(start(), link, random, 10_000)
    const odd = observePing(settled.history, { roundTripMs: 90, remoteMs: 0, nowMs: settled.nowMs })
    assert.isTrue(wantsPing(odd))
    const later = play({ ...settled, history: odd }, link, random, 200)
    assert.isFalse(wantsPing(later.history))
    assert.isTrue(isRight(later, link))
  })

  it("do not take a queue for a longer delay while other pings meet none", () => {
    const random = seededRandom(17)
    const settled = play(start(), { mbps: 5, delayMs: 10 }, random, 10_000)
    let history = settled.history
    for (let i = 1; i <= 6; i++) {
      const nowMs = settled.nowMs + 200 * i
      history = observePing(history, { roundTripMs: 70 + i, remoteMs: 0, nowMs, queued: true })
    }
    const e = estimate(history, settled.nowMs + 1300)
    assert.approximately(e?.delayMs ?? 0, 10, 1)
  })
})
