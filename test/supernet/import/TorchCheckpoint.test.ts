import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readTorchCheckpoint } from "../../../supernet/import/TorchCheckpoint.ts"
import { canonicalKey, isIgnoredKey } from "../../../supernet/import/OfaKeys.ts"
import { checkpoint } from "./Fixture.ts"

describe("readTorchCheckpoint", () => {
  it.effect.each([{ form: "legacy" as const }, { form: "zip" as const }])(
    "reads the $form form that PyTorch wrote, float32, float16 and int64 alike",
    ({ form }) =>
      Effect.gen(function* () {
        const state = yield* readTorchCheckpoint(checkpoint(form))
        const shapes = new Map([...state].map(([key, t]) => [canonicalKey(key), t.shape]))
        assert.deepStrictEqual(shapes.get("first_conv.conv.weight"), [8, 3, 3, 3])
        assert.deepStrictEqual(shapes.get("blocks.1.depth_conv.conv.weight"), [48, 1, 7, 7])
        assert.deepStrictEqual(shapes.get("blocks.1.depth_conv.conv.7to5_matrix"), [25, 25])
        const counters = [...state].filter(([key]) => isIgnoredKey(key))
        assert.deepStrictEqual(counters[0]?.[1], { shape: [], data: new Float32Array([1]) })
      }),
  )

  it.effect("reads the same numbers from both forms", () =>
    Effect.gen(function* () {
      const legacy = yield* readTorchCheckpoint(checkpoint("legacy"))
      const zip = yield* readTorchCheckpoint(checkpoint("zip"))
      const byKey = new Map([...zip].map(([key, t]) => [canonicalKey(key), t]))
      assert.strictEqual(legacy.size, zip.size)
      for (const [key, t] of legacy) assert.deepStrictEqual(byKey.get(canonicalKey(key)), t, key)
    }),
  )

  it.effect.each([
    { what: "an empty file", bytes: new Uint8Array() },
    { what: "text", bytes: new TextEncoder().encode("<html>404</html>") },
    { what: "half a legacy file", bytes: checkpoint("legacy").subarray(0, 200_000) },
    { what: "half a zip file", bytes: checkpoint("zip").subarray(0, 200_000) },
  ])("gives a readable error for $what", ({ bytes }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readTorchCheckpoint(bytes))
      assert.isAbove(error.message.length, 20)
    }),
  )

  it.effect("notices a changed byte in a zip's tensor by its checksum", () =>
    Effect.gen(function* () {
      const bytes = checkpoint("zip").slice()
      bytes[150_000] = (bytes[150_000] ?? 0) ^ 1
      const error = yield* Effect.flip(readTorchCheckpoint(bytes))
      assert.include(error.message, "checksum")
    }),
  )

  it.effect("never dies on damaged bytes: a state dict or a typed error", () =>
    Effect.gen(function* () {
      for (const form of ["legacy", "zip"] as const) {
        const whole = checkpoint(form)
        for (let i = 0; i < 60; i++) {
          const bytes = whole.slice()
          // The start holds a legacy file's pickles, the end a zip's directory.
          for (let k = 0; k < 8; k++) bytes[(i * 7919 + k * 104_729) % 4096] = (i * 31 + k * 17) % 256
          for (let k = 0; k < 8; k++)
            bytes[bytes.length - 1 - ((i * 7919 + k * 104_729) % 4096)] = (i * 37 + k) % 256
          yield* Effect.exit(readTorchCheckpoint(bytes)).pipe(
            Effect.tap((exit) =>
              Effect.sync(() => {
                if (exit._tag === "Failure") assert.isTrue(exit.cause.reasons.every((r) => r._tag === "Fail"))
              }),
            ),
          )
        }
      }
    }),
  )
})
