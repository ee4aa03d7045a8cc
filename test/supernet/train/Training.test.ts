import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { normal, seededRandom } from "../../../supernet/Random.ts"
import { maxSubmodel, minSubmodel } from "../../../supernet/Submodel.ts"
import { sortChannels } from "../../../supernet/train/ChannelSort.ts"
import { readCheckpoint, readState, writeCheckpoint } from "../../../supernet/train/Checkpoint.ts"
import { KernelNetwork, plainPlan } from "../../../supernet/train/KernelNetwork.ts"
import { crossEntropy, smoothedLabels } from "../../../supernet/train/Loss.ts"
import { packParameters, parameterLayout, unpackParameters } from "../../../supernet/train/Parameters.ts"
import { batchAt, defaultRecipe, learningRateAt, stepPlan } from "../../../supernet/train/Recipe.ts"
import { optimizerState, sharedBuffers } from "../../../supernet/train/Shared.ts"
import { train } from "../../../supernet/train/Trainer.ts"
import { makeColourImages } from "../ColourImages.ts"
import { largestDifference, livelyWeights, tinySpec } from "../Tiny.ts"

let folder = ""

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "murmuration-train-"))
  process.env["MURMURATION_CACHE"] = join(folder, "cache")
  await makeColourImages(folder)
})
afterAll(() => {
  delete process.env["MURMURATION_CACHE"]
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

const recipe = {
  ...defaultRecipe,
  batch: 8,
  largestSteps: 2,
  warmUpSteps: 2,
  // A constant rate: the schedule follows the share of the budget, which differs between the runs compared here.
  finalLearningRate: defaultRecipe.learningRate,
  resolutionWeights: { 64: 1 },
  largestResolutionWeights: { 64: 1 },
}

const options = (output: string, steps: number) => ({
  data: folder,
  output: join(folder, output),
  widthMultiplier: 0.25,
  workers: 2,
  inStep: true,
  minutes: 1e6,
  steps,
  checkpointMinutes: 1e6,
  checkMinutes: 1e6,
  recipe,
  onStep: () => {},
  onCheck: () => {},
})

/** The vectors of a run's checkpoint. */
const vectorsOf = (output: string) => {
  const file = join(folder, output, "state.bin")
  const vectors = optimizerState(sharedBuffers(parameterLayout(readState(file).spec).size, 1))
  return { state: readCheckpoint(file, vectors)!, vectors }
}

describe("training", () => {
  it("gives the same weights when it is stopped at a step and resumed as when it is not", async () => {
    await train(options("whole", 4))
    await train(options("parts", 2))
    expect(vectorsOf("parts").state.step).toBe(3)
    await train({ ...options("parts", 4) })
    const [whole, parts] = [vectorsOf("whole"), vectorsOf("parts")]
    expect(parts.state.step).toBe(whole.state.step)
    expect(parts.state.images).toBe(whole.state.images)
    for (const name of ["parameters", "momentum", "variance", "average"] as const) {
      expect(Buffer.from(parts.vectors[name].buffer).equals(Buffer.from(whole.vectors[name].buffer))).toBe(
        true,
      )
    }
  }, 180_000)

  it("by free workers counts every step and image once, and drops only gradients that the sorting overtook", async () => {
    const checks: Array<unknown> = []
    const onCheck = (report: unknown) => checks.push(report)
    await train({ ...options("free", 6), inStep: false, checkMinutes: 0, onCheck })
    const { state } = vectorsOf("free")
    // 48 held-out images are no batch of 50: there is nothing to say of them.
    expect(checks).toEqual([])
    // The other worker may be within a step while one sorts the channels: that step makes no update.
    expect([state.step - 1, state.step]).toContain(state.updates)
    expect(state.images).toBe(state.step * recipe.batch)
    expect(state.sorted).toBe(true)
  }, 180_000)
})

describe("a training that is told to stop while it decodes its images", () => {
  it("ends without a step, a checkpoint, or half a cache", async () => {
    const cache = join(folder, "stopped-cache")
    process.env["MURMURATION_CACHE"] = cache
    const before = new Set(process.listeners("SIGINT"))
    try {
      const steps: Array<unknown> = []
      const running = train({ ...options("stopped", 2), onStep: (report) => steps.push(report) })
      for (const stop of process.listeners("SIGINT").filter((l) => !before.has(l))) stop("SIGINT")
      expect(await running).toBe(false)
      expect([steps, existsSync(join(folder, "stopped", "state.bin")), readdirSync(cache)]).toEqual([
        [],
        false,
        [],
      ])
    } finally {
      process.env["MURMURATION_CACHE"] = join(folder, "cache")
    }
    expect(process.listeners("SIGINT")).toEqual([...before])
  })
})

describe("a checkpoint", () => {
  it("is refused by a supernet of another size", () => {
    const vectors = optimizerState(sharedBuffers(64, 1))
    const state = { spec: tinySpec, recipe, step: 1, updates: 1, images: 1, minutes: 1, sorted: false }
    writeCheckpoint(join(folder, "small.bin"), state, vectors)
    const other = optimizerState(sharedBuffers(128, 1))
    expect(() => readCheckpoint(join(folder, "small.bin"), other)).toThrow(/another supernet/)
  })

  it("keeps every tensor under its name", () => {
    const weights = livelyWeights(tinySpec, 1)
    const back = unpackParameters(tinySpec, packParameters(parameterLayout(tinySpec), weights))
    for (const [name, { data }] of back) {
      if (name.endsWith(".mean") || name.endsWith(".var")) continue
      expect(data).toEqual(weights.get(name)?.data)
    }
  })
})

describe("sorting channels", () => {
  it("leaves the largest submodel's answers as they are", async () => {
    const network = await KernelNetwork.make(tinySpec)
    network.parameters.set(packParameters(network.layout, livelyWeights(tinySpec, 2)))
    const random = seededRandom(3)
    const images = Float32Array.from({ length: 4 * 64 * 64 * 3 }, () => normal(random))
    const plan = plainPlan(tinySpec, maxSubmodel(tinySpec, 64))
    const before = network.forward(images, 4, plan).logits
    const sorted = network.parameters.slice()
    sortChannels(tinySpec, network.layout, [sorted])
    network.parameters.set(sorted)
    expect(largestDifference(network.forward(images, 4, plan).logits, before)).toBeLessThan(1e-3)
    expect(sorted).not.toEqual(packParameters(network.layout, livelyWeights(tinySpec, 2)))
  })
})

describe("the recipe", () => {
  it("trains the largest alone, then largest, random and smallest on the same images", () => {
    expect(stepPlan(tinySpec, recipe, 0).plans).toHaveLength(1)
    const { plans } = stepPlan(tinySpec, recipe, 2)
    expect(plans).toHaveLength(3)
    expect(plans[0]?.submodel).toEqual(maxSubmodel(tinySpec, 64))
    expect(plans[0]?.grids.every((g) => g === "1x1")).toBe(true)
    expect(plans[2]?.submodel).toEqual(minSubmodel(tinySpec, 64))
  })

  it("teaches random submodels and the smallest as often as it says, beside the largest in every step", () => {
    const rare = { ...recipe, randomSubmodels: 0.5, smallestShare: 0.25 }
    const steps = Array.from({ length: 400 }, (_, i) => stepPlan(tinySpec, rare, 10 + i).plans)
    expect(steps.every(([first]) => first?.submodel.depths.every((d) => d === 2))).toBe(true)
    const others = steps.reduce((sum, plans) => sum + plans.length - 1, 0) / steps.length
    expect(others).toBeGreaterThan(0.65)
    expect(others).toBeLessThan(0.85)
  })

  it("meets every grid and every width of values in training", () => {
    const plans = Array.from({ length: 60 }, (_, i) => stepPlan(tinySpec, recipe, 10 + i).plans).flat()
    expect(new Set(plans.flatMap((p) => p.grids))).toEqual(new Set(["1x1", "1x2", "2x1", "2x2"]))
    expect(new Set(plans.flatMap((p) => p.bits))).toEqual(new Set([32, 16, 8]))
  })

  it("meets submodels with one kernel throughout more often than chance would", () => {
    const submodels = Array.from(
      { length: 60 },
      (_, i) => stepPlan(tinySpec, recipe, 10 + i).plans[1]!.submodel,
    )
    const middle = submodels.filter(({ kernels }) => new Set(kernels.filter((k) => k > 0)).size === 1)
    expect(middle.filter(({ kernels }) => kernels[0] === 5).length).toBeGreaterThan(1)
    expect(middle.length).toBeLessThan(45)
  })

  it("warms up, then falls to the final rate, and keeps the cost of a step at high resolution", () => {
    expect(learningRateAt(recipe, 1, 0)).toBeCloseTo(recipe.learningRate / 2, 6)
    expect(learningRateAt(defaultRecipe, 1000, 1)).toBeCloseTo(defaultRecipe.finalLearningRate, 9)
    expect(batchAt({ ...recipe, batch: 32 }, 224) * 224 ** 2).toBeLessThan(32 * 135 ** 2)
  })
})

describe("cross entropy", () => {
  it("has the gradient that finite differences show", () => {
    const targets = smoothedLabels([2, 0], 3, 0.1)
    const logits = Float32Array.from([0.3, -0.2, 0.9, 1.1, 0.4, -0.7])
    const { dLogits } = crossEntropy(logits, targets, 3)
    for (let i = 0; i < logits.length; i++) {
      const loss = (by: number) =>
        crossEntropy(
          logits.map((v, j) => (j === i ? v + by : v)),
          targets,
          3,
        ).loss
      expect(dLogits[i]).toBeCloseTo((loss(1e-2) - loss(-1e-2)) / 2e-2, 3)
    }
  })
})
