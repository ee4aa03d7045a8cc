/** Where a device's accuracies come from: only ever from a predictor of its own supernet. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, afterEach, describe, expect, it, vi } from "vitest"
import { examineSupernet } from "../../cli/DoctorInstall.ts"
import { artifactAccuracy } from "../../policies/ArtifactAccuracy.ts"
import { localGenome } from "../../policies/Genome.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { FeatureSpace } from "../../supernet/AccuracyPredictor.ts"
import { accuracyPredictorFile, recordFiles, writeArtifact } from "../../supernet/Artifact.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { randomWeights } from "../../supernet/Weights.ts"
import { tinySpace, tinySpec } from "./TinyWorld.ts"

const directory = mkdtempSync(join(tmpdir(), "murmuration-accuracy-"))
afterAll(() => rmSync(directory, { recursive: true }))
await Effect.runPromise(
  writeArtifact(directory, tinySpec, randomWeights(tinySpec, 1), { training: "none", weights: "float16" }),
)

/** Says 0.5 of everything. */
const putPredictor = async (supernet: string) => {
  const features = Array.from({ length: new FeatureSpace(tinySpec).size }, () => [0, 0])
  const heldOut = { strategies: 1, meanAbsoluteError: 0, kendallTau: 1 }
  const format = "murmuration-accuracy-2"
  const data = { format, supernet, hidden: 1, features, bias: [0.5, 0], output: [0], heldOut }
  writeFileSync(join(directory, accuracyPredictorFile), JSON.stringify(data))
  await Effect.runPromise(recordFiles(directory, [accuracyPredictorFile]))
}
const largest = localGenome(tinySpace, maxSubmodel(tinySpec))

describe("the accuracy predictor in an artifact", () => {
  afterEach(() => vi.unstubAllEnvs())

  it("is used where it was fitted on this supernet", async () => {
    await putPredictor("tiny 1")
    const { model, predictor, refused } = artifactAccuracy(tinySpec, directory)
    expect([model.accuracy(largest), predictor?.supernet, refused]).toEqual([0.5, "tiny 1", undefined])
  })

  it("is not planned by where it was fitted on another, which is said with the next step", async () => {
    await putPredictor("tiny 0")
    const { model, predictor, refused, numbers } = artifactAccuracy(tinySpec, directory)
    expect(model.accuracy(largest)).not.toBe(0.5)
    expect([predictor, numbers]).toEqual([undefined, "refused"])
    expect(refused).toMatch(/fitted on tiny 0, not on tiny 1.*supernet fit/)
    vi.stubEnv("MURMURATION_SUPERNET", directory)
    expect(() => loadSetting("swarm")).toThrow(/fitted on tiny 0/)
  })

  it("is examined by the doctor: another supernet's, an altered one, one that is none", async () => {
    const found = async () => Effect.runPromise(examineSupernet(directory))
    await putPredictor("tiny 0")
    expect(await found()).toMatchObject({ status: "warning", detail: expect.stringContaining("tiny 0") })
    writeFileSync(join(directory, accuracyPredictorFile), "{}")
    expect(await found()).toMatchObject({ status: "failed", detail: expect.stringContaining("SHA-256") })
    await Effect.runPromise(recordFiles(directory, [accuracyPredictorFile]))
    expect(await found()).toMatchObject({ status: "failed", advice: expect.stringContaining("supernet fit") })
  })
})
