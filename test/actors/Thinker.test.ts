import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Thinker } from "../../actors/Thinker.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { idealBandwidthMbps } from "../../policies/Condition.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const query = {
  condition: {
    devices: [{ id: "a", type: "raspberry-pi-4", bandwidthMbps: idealBandwidthMbps, delayMs: 0 }],
  },
  slo: { kind: "latency", latencyMs: 100 },
  budgetMs: 10,
  hints: [],
} as const

/** Of another supernet: the planning thread cannot make a model of it. */
const predictor = {
  format: "murmuration-accuracy-2",
  supernet: "another",
  hidden: 0,
  features: [],
  bias: [0],
  output: [],
  heldOut: { strategies: 0, meanAbsoluteError: 0, kendallTau: 0 },
} as const

it.live(
  "a planning thread that cannot start is tried a few times, then left alone, and every question is answered",
  () =>
    Effect.gen(function* () {
      const profiles = [shippedProfile("raspberry-pi-4")]
      yield* Effect.gen(function* () {
        const thinker = yield* Thinker
        const reasons: Array<string> = []
        while (!reasons.at(-1)?.includes("died too often")) {
          reasons.push((yield* Effect.flip(thinker.decide(query))).detail)
          assert.isAtMost(reasons.length, 8)
        }
        assert.include(reasons[0], "the planning thread ended")
      }).pipe(Effect.provide(Thinker.layer({ spec: tinySpec, profiles, predictor })))
    }).pipe(Effect.scoped),
)
