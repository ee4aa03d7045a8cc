import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readTorchCheckpoint } from "../../../supernet/import/TorchCheckpoint.ts"
import { canonicalKey, isIgnoredKey } from "../../../supernet/import/OfaKeys.ts"
import { checkpoint } from "./Fixture.ts"

type Part = string | number | ReadonlyArray<string | number>
const bytesOf = (...parts: ReadonlyArray<Part>) =>
  parts.flat().flatMap((p) => (typeof p === "number" ? [p] : [...new TextEncoder().encode(p)]))
const short = (text: string): Part => [0x8c, text.length, text]

/** A legacy file with this object (a pickle) and one storage "0" of so many float32. */
const legacy = (object: ReadonlyArray<number>, elements: number) =>
  new Uint8Array([
    ...bytesOf(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, "."),
    ...bytesOf("M", 0xe9, 3, "."),
    ...bytesOf("}", short("little_endian"), 0x88, "s."),
    ...object,
    ...bytesOf("](", short("0"), "e."),
    ...bytesOf(elements, 0, 0, 0, 0, 0, 0, 0),
    ...new Uint8Array(4 * elements),
  ])

/** A tensor that is all of storage "0", memoised as 0. */
const tensor = (elements: number) =>
  bytesOf(
    "ctorch._utils\n_rebuild_tensor_v2\n((",
    short("storage"),
    "ctorch\nFloatStorage\n",
    short("0"),
    short("cpu"),
    ["K", elements, "NtQ"],
    ["K", 0, "K", elements, 0x85, "K", 1, 0x85, 0x89],
    ["ccollections\nOrderedDict\n)RtRq", 0],
  )

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

  it.effect("is done at once with lists that hold each other twice, many levels deep", () =>
    Effect.gen(function* () {
      const twice = Array.from({ length: 60 }, (_, i) => bytesOf("q", i, "h", i, 0x86)).flat()
      const bytes = legacy([...bytesOf("]"), ...twice, ...bytesOf(".")], 0)
      const error = yield* Effect.flip(readTorchCheckpoint(bytes))
      assert.include(error.message, "no tensor uses storage 0")
    }),
  )

  it.effect("reads shared storages, but not more numbers than the file has bytes", () =>
    Effect.gen(function* () {
      const sharedBy = (count: number) => {
        const more = Array.from({ length: count - 1 }, (_, i) => bytesOf(short(`w${i}`), "h", 0)).flat()
        return legacy([...bytesOf("}(", short("w")), ...tensor(200), ...more, ...bytesOf("u.")], 200)
      }
      const state = yield* readTorchCheckpoint(sharedBy(3))
      assert.deepStrictEqual([...state.keys()], ["w", "w0", "w1"])
      const error = yield* Effect.flip(readTorchCheckpoint(sharedBy(60)))
      assert.include(error.message, "more numbers than the file has bytes")
    }),
  )
})
