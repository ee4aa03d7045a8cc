import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { algorithms } from "../../policies/Algorithms.ts"
import { loadOnnxPolicy } from "../support/OnnxPolicy.ts"
import { publishTraining } from "../../policies/Publish.ts"
import type { Scenario } from "../../policies/Scenario.ts"
import { loadScenario } from "../../policies/ScenarioFiles.ts"
import type { Setting } from "../../policies/Setting.ts"
import { train, trainDefaults, type TrainOptions } from "../../policies/Train.ts"
import { scoreStrategies } from "../../policies/Validation.ts"
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
      // In the two that correct it also runs what the buffer would have answered, where that has an answer.
      const rollouts = stepsPerIteration / 4
      const steps = {
        supreme: 2 + 3 * stepsPerIteration + rollouts,
        gcsl: 2 + 4 * stepsPerIteration,
        ppo: 4 * stepsPerIteration,
      }
      const answers = (first.curve.at(-1)?.steps ?? 0) - steps[algorithm]
      expect(answers).toBeGreaterThanOrEqual(algorithm === "supreme" ? rollouts : 0)
      expect(answers).toBeLessThanOrEqual(algorithm === "supreme" ? 2 * rollouts : 0)
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
    // Of the ten iterations that were added, some only correct: fewer roll-outs, and nothing that is remembered counts again.
    const added = (resumed.curve.at(-1)?.steps ?? 0) - (begun.curve.at(-1)?.steps ?? 0)
    expect(added).toBeLessThanOrEqual(10 * 1.25 * small.stepsPerIteration)
    expect(added).toBeGreaterThan(0)
  })

  it("of GCSL goes on with all that it had tried", async () => {
    const options = { ...small, algorithm: "gcsl" as const, validateEvery: 1 }
    const checkpoint = join(folder, "gcsl.bin")
    await train(setting, { ...options, iterations: 2, checkpoint })
    const { curve } = await train(setting, { ...options, iterations: 3, checkpoint })
    const kept = curve.map((r) => r.details["replay"])
    expect(kept).toEqual([1, 2, 3].map((n) => 2 + n * small.stepsPerIteration))
  })

  it("that goes on draws anew: not what it drew at its beginning", async () => {
    const checkpoint = join(folder, "drawn.bin")
    const options = { ...small, algorithm: "ppo" as const, rate: 1e-12, validateEvery: 1, checkpoint }
    await train(setting, { ...options, iterations: 1 })
    const { curve } = await train(setting, { ...options, iterations: 2 })
    expect(curve[1]?.rolloutReward).not.toBe(curve[0]?.rolloutReward)
  })

  it("that is finished gives its best validation and its weights again", async () => {
    const options = { ...small, iterations: 20, validateEvery: 2, checkpoint: join(folder, "finished.bin") }
    const first = await train(setting, options)
    const again = await train(setting, options)
    expect(again.best).toEqual(first.best)
    expect(again.curve).toEqual(first.curve)
    expect(again.network.parameters.copy()).toEqual(first.network.parameters.copy())
    expect(existsSync(`${options.checkpoint}.new`)).toBe(false)
  })

  it("is published with what its artifact reaches, and keeps its own weights", async () => {
    const options = { ...small, iterations: 20, validateEvery: 10 }
    const training = await train(setting, options)
    const trained = training.network.parameters.copy()
    const artifact = publishTraining(setting, options, training)
    expect(artifact.manifest.trainedBy).toContain("train --scenario augmented --algorithm")
    const begun = { ...options, startFrom: "older.bin" }
    const { trainedBy } = publishTraining(setting, begun, training, "mine.json").manifest
    expect(trainedBy).toMatch(/train --scenario mine.json .* --from older.bin \(accuracy/)
    expect(training.network.parameters.copy()).toEqual(trained)
    const runtime = await loadOnnxPolicy(artifact.onnx, training.network.shape)
    const decoded = await runtime.decode(training.validation)
    const { reward, compliance } = scoreStrategies(training.environment, training.validation, decoded)
    expect(artifact.manifest.metrics["reward"]).toBeCloseTo(reward, 9)
    expect(artifact.manifest.metrics["compliance"]).toBeCloseTo(compliance, 9)
    expect(artifact.manifest.metrics["rewardOverOracle"]).toBeCloseTo(reward / training.oracle.reward, 9)
  })

  it("refuses a checkpoint of other models, another SLO or other settings, and says what to do", async () => {
    const checkpoint = join(folder, "another.bin")
    const options = { ...small, iterations: 2, validateEvery: 2, checkpoint }
    await train(setting, options)
    const refused = (other: Setting, changed: Partial<TrainOptions>, what: RegExp) =>
      expect(train(other, { ...options, ...changed })).rejects.toThrow(what)
    await refused({ ...setting, models: "newer" }, {}, /accuracy model/)
    await expect(train({ ...setting, models: "newer" }, options)).rejects.toMatchObject({
      hint: expect.stringMatching(/remove it.*--from/),
    })
    await refused(setting, { kind: "accuracy" }, /latency SLO, not accuracy/)
    await refused(setting, { supreme: { safety: 0.02 } }, /other scenario or settings/)
    await refused(setting, { hidden: 16 }, /its network has \d+ weights/)
    // Its weights and memory may still be the start of another training.
    const from = { ...options, checkpoint: join(folder, "from.bin"), startFrom: checkpoint, iterations: 0 }
    const started = await train({ ...setting, models: "newer" }, from)
    expect(started.best.score).toEqual((await train(setting, options)).best.score)
  })
})
