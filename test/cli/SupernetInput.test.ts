/** What people give to `murmuration supernet`: said to be wrong before any work is done, with the next step. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { afterAll } from "vitest"
import { tableOf } from "../../cli/SupernetTable.ts"
import { dataFolder, knownClasses } from "../../cli/SupernetFlags.ts"
import { changedRecipe } from "../../cli/SupernetTrain.ts"
import { tinySpec } from "../supernet/Tiny.ts"
import { defaultRecipe } from "../../supernet/train/Recipe.ts"

const folder = mkdtempSync(join(tmpdir(), "murmuration-data-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** A data folder with one empty file as image of each class. */
const dataWith = (name: string, parts: Readonly<Record<string, ReadonlyArray<string>>>): string => {
  for (const [part, classes] of Object.entries(parts)) {
    mkdirSync(join(folder, name, part), { recursive: true })
    for (const c of classes) {
      mkdirSync(join(folder, name, part, c), { recursive: true })
      writeFileSync(join(folder, name, part, c, "1.jpg"), "")
    }
  }
  return join(folder, name)
}

const both = ["train", "val"] as const
const problemOf = (path: string) => Effect.flip(dataFolder(Option.some(path), both))

describe("the data folder", () => {
  it.effect("is taken when both parts have the same classes", () =>
    Effect.gen(function* () {
      const path = dataWith("good", { train: ["cat", "dog"], val: ["cat", "dog"] })
      assert.strictEqual(yield* dataFolder(Option.some(path), both), path)
    }),
  )

  it.effect("is refused, with what is missing, when a part or its images are not there", () =>
    Effect.gen(function* () {
      const noVal = yield* problemOf(dataWith("no-val", { train: ["cat"] }))
      assert.match(noVal.message, /no folder .*val$/)
      const empty = yield* problemOf(dataWith("empty", { train: [], val: ["cat"] }))
      assert.match(empty.message, /no images in the subfolders of .*train$/)
      assert.include(empty.hint, "FOLDER/train/<class>/")
    }),
  )

  it.effect("is refused when a class is in one part only: labels would mean different things", () =>
    Effect.gen(function* () {
      const error = yield* problemOf(dataWith("shifted", { train: ["ant", "cat"], val: ["cat"] }))
      assert.include(error.message, "no same classes in train and val: ant, cat / cat")
    }),
  )
})

describe("the classes of the images", () => {
  const pets = { name: "pets", classes: ["cat", "dog"] }
  it.effect("must be those of the supernet that they judge", () =>
    Effect.gen(function* () {
      yield* knownClasses(dataWith("pets", { val: ["cat", "dog"] }), "val", pets)
      for (const classes of [["ant", "bee"], ["cat"], ["cat", "dog", "eel"]]) {
        const path = dataWith(`other-${classes.length}-${classes[0]}`, { val: classes })
        const error = yield* Effect.flip(knownClasses(path, "val", pets))
        assert.include(error.message, `${classes.length} (${classes.join(", ")}) / 2 (cat, dog)`)
        assert.include(error.hint, "--data")
      }
    }),
  )

  it.effect(
    "may be folders with ImageNet's ids: by their names, or where none is known by their number",
    () =>
      Effect.gen(function* () {
        const path = dataWith("imagenet", { val: ["n01440764", "n01443537"] })
        yield* knownClasses(path, "val", { name: "fish", classes: ["tench", "goldfish"] })
        yield* Effect.flip(knownClasses(path, "val", { name: "fish", classes: ["goldfish", "tench"] }))
      }),
  )
})

describe("the table that a predictor is fitted on", () => {
  it.effect("must have been measured on the same supernet", () =>
    Effect.gen(function* () {
      const table = { supernet: "pets 1", rows: [] }
      writeFileSync(join(folder, "accuracy-table.json"), JSON.stringify(table))
      assert.deepStrictEqual(yield* tableOf(folder, { ...tinySpec, name: "pets" }), table as never)
      const error = yield* Effect.flip(tableOf(folder, { ...tinySpec, name: "pets", version: "2" }))
      assert.include(error.message, "measured on pets 1, not on pets 2")
      assert.include(error.hint, "supernet table")
    }),
  )
})

describe("the recipe", () => {
  it.effect("changes the fields that are named", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* changedRecipe('{"batch":24}', defaultRecipe), {
        ...defaultRecipe,
        batch: 24,
      })
    }),
  )

  it.effect("keeps the other fields of a part that is named", () =>
    Effect.gen(function* () {
      const { augment, optimizer } = yield* changedRecipe('{"augment":{"cutMix":0.3}}', defaultRecipe)
      assert.deepStrictEqual(augment, { ...defaultRecipe.augment, cutMix: 0.3 })
      assert.deepStrictEqual(optimizer, defaultRecipe.optimizer)
      const error = yield* Effect.flip(changedRecipe('{"augment":{"cutmix":0.3}}', defaultRecipe))
      assert.include(error.message, "no augment.cutmix")
      const noObject = yield* Effect.flip(changedRecipe('{"augment":0.3}', defaultRecipe))
      assert.include(noObject.message, "augment is not a JSON object")
    }),
  )

  it.effect("is refused when it is no JSON object, or has a field that no recipe has", () =>
    Effect.gen(function* () {
      for (const text of ["{batch:24}", "[1]", "24", "null"]) {
        assert.include((yield* Effect.flip(changedRecipe(text, defaultRecipe))).message, text)
      }
      const error = yield* Effect.flip(changedRecipe('{"batchSize":24}', defaultRecipe))
      assert.include(error.message, "no batchSize")
      assert.include(error.hint, "batch,")
    }),
  )

  it.effect("is refused when it gives a seed, which has its own flag, or values of another kind", () =>
    Effect.gen(function* () {
      const seed = yield* Effect.flip(changedRecipe('{"seed":11}', defaultRecipe))
      assert.include(seed.hint, "--seed")
      for (const [text, wrong] of [
        ['{"batch":"24"}', "batch must be a number"],
        ['{"learningRate":null}', "learningRate must be a number"],
        ['{"learningRate":1e999}', "learningRate must be a number"],
        ['{"augment":{"cutMix":true}}', "augment.cutMix must be a number"],
        ['{"resolutionWeights":[1]}', "resolutionWeights must be a JSON object"],
        ['{"resolutionWeights":{"64":"1"}}', "resolutionWeights.64 must be a number"],
      ] as const) {
        assert.include((yield* Effect.flip(changedRecipe(text, defaultRecipe))).message, wrong)
      }
      const { resolutionWeights } = yield* changedRecipe('{"resolutionWeights":{"64":1}}', defaultRecipe)
      assert.deepStrictEqual(resolutionWeights, { 64: 1 })
    }),
  )
})
