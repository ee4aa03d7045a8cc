import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { demoImages } from "../../cli/DemoImages.ts"

/** Files by their path in a new folder, which goes when the test is over. */
const folderOf = (files: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "demo-images-"))
      for (const file of files) {
        mkdirSync(join(folder, file, ".."), { recursive: true })
        writeFileSync(join(folder, file), file)
      }
      return folder
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
  )

const labelsIn = (path: string) =>
  Effect.map(demoImages(path, 10, 1), ({ images }) =>
    Object.fromEntries(images.map(({ name, label }) => [name, label])),
  )

describe("pictures for the demo", () => {
  it.effect("of a folder per class have the folder's name as their right answer", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf(["robin/a.jpg", "wren/b.png", "n03028079/c.JPEG", "wren/notes.txt"])
      const labels = yield* labelsIn(folder)
      assert.deepStrictEqual(labels, { "a.jpg": "robin", "b.png": "wren", "c.JPEG": "church" })
    }),
  )

  it.effect("that lie in the named folder itself, or are named one by one, have no right answer", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf(["a.jpg", "b.jpg"])
      assert.deepStrictEqual(yield* labelsIn(folder), { "a.jpg": undefined, "b.jpg": undefined })
      assert.deepStrictEqual(yield* labelsIn(join(folder, "a.jpg")), { "a.jpg": undefined })
    }),
  )
})
