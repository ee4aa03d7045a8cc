/** What people read in the terminal: answers, the demo's table, the steps after `deploy init`. */
import { Effect, Option, Result } from "effect"
import { describe, expect, it } from "vitest"
import { type DemoAnswer, placeOf, rightShare } from "../../cli/DemoMeasures.ts"
import { answerRow, findersLine, overrunLine, summaryTable } from "../../cli/DemoReport.ts"
import { nextSteps } from "../../cli/DeployInit.ts"
import { describeReply } from "../../cli/Infer.ts"
import { chosenSlo } from "../../cli/SloFlags.ts"
import { newSwarm } from "../../deploy/Swarm.ts"
import { DeviceId, RequestId, StrategyId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"

const pi = DeviceId.make("pi-1")
const reply: InferReply = {
  id: RequestId.make("1"),
  device: pi,
  classes: [
    { index: 8, name: "golf ball", probability: 0.777 },
    { index: 0, name: "tench", probability: 0.1 },
  ],
  latencyMs: 35,
  breakdown: { queueMs: 0, decodeMs: 4, planMs: 1, reconfigMs: 0, executeMs: 30 },
  slo: { latencyMs: 80 },
  sloMet: true,
  predicted: { latencyMs: 40, accuracy: 0.74 },
  strategyId: StrategyId.make("0123456789abcdef"),
  summary: { resolution: 128, depths: [2], devices: [pi], tasks: 1, crossings: 0, text: "stem-head on pi-1" },
  origin: "cache",
  foundBy: "repair",
  replans: 0,
  supernet: { name: "default", version: "3" },
  trained: true,
}
const image = { name: "ball.jpg", bytes: new Uint8Array(), label: "golf ball" }
const answer = (change: Partial<DemoAnswer>): DemoAnswer => {
  return { phase: "good Wi-Fi", atMs: 0, image, slo: reply.slo, reply, ...change }
}

describe("an answer", () => {
  it("says what it is, whether it came in time, and where it ran", () => {
    const text = describeReply(reply)
    for (const part of [
      "golf ball 77.7 %",
      "35.0 ms on pi-1",
      "latency <= 80 ms: met",
      "stem-head on pi-1",
      "found by: repair",
    ])
      expect(text).toContain(part)
    expect(text).not.toContain("untrained")
  })

  it("of untrained weights says so, and a missed accuracy is said to be missed", () => {
    const text = describeReply({ ...reply, trained: false, slo: { accuracy: 0.9 }, sloMet: false })
    expect(text).toContain("untrained weights")
    expect(text).toContain("accuracy >= 90.0 %: missed")
  })
})

describe("the demo's table", () => {
  it("counts answers, those in time, right ones and errors, phase by phase and in all", () => {
    const wrong = { ...reply, sloMet: false, classes: [{ index: 0, name: "tench", probability: 0.9 }] }
    const rows = summaryTable([answer({}), answer({ reply: wrong }), answer({ reply: "nobody listens" })])
      .split("\n")
      .map((line) => line.split(/ {2,}/))
    const [requests, met, right, errors] = [1, 2, 6, 7].map((i) => rows[1]?.[i])
    expect([requests, met, right, errors]).toEqual(["3", "33.3 %", "33.3 %", "1"])
    expect(rows.at(-1)?.[0]).toBe("all")
  })

  it("knows the right answers only where pictures have them and weights are trained", () => {
    const untrained = { ...reply, trained: false }
    const drawn = { ...image, label: undefined }
    expect(rightShare([answer({}), answer({ reply: "nobody listens" })])).toBe(0.5)
    expect(rightShare([answer({ image: drawn })])).toBeUndefined()
    expect(rightShare([answer({ reply: untrained })])).toBeUndefined()
  })

  it.each([
    ["local", 0, "stem 2x1 on pi-1 · first-head on pi-1"],
    ["offloaded", 2, "stem-head 8bit on pi-3"],
    ["split", 2, "stem 2x1 on pi-1 · first-head 8bit on pi-3"],
    ["tiled", 4, "stem-b4 2x2 on pi-1,pi-3,pi-1,pi-3 · b5-head on pi-1"],
  ])("calls a strategy %s by who computes what", (place, crossings, stretches) => {
    const text = `224px d44444 e6.0 · ${stretches}`
    expect(placeOf({ summary: { ...reply.summary, crossings, text } })).toBe(place)
  })

  it("tells who found the strategies, and who waited for that", () => {
    const waited = { ...reply, origin: "policy", foundBy: "policy" } as const
    const line = findersLine([
      answer({}),
      answer({}),
      answer({}),
      answer({ reply: waited }),
      answer({ reply: "nobody listens" }),
    ])
    expect(line).toContain("the policy 25.0 %")
    expect(line).toContain("proposal 75.0 %")
    expect(line).toContain("25.0 % of the answers waited")
    expect(line).not.toContain("search alone")
  })

  it("says where the machine was slower than what it emulates, and nothing where it was not", () => {
    const task = {
      task: 0,
      device: pi,
      gatherMs: 0,
      queueMs: 0,
      computeMs: 30,
      packMs: 0,
      bytesIn: 1,
      bytesOut: 1,
    }
    const slow = { ...reply, timeline: [task, { ...task, task: 1, overrunMs: 12 }] }
    const fast = { ...reply, timeline: [task] }
    expect(overrunLine([answer({ reply: fast }), answer({ reply: slow })])).toContain(
      "In 50.0 % of the answers",
    )
    expect(
      overrunLine([answer({ reply: fast }), answer({}), answer({ reply: "nobody listens" })]),
    ).toBeUndefined()
  })

  it("has no latency where nothing was answered", () => {
    const [, row] = summaryTable([answer({ reply: "nobody listens" })]).split("\n")
    expect(row).not.toMatch(/NaN|0 ms/)
  })

  it("shows the right answer beside a wrong one, and an error instead of an answer", () => {
    expect(answerRow(answer({ image: { ...image, label: "church" } })).join(" ")).toContain("(is: church)")
    expect(answerRow(answer({ reply: "no answer within 5000 ms" }))).toContain("no answer within 5000 ms")
  })
})

it("the steps after deploy init name the buckets, and each command's directory", () => {
  const swarm = newSwarm({ host: "192.168.1.10", devices: [pi], storeDir: "/var/lib" })
  const text = nextSteps("my-swarm", { swarm, added: [pi], files: ["a"] })
  for (const part of [
    "my-swarm/hub",
    "192.168.1.10",
    "deploy buckets --credentials my-swarm/hub/operator.json",
  ])
    expect(text).toContain(part)
})

describe("an objective", () => {
  const chosen = (latency?: number, accuracy?: number) =>
    Effect.result(
      chosenSlo({ latency: Option.fromNullishOr(latency), accuracy: Option.fromNullishOr(accuracy) }),
    ).pipe(Effect.map((r) => (Result.isSuccess(r) ? r.success : r.failure.message)))

  it.each([
    [140, undefined, { latencyMs: 140 }],
    [undefined, 0.85, { accuracy: 0.85 }],
    [undefined, undefined, "say what you want: exactly one of --latency and --accuracy (none was given)"],
    [140, 0.85, "say what you want: exactly one of --latency and --accuracy (both were given)"],
    [-1, undefined, "nothing takes -1 ms"],
    [undefined, 85, "an accuracy of 85: it is the share of right answers, 0 to 1"],
  ])("of latency %s and accuracy %s is taken, or said to be wrong", async (latency, accuracy, wanted) => {
    const got = await Effect.runPromise(chosen(latency, accuracy))
    expect(got).toEqual(wanted)
  })
})
