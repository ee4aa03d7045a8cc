/** The reply to a request that was answered: whether the objective was met, and which classes it names. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterEach, vi } from "vitest"
import { type Done, type Job, replyOf } from "../../actors/Job.ts"
import type { Self } from "../../actors/Self.ts"
import { topClasses } from "../../actors/TopClasses.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import type { InferRequest } from "../../subjects/InferMessages.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { localStrategy, strategyId } from "../../supernet/Strategy.ts"
import { minSubmodel } from "../../supernet/Submodel.ts"
import { taskGraph } from "../../supernet/TaskGraph.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const [here, there] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const spec = { ...tinySpec, classes: ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"] }
const self = { device: here, spec } as unknown as Self["Service"]
const strategy = localStrategy(spec, minSubmodel(spec), here)
const logits = Float32Array.of(0.5, -1, 3, 2.5, 0, 3.5, 1)
const arrivedMs = 1000

const done: Done = {
  planned: {
    strategy,
    predicted: { latencyMs: 40, accuracy: 0.75 },
    origin: "cache",
    foundBy: "policy",
    feasible: true,
  },
  outcome: {
    prepared: {
      strategyId: strategyId(spec, strategy),
      strategy,
      graph: taskGraph(spec, strategy),
      device: 0,
      timings: { built: 0, elapsedMs: 0 },
    },
    logits,
    timings: [],
    decodeMs: 4,
    reconfigMs: 2,
    executeMs: 30,
  },
  replans: 0,
  planMs: 1,
  recovery: undefined,
}

/** The reply after so many ms to a request like this one. */
const replyAfter = (tookMs: number, request: Partial<InferRequest>, change: Partial<Done> = {}) => {
  vi.spyOn(performance, "now").mockReturnValue(arrivedMs + tookMs)
  const job: Job = {
    id: RequestId.make("mine"),
    key: RequestId.make("pi-1-x-0"),
    request: { image: new Uint8Array(1), slo: { latencyMs: 100 }, topK: 5, include: [], ...request },
    arrivedMs,
    deadlineMs: arrivedMs + 10_000,
    image: () => Effect.succeed(new Uint8Array()),
  }
  return replyOf(self, job, { ...done, ...change }, 3)
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe("a reply's objective", () => {
  it("of a latency is met by the time that it took here, up to the bound itself, whatever was predicted", () => {
    const slo = { latencyMs: 100 }
    const met = [10, 99.99, 100, 100.01, 500].map((ms) => replyAfter(ms, { slo }).sloMet)
    assert.deepStrictEqual(met, [true, true, true, false, false])
    const pessimistic = { ...done.planned, predicted: { latencyMs: 900, accuracy: 0.1 }, feasible: false }
    assert.isTrue(replyAfter(100, { slo }, { planned: pessimistic }).sloMet)
  })

  it("of an accuracy is met by what the submodel is predicted to have, from the bound itself on, however long it took", () => {
    const met = [0.7, 0.75, 0.7501, 1].map((accuracy) => replyAfter(5000, { slo: { accuracy } }).sloMet)
    assert.deepStrictEqual(met, [true, true, false, false])
  })

  it("is the client's, beside the latency from the request's arrival on and where the time went", () => {
    const reply = replyAfter(123, { slo: { accuracy: 0.6 } })
    assert.deepStrictEqual(reply.slo, { accuracy: 0.6 })
    assert.strictEqual(reply.latencyMs, 123)
    const parts = { queueMs: 3, decodeMs: 4, planMs: 1, reconfigMs: 2, executeMs: 30 }
    assert.deepStrictEqual(reply.breakdown, parts)
  })
})

describe("a reply's classes", () => {
  it("are the likeliest, best first, by the softmax of the logits", () => {
    const { classes } = replyAfter(10, { topK: 3 })
    assert.deepStrictEqual(
      classes.map((c) => [c.index, c.name]),
      [
        [5, "fox"],
        [2, "cat"],
        [3, "dog"],
      ],
    )
    const sum = logits.reduce((total, x) => total + Math.exp(x), 0)
    for (const { index, probability } of classes)
      assert.closeTo(probability, Math.exp(logits[index] ?? Number.NaN) / sum, 1e-12)
  })

  it("begin with the largest logit and fall, for any logits, and all together make one", () => {
    const random = seededRandom(4)
    for (let n = 0; n < 200; n++) {
      // Also such as no exponential can hold.
      const scale = 10 ** (5 * random.next() - 1)
      const some = Float32Array.from({ length: spec.classes.length }, () => scale * (random.next() - 0.5))
      const classes = topClasses(some, spec.classes, 100)
      assert.strictEqual(classes[0]?.index, some.indexOf(Math.max(...some)))
      assert.sameMembers(
        classes.map((c) => c.name),
        spec.classes,
      )
      const probabilities = classes.map((c) => c.probability)
      assert.deepStrictEqual(
        probabilities,
        [...probabilities].sort((a, b) => b - a),
      )
      assert.closeTo(
        probabilities.reduce((a, b) => a + b, 0),
        1,
        1e-9,
      )
    }
  })
})

describe("a reply", () => {
  it("has logits, strategy and timeline only where they were asked for", () => {
    const bare = replyAfter(10, {})
    for (const part of ["logits", "strategy", "timeline"]) assert.notProperty(bare, part)
    const full = replyAfter(10, { include: ["logits", "strategy", "timeline"] })
    assert.deepStrictEqual(full.logits, [...logits])
    assert.deepStrictEqual(full.strategy, strategy)
    assert.deepStrictEqual(full.timeline, [])
  })

  it("says who found the strategy, and that it fell back where others were lost and one device answered", () => {
    const first = replyAfter(10, {})
    assert.deepInclude(first, { origin: "cache", foundBy: "policy", replans: 0, device: here })
    assert.notProperty(first, "recovery")
    const recovery = { lost: [there], hedged: false, predictedMs: 20 }
    const again = replyAfter(10, {}, { replans: 1, recovery })
    assert.deepInclude(again, { origin: "fallback", replans: 1, recovery })
  })
})
