import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, FileSystem } from "effect"
import { join } from "node:path"
import { importCheckpoint } from "../../cli/Import.ts"
import { readArtifact } from "../../supernet/Artifact.ts"
import { checkpoint, logits } from "../supernet/import/Fixture.ts"

/** A folder with the given checkpoint and class names, and what `murmuration supernet import` would be called with. */
const prepared = Effect.fn(function* (bytes: Uint8Array, classes: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped()
  const path = (name: string) => join(folder, name)
  yield* fs.writeFile(path("tiny.pth"), bytes)
  yield* fs.writeFileString(path("classes.txt"), `${classes.join("\n")}\n`)
  const files = { checkpoint: path("tiny.pth"), classes: path("classes.txt"), out: path("artifact") }
  return { ...files, name: "tiny", version: "1", weights: "float32" as const }
})

describe("murmuration supernet import", () => {
  it.effect("writes an artifact that reads back as the checkpoint's tensors", () =>
    Effect.gen(function* () {
      const files = yield* prepared(checkpoint("zip"), logits.classes)
      const { weights } = yield* importCheckpoint(files)
      const artifact = yield* readArtifact(files.out)
      assert.deepStrictEqual(artifact.spec.classes, logits.classes)
      assert.isTrue(artifact.spec.trained)
      assert.strictEqual(artifact.manifest.training, "imported from the PyTorch checkpoint tiny.pth")
      assert.deepStrictEqual(new Map(artifact.weights), new Map(weights))
    }).pipe(Effect.provide(NodeServices.layer)),
  )

  it.effect("writes nothing when the class names do not fit", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const files = yield* prepared(checkpoint("legacy"), ["one", "two"])
      const error = yield* Effect.flip(importCheckpoint(files))
      assert.include(error.message, "has 7 classes, 2 names were given")
      assert.isFalse(yield* fs.exists(files.out))
    }).pipe(Effect.provide(NodeServices.layer)),
  )

  it.effect("says which file is not there", () =>
    Effect.gen(function* () {
      const files = yield* prepared(checkpoint("legacy"), logits.classes)
      const error = yield* Effect.flip(importCheckpoint({ ...files, checkpoint: "nowhere.pth" }))
      assert.include(error.message, "nowhere.pth")
    }).pipe(Effect.provide(NodeServices.layer)),
  )
})
