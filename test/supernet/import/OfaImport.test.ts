import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { importOfa } from "../../../supernet/import/OfaImport.ts"
import { canonicalKey, ofaKeys } from "../../../supernet/import/OfaKeys.ts"
import { readTorchCheckpoint, type StateDict } from "../../../supernet/import/TorchCheckpoint.ts"
import { ofaMobileNetV3, type SupernetSpec } from "../../../supernet/Spec.ts"
import { type Tensor, weightShapes } from "../../../supernet/Weights.ts"
import { checkpoint, logits } from "./Fixture.ts"

const options = { name: "imported", version: "1", classes: logits.classes }

/** A state dict of this spec's shapes under OFA's names; all tensors share one block of zeros. */
const stateOf = (spec: SupernetSpec): Map<string, Tensor> => {
  const shapes = weightShapes(spec)
  const zeros = new Float32Array(3_000_000)
  return new Map(
    ofaKeys(spec).map(({ ours, ofa }) => {
      const shape = shapes.get(ours) ?? []
      return [
        ofa,
        {
          shape,
          data: zeros.subarray(
            0,
            shape.reduce((a, b) => a * b, 1),
          ),
        },
      ]
    }),
  )
}

const thousand = Array.from({ length: 1000 }, (_, i) => `class ${i}`)

describe("importOfa", () => {
  it.effect("deduces widths, depth and classes from a tiny PyTorch checkpoint", () =>
    Effect.gen(function* () {
      const { spec, weights } = yield* importOfa(yield* readTorchCheckpoint(checkpoint("legacy")), options)
      assert.deepStrictEqual(
        spec.stages.map((s) => s.width),
        [8, 16, 8, 16, 8],
      )
      assert.deepStrictEqual([spec.stemWidth, spec.headWidth, spec.featureWidth], [8, 48, 32])
      assert.deepStrictEqual([spec.maxDepth, spec.depths], [3, [2, 3]])
      assert.deepStrictEqual(
        [...weights].map(([name, t]) => [name, t.shape.join()]),
        [...weightShapes(spec)].map(([name, shape]) => [name, shape.join()]),
      )
    }),
  )

  it.effect("reads the same supernet from static and dynamic key names", () =>
    Effect.gen(function* () {
      const a = yield* importOfa(yield* readTorchCheckpoint(checkpoint("legacy")), options)
      const b = yield* importOfa(yield* readTorchCheckpoint(checkpoint("zip")), options)
      assert.deepStrictEqual(a, b)
    }),
  )

  it.effect.each([
    { width: 1, stem: 16, stages: [24, 40, 80, 112, 160], head: 960, feature: 1280 },
    // Widths of the published w1.2 networks, from their net.config files.
    { width: 1.2, stem: 24, stages: [32, 48, 96, 136, 192], head: 1152, feature: 1536 },
  ])("recognises the published width $width", ({ width, stem, stages, head, feature }) =>
    Effect.gen(function* () {
      const made = ofaMobileNetV3({ ...options, classes: thousand, widthMultiplier: width, trained: true })
      const { spec } = yield* importOfa(stateOf(made), { ...options, classes: thousand })
      assert.deepStrictEqual(spec, made)
      assert.deepStrictEqual(
        [spec.stemWidth, spec.stages.map((s) => s.width), spec.headWidth, spec.featureWidth],
        [stem, stages, head, feature],
      )
    }),
  )

  it.effect("takes identity kernel transforms where the checkpoint has none", () =>
    Effect.gen(function* () {
      const state = new Map(stateOf(ofaMobileNetV3({ ...options, widthMultiplier: 1 })))
      for (const key of state.keys()) if (key.endsWith("_matrix")) state.delete(key)
      const { weights } = yield* importOfa(state, options)
      const to3 = weights.get("blocks.0.to3")?.data ?? new Float32Array()
      assert.deepStrictEqual([to3[0], to3[1], to3[80]], [1, 0, 1])
    }),
  )
})

describe("importOfa names the first key that does not fit", () => {
  const spec = ofaMobileNetV3({ ...options, widthMultiplier: 1 })
  const change = (edit: (state: Map<string, Tensor>) => void) => {
    const state = stateOf(spec)
    edit(state)
    return Effect.flip(importOfa(state as StateDict, options))
  }
  const tensor = (...shape: ReadonlyArray<number>): Tensor => ({
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  })

  it.effect("missing", () =>
    Effect.gen(function* () {
      const error = yield* change((s) => s.delete("blocks.7.depth_conv.bn.running_var"))
      assert.strictEqual(error.key, "blocks.7.depth_conv.bn.running_var")
      assert.include(error.message, "is missing")
    }),
  )

  it.effect("of the wrong shape", () =>
    Effect.gen(function* () {
      const error = yield* change((s) =>
        s.set("blocks.3.inverted_bottleneck.conv.weight", tensor(96, 24, 1, 1)),
      )
      assert.strictEqual(error.key, "blocks.3.inverted_bottleneck.conv.weight")
      assert.include(error.problem, "[96, 24, 1, 1], [144, 24, 1, 1] was expected")
    }),
  )

  it.effect("unknown", () =>
    Effect.gen(function* () {
      const error = yield* change((s) => s.set("blocks.2.shortcut.conv.weight", tensor(24, 24, 1, 1)))
      assert.strictEqual(error.key, "blocks.2.shortcut.conv.weight")
    }),
  )

  it.effect("not a number", () =>
    Effect.gen(function* () {
      const error = yield* change((s) =>
        s.set("classifier.linear.bias", { shape: [7], data: new Float32Array(7).fill(Number.NaN) }),
      )
      assert.strictEqual(error.key, "classifier.linear.bias")
    }),
  )

  it.effect("a specialised subnet, with its small kernels", () =>
    Effect.gen(function* () {
      const error = yield* change((s) => s.set("blocks.1.depth_conv.conv.weight", tensor(96, 1, 3, 3)))
      assert.include(error.message, "specialised subnet")
    }),
  )

  it.effect("another number of class names", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(importOfa(stateOf(spec), { ...options, classes: ["one"] }))
      assert.include(error.message, "7 classes, 1 names")
    }),
  )
})

describe("canonicalKey", () => {
  it.each([
    ["module.first_conv.bn.running_mean", "first_conv.bn.running_mean"],
    ["blocks.0.conv.depth_conv.conv.weight", "blocks.0.depth_conv.conv.weight"],
    ["blocks.0.mobile_inverted_conv.depth_conv.bn.bias", "blocks.0.depth_conv.bn.bias"],
    ["blocks.3.conv.depth_conv.conv.conv.weight", "blocks.3.depth_conv.conv.weight"],
    ["blocks.3.mobile_inverted_conv.depth_conv.conv.weight", "blocks.3.depth_conv.conv.weight"],
    ["blocks.3.conv.depth_conv.conv.7to5_matrix", "blocks.3.depth_conv.conv.7to5_matrix"],
    ["blocks.20.conv.inverted_bottleneck.bn.bn.weight", "blocks.20.inverted_bottleneck.bn.weight"],
    ["blocks.5.conv.depth_conv.se.fc.reduce.bias", "blocks.5.depth_conv.se.fc.reduce.bias"],
    ["classifier.linear.linear.weight", "classifier.linear.weight"],
    ["classifier.linear.bias", "classifier.linear.bias"],
  ])("%s", (key, canonical) => {
    assert.strictEqual(canonicalKey(key), canonical)
  })
})
