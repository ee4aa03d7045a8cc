import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { algorithms } from "../../policies/Algorithms.ts"
import { loadScenario, type Scenario } from "../../policies/Scenario.ts"
import type { Setting } from "../../policies/Setting.ts"
import { train, trainDefaults, type TrainOptions } from "../../policies/Train.ts"
import { tinyWorld } from "./TinyWorld.ts"

const folder = mkdtempSync(join(tmpdir(), "policy-train-"))
afterAll(() => rmSync(folder, { recursive: true }))

const scenario: Scenario = {
  ...loadScenario("augmented"),
  local: "slow",
  remotes: ["fast"],
  latencySloMs: { min: 20, max: 300, scale: "log", points: 10 },
}
const setting: Setting = { scenario, world: tinyWorld, accuracyName: "tiny", models: "tiny" }
const small: TrainOptions = {
  ...trainDefaults,
  iterations: 60,
  stepsPerIteration: 64,
  batch: 32,
  hidden: 32,
  validateEvery: 20,
  validationCount: 48,
  oracle: { searchEvaluations: 800, polishEvaluations: 400, seed: 1 },
  cacheFolder: folder,
}

describe("training", () => {
  it.each(algorithms)(
    "%s runs, counts its environment steps, and gives the same curve for the same seed",
    async (algorithm) => {
      const options = { ...small, iterations: 4, validateEvery: 2, algorithm }
      const [first, second] = [await train(setting, options), await train(setting, options)]
      const scores = (t: typeof first) => t.curve.map((r) => [r.iteration, r.steps, r.score.reward, r.loss])
      expect(scores(first)).toEqual(scores(second))
      const { stepsPerIteration } = small
      // SUPREME explores in three of the four iterations; in the last it only rolls out, to correct itself.
      const steps = {
        supreme: 2 + 3 * stepsPerIteration + stepsPerIteration / 4,
        gcsl: 2 + 4 * stepsPerIteration,
        ppo: 4 * stepsPerIteration,
      }
      expect(first.curve.at(-1)?.steps).toBe(steps[algorithm])
    },
  )

  it("SUPREME's buffer comes near to long searches, and its policy learns from it", async () => {
    const { curve, oracle } = await train(setting, {
      ...small,
      supreme: { curriculum: 0.3, rollouts: 8, mutations: 200 },
    })
    const last = curve.at(-1)
    expect(oracle.compliance).toBeGreaterThan(0.4)
    expect(last?.remembered?.compliance).toBeGreaterThan(0.9)
    expect(last?.remembered?.reward).toBeGreaterThan(0.8)
    expect(last?.overOracle.reward).toBeGreaterThan(0.5)
  })

  it("goes on from its checkpoint, with its curve and its buffer", async () => {
    const checkpoint = join(folder, "checkpoint.bin")
    const options = { ...small, iterations: 20, validateEvery: 10, checkpoint }
    const begun = await train(setting, options)
    expect(existsSync(checkpoint)).toBe(true)
    const resumed = await train(setting, { ...options, iterations: 30 })
    expect(resumed.curve.map((r) => r.iteration)).toEqual([10, 20, 30])
    expect(resumed.curve.slice(0, 2)).toEqual(begun.curve)
    expect(resumed.curve.at(-1)?.details["buckets"]).toBeGreaterThan(
      0.5 * (begun.curve.at(-1)?.details["buckets"] ?? 0),
    )
  })
})
