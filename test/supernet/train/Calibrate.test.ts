import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { readArtifact, weightProblems, writeArtifact } from "../../../supernet/Artifact.ts"
import type { ImageSet } from "../../../supernet/Data.ts"
import { seededRandom } from "../../../supernet/Random.ts"
import { maxSubmodel, minSubmodel } from "../../../supernet/Submodel.ts"
import { batchNorm } from "../../../supernet/Weights.ts"
import { balancedSubmodels, calibrate, defaultCalibration } from "../../../supernet/train/Calibrate.ts"
import { writeWhole } from "../../../supernet/train/Augment.ts"
import { calibrateArtifact } from "../../../supernet/train/Export.ts"
import { KernelNetwork, plainPlan } from "../../../supernet/train/KernelNetwork.ts"
import { packParameters } from "../../../supernet/train/Parameters.ts"
import { makeColourImages } from "../ColourImages.ts"
import { largestDifference, livelyWeights, tinySpec } from "../Tiny.ts"

const noise = (size: number, count: number): ImageSet => {
  const pixels = new Uint8Array(new SharedArrayBuffer(count * size * size * 3))
  const random = seededRandom(size)
  for (let i = 0; i < pixels.length; i++) pixels[i] = random.next() * 256
  return {
    size,
    count,
    pixels,
    labels: Array.from({ length: count }, (_, i) => i % 3),
    classes: tinySpec.classes,
  }
}

const images = new Map(tinySpec.resolutions.map((r) => [r, noise(r, 24)]))
const weights = livelyWeights(tinySpec, 1)

describe("calibration", () => {
  it("of an artifact from elsewhere keeps its weights and says what was done", async () => {
    const folder = mkdtempSync(join(tmpdir(), "murmuration-calibrate-"))
    process.env["MURMURATION_CACHE"] = join(folder, "cache")
    try {
      const [from, to] = [join(folder, "from"), join(folder, "to")]
      await makeColourImages(folder)
      const precise = { training: "elsewhere", weights: "float32" } as const
      await Effect.runPromise(writeArtifact(from, tinySpec, weights, precise))
      await calibrateArtifact(from, to, folder, { ...defaultCalibration, submodels: 9, batch: 8 })
      const [before, after] = await Promise.all([from, to].map((d) => Effect.runPromise(readArtifact(d))))
      expect(after?.spec).toEqual({ ...before?.spec, version: "1-calibrated" })
      expect(after?.manifest).toMatchObject({ version: "1-calibrated", weights: "float32" })
      expect(after?.weights.get("blocks.0.dw")).toEqual(before?.weights.get("blocks.0.dw"))
      expect(before?.weights.has("blocks.3.stats.k7e6.dw_bn.mean")).toBe(false)
      expect(after?.weights.has("blocks.3.stats.k7e6.dw_bn.mean")).toBe(true)
      expect(after?.manifest.training).toMatch(/^elsewhere; statistics calibrated on murmuration-calibrate-/)
    } finally {
      delete process.env["MURMURATION_CACHE"]
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  })

  it("gives every block variant its statistics, the same at every resolution, in the artifact's form", async () => {
    const calibrated = await calibrate(tinySpec, weights, images, {
      ...defaultCalibration,
      submodels: 27,
      batch: 8,
    })
    expect(weightProblems(tinySpec, calibrated)).toEqual([])
    for (const kernel of tinySpec.kernels) {
      for (const expand of tinySpec.expands)
        expect(calibrated.has(`blocks.3.stats.k${kernel}e${expand}.dw_bn.mean`)).toBe(true)
    }
    expect([...calibrated.keys()].filter((name) => /stats\..*r\d/.test(name))).toEqual([])
  })

  it("gives each resolution its own statistics where asked to", async () => {
    const calibrated = await calibrate(tinySpec, weights, images, {
      ...defaultCalibration,
      submodels: 27,
      batch: 8,
      perResolution: true,
    })
    expect(weightProblems(tinySpec, calibrated)).toEqual([])
    for (const resolution of tinySpec.resolutions) {
      for (const kernel of tinySpec.kernels) {
        for (const expand of tinySpec.expands) {
          const name = `blocks.3.stats.k${kernel}e${expand}r${resolution}.dw_bn.mean`
          expect(calibrated.has(name)).toBe(true)
        }
      }
    }
  })

  it("of one submodel only gives that submodel its own moments", async () => {
    const calibrated = await calibrate(tinySpec, weights, images, {
      ...defaultCalibration,
      submodels: 0,
      batch: 16,
      perResolution: true,
    })
    const network = await KernelNetwork.make(tinySpec)
    network.parameters.set(packParameters(network.layout, weights))
    const plan = plainPlan(tinySpec, maxSubmodel(tinySpec, 64))
    const all = images.get(64)!
    const [count, length] = [all.count, all.size * all.size * 3]
    const pixels = new Float32Array(count * length)
    for (let i = 0; i < count; i++) writeWhole(all, i, tinySpec, pixels, i * length)
    let own = new Float32Array()
    network.forward(pixels, count, plan, {
      observe: (block, layer, _mean, variance) => {
        if (block === "blocks.0" && layer === "expand_bn") own = variance.slice()
      },
    })
    const key = { kernel: 7, expand: 6, resolution: 64 }
    const shared = batchNorm(calibrated, "blocks.0", "expand_bn", key)
    // Other random images of the same kind: equal but for the draw.
    expect(largestDifference(shared.variance, own)).toBeLessThan(0.1)
  })

  it("meets every kernel and expand of every block equally often", () => {
    const submodels = balancedSubmodels(tinySpec, 64, 36, seededRandom(1))
    const seen = submodels.filter((s) => s.kernels[0] === 5 && s.expands[0] === 4)
    expect(seen).toHaveLength(4)
    expect(minSubmodel(tinySpec, 64).kernels).toHaveLength(submodels[0]!.kernels.length)
  })
})
