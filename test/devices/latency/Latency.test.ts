import { assert, describe, it } from "@effect/vitest"
import { type Condition, idealLink, symmetricLink } from "../../../devices/latency/Condition.ts"
import { criticalPath, explainText, usage } from "../../../devices/latency/Explain.ts"
import { maxDevices } from "../../../devices/latency/FastGraph.ts"
import { FastLatency } from "../../../devices/latency/FastLatency.ts"
import { ganttSvg } from "../../../devices/latency/Gantt.ts"
import { defaultOverheads, noOverheads } from "../../../devices/latency/Overheads.ts"
import { timeline } from "../../../devices/latency/Timeline.ts"
import { taskMs, taskTime } from "../../../devices/profiles/BlockTime.ts"
import {
  shippedProfile,
  type ShippedProfileName,
  shippedProfileNames,
} from "../../../devices/profiles/Shipped.ts"
import { encodeStrategy, spaceOf } from "../../../policies/Genome.ts"
import { below, pick, type Random, seededRandom } from "../../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../../supernet/Spec.ts"
import {
  localStrategy,
  normalizeStrategy,
  sampleStrategy,
  type Strategy,
} from "../../../supernet/Strategy.ts"
import { activeBlocks, maxSubmodel } from "../../../supernet/Submodel.ts"
import { taskGraph } from "../../../supernet/TaskGraph.ts"

const spec = ofaMobileNetV3({
  name: "half",
  version: "1",
  widthMultiplier: 0.5,
  classes: Array.from({ length: 10 }, (_, i) => `${i}`),
})
const space = spaceOf(spec)
const ids = ["a", "b", "c", "d", "e"]
const profiles = shippedProfileNames.map(shippedProfile)
const profileOf = (name: string) => shippedProfile(name as ShippedProfileName)

const randomCondition = (random: Random, count: number): Condition => ({
  devices: ids.slice(0, count).map((id, i) => ({
    id,
    profile: pick(random, shippedProfileNames),
    ...(random.next() < 0.3 ? { backlogMs: 200 * random.next() } : {}),
    link:
      i === 0 && random.next() < 0.7
        ? idealLink
        : {
            upMbps: 5 + 495 * random.next(),
            downMbps: 5 + 495 * random.next(),
            delayMs: 100 * random.next(),
          },
  })),
})

const sameDevices = (count: number, mbps: number, delayMs: number): Condition => ({
  devices: ids.slice(0, count).map((id, i) => ({
    id,
    profile: "raspberry-pi-4",
    link: i === 0 ? idealLink : symmetricLink(mbps, delayMs),
  })),
})

/** Every block on a 2x2 grid over the devices in turn, head local. */
const spread = (devices: ReadonlyArray<string>): Strategy => {
  const submodel = maxSubmodel(spec, 224)
  const blocks = activeBlocks(spec, submodel)
  return normalizeStrategy(spec, {
    submodel,
    devices: [...devices],
    blocks: blocks.map((b) =>
      b.kind === "head"
        ? { grid: "1x1", bits: 8, placement: [0] }
        : { grid: "2x2", bits: 8, placement: [0, 1, 2, 3].map((t) => t % devices.length) },
    ),
  })
}

describe("the two latency models", () => {
  it.each([defaultOverheads, { ...defaultOverheads, chunkBytes: 4096 }, noOverheads])(
    "agree to a billionth for any strategy, devices and links (overheads %#)",
    (overheads) => {
      const random = seededRandom(7)
      const fast = new FastLatency(spec, profiles, overheads)
      for (let i = 0; i < 1500; i++) {
        const condition = randomCondition(random, 1 + below(random, 5))
        const names = condition.devices.map((d) => d.id)
        const strategy = sampleStrategy(spec, names, random, { locality: random.next() })
        fast.setCondition(condition)
        const quick = fast.latencyMs(encodeStrategy(space, strategy, names))
        const explained = timeline({ spec, strategy, condition, profileOf, overheads }).latencyMs
        assert.approximately(quick, explained, 1e-9 * explained, JSON.stringify({ condition, strategy }))
      }
    },
  )
})

it("the fast latency model refuses more devices than it has room for", () => {
  const fast = new FastLatency(spec, profiles)
  fast.setDevice(maxDevices - 1, 0, idealLink)
  assert.throws(() => fast.setDevice(maxDevices, 0, idealLink), /64 at most/)
})

