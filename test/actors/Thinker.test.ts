import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Thinker } from "../../actors/Thinker.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { accuracyPredictorFile } from "../../policies/ArtifactAccuracy.ts"
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

/** A directory in which the planning thread finds this as its accuracy predictor. */
const artifactWith = (predictor: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = mkdtempSync(join(tmpdir(), "murmuration-thinker-"))
      writeFileSync(join(directory, accuracyPredictorFile), predictor)
      return directory
    }),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true })),
  )

it.live(
  "a planning thread that cannot start is tried a few times, then left alone, and every question is answered",
  () =>
    Effect.gen(function* () {
      const artifact = yield* artifactWith("no predictor")
      const profiles = [shippedProfile("raspberry-pi-4")]
      yield* Effect.gen(function* () {
        const thinker = yield* Thinker
        const reasons: Array<string> = []
        while (!reasons.at(-1)?.includes("died too often")) {
          reasons.push((yield* Effect.flip(thinker.decide(query))).detail)
          assert.isAtMost(reasons.length, 8)
        }
        assert.include(reasons[0], "the planning thread ended")
      }).pipe(Effect.provide(Thinker.layer({ spec: tinySpec, profiles, artifact })))
    }).pipe(Effect.scoped),
)
