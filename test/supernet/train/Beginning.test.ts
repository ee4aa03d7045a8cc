/** A run goes on only with what was trained for the same classes and the same network. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { writeArtifact } from "../../../supernet/Artifact.ts"
import type { SupernetSpec } from "../../../supernet/Spec.ts"
import { beginning } from "../../../supernet/train/Beginning.ts"
import { writeCheckpoint } from "../../../supernet/train/Checkpoint.ts"
import { trainingStateFile } from "../../../supernet/train/Export.ts"
import { parameterLayout } from "../../../supernet/train/Parameters.ts"
import { defaultRecipe } from "../../../supernet/train/Recipe.ts"
import { optimizerState, sharedBuffers } from "../../../supernet/train/Shared.ts"
import { livelyWeights, tinySpec } from "../Tiny.ts"

const folder = mkdtempSync(join(tmpdir(), "murmuration-beginning-"))
afterAll(() => rmSync(folder, { recursive: true }))

const buffersFor = (spec: SupernetSpec) => sharedBuffers(parameterLayout(spec).size, 1)
const stored = { recipe: defaultRecipe, step: 5, updates: 5, images: 9, minutes: 1, sorted: false }

/** Other classes, as many; a wider network; stages that make the vectors no longer. */
const others: ReadonlyArray<readonly [string, SupernetSpec, RegExp]> = [
  ["classes", { ...tinySpec, classes: ["x", "y", "z"] }, /classes 3 \(a, b, c\), the images 3 \(x, y, z\)/],
  ["width", { ...tinySpec, widthMultiplier: 0.2 }, /width is 0\.1, not 0\.2/],
  [
    "stages",
    { ...tinySpec, stages: tinySpec.stages.map((s) => ({ ...s, activation: "relu" })) },
    /its stages are 4 8/,
  ],
]

describe("a training", () => {
  const checkpoint = join(folder, "state.bin")
  writeCheckpoint(checkpoint, { ...stored, spec: tinySpec }, optimizerState(buffersFor(tinySpec)))
  const options = { output: join(folder, "run"), recipe: defaultRecipe }

  it.each(others)("does not go on from a checkpoint of other %s", async (_, spec, differs) => {
    const begun = beginning(buffersFor(spec), spec, options, checkpoint)
    await expect(begun).rejects.toMatchObject({
      _tag: "TrainingRefused",
      message: expect.stringMatching(differs),
      hint: expect.stringMatching(/--data.*--width 0\.1.*--out/),
    })
  })

  it.each(others)("does not go on from an artifact of other %s", async (_, spec, differs) => {
    const artifact = join(folder, "artifact")
    await Effect.runPromise(
      writeArtifact(artifact, tinySpec, livelyWeights(tinySpec, 1), { training: "some" }),
    )
    writeFileSync(join(artifact, trainingStateFile), JSON.stringify(stored))
    const given = { ...options, continueFrom: artifact }
    await expect(beginning(buffersFor(spec), spec, given, join(folder, "none.bin"))).rejects.toThrow(differs)
    const state = await beginning(buffersFor(tinySpec), tinySpec, given, join(folder, "none.bin"))
    expect([state.step, state.updates]).toEqual([5, 0])
  })

  it("goes on from a checkpoint of the same, whatever its name and version", async () => {
    const named = { ...tinySpec, name: "another", version: "9" }
    expect((await beginning(buffersFor(named), named, options, checkpoint)).step).toBe(5)
  })
})