describe("a timeline", () => {
  it("of a local strategy is decode, one task, and the fixed overheads", () => {
    const strategy = localStrategy(spec, maxSubmodel(spec, 224), "a")
    const condition = sameDevices(1, 100, 0)
    const pi = shippedProfile("raspberry-pi-4")
    const graph = taskGraph(spec, strategy)
    const compute = graph.tasks.reduce((s, t) => s + taskMs(taskTime(pi, spec, graph, t)), 0)
    const { requestMs, taskMs: fixed, replyMs } = defaultOverheads
    const expected = requestMs + pi.decodeMs + fixed + compute + replyMs
    assert.approximately(timeline({ spec, strategy, condition, profileOf }).latencyMs, expected, 1e-9)
  })

  it("charges a remote run image and result transfers at the link's rate and delay", () => {
    const { latencyMs: local } = timeline({
      spec,
      strategy: localStrategy(spec, maxSubmodel(spec, 224), "a"),
      condition: sameDevices(1, 1, 0),
      profileOf,
      overheads: noOverheads,
    })
    const blocks = localStrategy(spec, maxSubmodel(spec, 224), "a").blocks.map((b) => ({
      ...b,
      placement: [1],
    }))
    const strategy = normalizeStrategy(spec, {
      submodel: maxSubmodel(spec, 224),
      devices: ["a", "b"],
      blocks,
    })
    const { latencyMs } = timeline({
      spec,
      strategy,
      condition: sameDevices(2, 40, 15),
      profileOf,
      overheads: noOverheads,
    })
    const imageMs = (224 * 224 * 3 * 8) / 40e3
    const resultMs = (40 * 8) / 40e3
    assert.approximately(latencyMs, local + imageMs + resultMs + 2 * 15, 1e-9)
  })

  it("starts nothing on a busy device before that is done with what it has, and is no longer than waiting for all", () => {
    const random = seededRandom(19)
    for (let i = 0; i < 200; i++) {
      const strategy = sampleStrategy(spec, ids, random, { locality: 0.8 })
      const idle = sameDevices(5, 100, 5)
      const backlogs = ids.map(() => 100 * random.next())
      const busy: Condition = {
        ...idle,
        devices: idle.devices.map((d, k) => ({ ...d, backlogMs: backlogs[k] ?? 0 })),
      }
      const [free, late] = [idle, busy].map((condition) => timeline({ spec, strategy, condition, profileOf }))
      if (free === undefined || late === undefined) continue
      for (const span of late.tasks) {
        const at = ids.indexOf(late.devices[span.device]?.id ?? "")
        assert.isAtLeast(span.startMs, backlogs[at] ?? 0)
      }
      assert.isAtMost(late.latencyMs, 1.02 * free.latencyMs + Math.max(...backlogs))
    }
  })

  it("never gets shorter when a link gets slower or a delay longer", () => {
    const random = seededRandom(11)
    for (let i = 0; i < 200; i++) {
      const strategy = sampleStrategy(spec, ids, random, { locality: 0.8 })
      const [mbps, delayMs] = [5 + 200 * random.next(), 50 * random.next()]
      const at = (rate: number, delay: number) =>
        timeline({ spec, strategy, condition: sameDevices(5, rate, delay), profileOf }).latencyMs
      // A later start of one message may let another overtake it, so the promise holds up to such an exchange.
      assert.isAtMost(at(mbps, delayMs), 1.02 * at(mbps / 2, delayMs))
      assert.isAtMost(at(mbps, delayMs), 1.02 * at(mbps, delayMs + 20))
    }
  })

  it("gives no device and no link two things at once", () => {
    const random = seededRandom(13)
    for (let i = 0; i < 100; i++) {
      const condition = randomCondition(random, 5)
      const t = timeline({ spec, strategy: sampleStrategy(spec, ids, random), condition, profileOf })
      const disjoint = (spans: ReadonlyArray<readonly [number, number]>) => {
        const sorted = [...spans].sort((a, b) => a[0] - b[0] || a[1] - b[1])
        for (const [k, span] of sorted.entries()) {
          assert.isAtLeast(span[0] + 1e-9, sorted[k - 1]?.[1] ?? 0)
        }
      }
      for (const device of t.devices.keys()) {
        disjoint(t.tasks.filter((s) => s.device === device).map((s) => [s.startMs, s.endMs]))
        disjoint(t.transfers.filter((x) => x.from === device).map((x) => [x.upStartMs, x.upEndMs]))
        disjoint(t.transfers.filter((x) => x.to === device).map((x) => [x.downStartMs, x.downEndMs]))
      }
    }
  })

  it("is explained by a critical path without gaps that adds up to the latency", () => {
    const random = seededRandom(17)
    for (let i = 0; i < 200; i++) {
      const condition = randomCondition(random, 5)
      const t = timeline({ spec, strategy: sampleStrategy(spec, ids, random), condition, profileOf })
      const path = criticalPath(t)
      assert.strictEqual(path[0]?.startMs, 0)
      for (const [k, step] of path.entries()) {
        assert.approximately(step.startMs, path[k - 1]?.endMs ?? 0, 1e-9)
        assert.isAtLeast(step.endMs, step.startMs - 1e-9)
      }
      assert.approximately(path.at(-1)?.endMs ?? 0, t.latencyMs, 1e-9)
      const began = path[0]?.endMs ?? 0
      if (path[0]?.kind === "image") assert.approximately(began, t.imageReadyMs, 1e-9)
      else
        assert.include(
          t.devices.map((d) => d.backlogMs ?? 0),
          began,
        )
    }
  })

  it("prints as a table and as a Gantt chart with a row per device", () => {
    const t = timeline({
      spec,
      strategy: spread(ids.slice(0, 4)),
      condition: sameDevices(4, 100, 5),
      profileOf,
    })
    const text = explainText(t)
    assert.include(text, "critical path")
    assert.match(text, /tile [1-4] of 2x2/)
    for (const id of ids.slice(0, 4)) assert.include(text, id)
    const svg = ganttSvg(t)
    assert.strictEqual(svg.match(/<rect /g)?.length, 1 + t.tasks.length + countVisible(t))
    assert.isBelow(Math.min(...usage(t).map((u) => u.idleShare)), 0.9)
  })

  it("shows four devices answering sooner than one on fast links", () => {
    const one = timeline({
      spec,
      strategy: localStrategy(spec, maxSubmodel(spec, 224), "a"),
      condition: sameDevices(1, 500, 1),
      profileOf,
    })
    const four = timeline({
      spec,
      strategy: spread(ids.slice(0, 4)),
      condition: sameDevices(4, 500, 1),
      profileOf,
    })
    assert.isBelow(four.latencyMs, 0.8 * one.latencyMs)
  })
})

const countVisible = (t: ReturnType<typeof timeline>): number =>
  t.transfers.reduce(
    (n, x) => n + (x.upEndMs > x.upStartMs ? 1 : 0) + (x.downEndMs > x.downStartMs ? 1 : 0),
    0,
  )
