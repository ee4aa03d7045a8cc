import { assert, describe, it } from "@effect/vitest"
import { faultKinds, faultScript } from "../../bench/chaos/Faults.ts"
import { afterFarewell, killExtras, stillPlannedMs, withinSlo } from "../../bench/chaos/Measures.ts"
import type { Outcome } from "../../bench/chaos/Traffic.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"
import { seededRandom } from "../../supernet/Random.ts"

describe("a script of faults", () => {
  const script = faultScript(5, [3, 4], 600_000, 5000, seededRandom(3))

  it("is the same for the same seed, has all kinds, and one every five seconds on average", () => {
    assert.deepStrictEqual(script, faultScript(5, [3, 4], 600_000, 5000, seededRandom(3)))
    assert.deepStrictEqual([...new Set(script.map((f) => f.kind))].toSorted(), [...faultKinds].toSorted())
    assert.approximately(script.length, 120, 25)
  })

  it("never has more than two devices in trouble at once", () => {
    for (const { atMs } of script) {
      const troubled = script.filter((f) => f.device >= 0 && f.atMs <= atMs && atMs < f.atMs + f.forMs)
      assert.isAtMost(new Set(troubled.map((f) => f.device)).size, 2)
    }
  })
})

describe("what is measured of a recovery", () => {
  const [a, b] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
  const among = (...devices: ReadonlyArray<DeviceId>): InferReply["summary"] => ({
    resolution: 160,
    depths: [2],
    devices,
    tasks: 1,
    crossings: 0,
    text: "",
  })
  const outcome = (sentMs: number, doneMs: number, reply: Partial<InferReply>): Outcome => ({
    wish: { image: new Uint8Array(), picture: 0, slo: { latencyMs: 100 }, deadlineMs: 1000 },
    sentMs,
    doneMs,
    tries: 1,
    end: {
      kind: "answer",
      reply: {
        device: a,
        summary: among(a),
        sloMet: true,
        latencyMs: doneMs - sentMs,
        ...reply,
      } as InferReply,
    },
  })
  const recovery = { lost: [b], hedged: true, predictedMs: 100 }
  const outcomes = [
    outcome(0, 90, {}),
    outcome(100, 350, { recovery, sloMet: false }),
    outcome(260, 500, { recovery }),
    outcome(300, 400, {}),
    outcome(1000, 1080, { summary: among(a, b) }),
  ]
  const kills = [{ device: b, atMs: 200 }]

  it("is the time beyond the prediction of what was under way on a killed device, and of nothing else", () => {
    assert.deepStrictEqual(killExtras(outcomes, kills), [150])
  })
  it("is how long plans went on with it while it was away", () => {
    assert.deepStrictEqual(stillPlannedMs(outcomes, kills, [], 4000), [60])
    assert.deepStrictEqual(stillPlannedMs(outcomes, kills, [{ device: b, atMs: 250 }], 4000), [0])
  })
  it("tells who was late for a farewell from who was late for a slow device", () => {
    const [left, slow] = [
      { lost: [b], overdue: [] },
      { lost: [b], overdue: [b] },
    ]
    const seen = [left, slow, { lost: [a], overdue: [] }].map((given) =>
      outcome(150, 400, { recovery: { ...given, hedged: false, predictedMs: 100 } }),
    )
    const farewells = [{ device: b, atMs: 200 }]
    assert.deepStrictEqual(afterFarewell([...seen, ...outcomes.slice(0, 1)], farewells), {
      requests: 3,
      late: 1,
      slow: 1,
    })
  })
  it("is the share within the objective of all that were asked", () => {
    const lost: Outcome = { ...outcome(0, 1, {}), end: { kind: "error", tag: "Late", message: "" } }
    assert.approximately(withinSlo([...outcomes, lost]), 4 / 6, 1e-9)
  })
})
