import { existsSync, linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  accuracyPredictorFile,
  accuracyTableFile,
  checkFiles,
  defaultArtifact,
  readArtifact,
  recordFiles,
  writeArtifact,
} from "../../supernet/Artifact.ts"
import { decodeSafetensors, encodeSafetensors, SafetensorsProblem } from "../../supernet/Safetensors.ts"
import { decodeHalf, encodeHalf, halfTable } from "../../supernet/Float16.ts"
import { normal, seededRandom } from "../../supernet/Random.ts"
import { randomWeights, type Tensor } from "../../supernet/Weights.ts"
import { tinySpec } from "./Tiny.ts"

const root = mkdtempSync(join(tmpdir(), "murmuration-artifact-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let made = 0
const fresh = Effect.fnUntraced(function* (weights = randomWeights(tinySpec, 1)) {
  const directory = join(root, `artifact-${made++}`)
  yield* writeArtifact(directory, tinySpec, weights, { training: "untrained", weights: "float32" })
  return directory
})

it("half floats survive decoding and encoding bit by bit, except NaN payloads", () => {
  const values = halfTable()
  const back = encodeHalf(values)
  for (let half = 0; half < 65536; half++) {
    if (Number.isNaN(values[half])) assert.strictEqual((back[half] ?? 0) & 0x7c00, 0x7c00)
    else assert.strictEqual(back[half], half)
  }
})

it("numbers become the nearest half float, ties to even", () => {
  const cases: ReadonlyArray<readonly [number, number]> = [
    [1 + 2 ** -11, 1],
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    [65519, 65504],
    [65520, Infinity],
    [2 ** -25, 0],
    [3 * 2 ** -25, 2 ** -23],
    [-(2 ** -24), -(2 ** -24)],
    [1e-9, 0],
  ]
  const got = decodeHalf(encodeHalf(Float32Array.from(cases, ([value]) => value)))
  for (const [i, [value, nearest]] of cases.entries()) assert.strictEqual(got[i], nearest, `${value}`)
})

it("safetensors give back every tensor, exactly in float32 and to 2^-11 in float16", () => {
  const random = seededRandom(7)
  for (let round = 0; round < 30; round++) {
    const weights = new Map<string, Tensor>()
    for (let i = 0; i < 5; i++) {
      const shape = Array.from(
        { length: Math.floor(random.next() * 4) },
        () => 1 + Math.floor(random.next() * 7),
      )
      const size = shape.reduce((a, b) => a * b, 1)
      weights.set(`t${i}.é"\\`, { shape, data: Float32Array.from({ length: size }, () => normal(random)) })
    }
    const exact = decodeSafetensors(encodeSafetensors(weights, "float32"))
    const half = decodeSafetensors(encodeSafetensors(weights, "float16"))
    for (const [name, { shape, data }] of weights) {
      assert.deepStrictEqual(exact.get(name)?.shape, shape)
      assert.deepStrictEqual([...(exact.get(name)?.data ?? [])], [...data])
      const near = half.get(name)?.data ?? new Float32Array(0)
      for (const [i, v] of data.entries()) {
        assert.isAtMost(Math.abs((near[i] ?? Number.NaN) - v), Math.abs(v) * 2 ** -11 + 2 ** -25)
      }
    }
  }
})

it("damaged safetensors are refused with a reason", () => {
  const whole = encodeSafetensors(randomWeights(tinySpec, 1), "float32")
  const hugeHeader = whole.slice()
  hugeHeader[5] = 1
  const lyingSize = encodeSafetensors(new Map([["a", { shape: [3], data: new Float32Array(2) }]]), "float32")
  for (const bytes of [whole.slice(0, 5), whole.slice(0, -1), hugeHeader, lyingSize, new Uint8Array(64)]) {
    assert.throws(() => decodeSafetensors(bytes), SafetensorsProblem)
  }
})

it.effect("an artifact is read back as it was written", () =>
  Effect.gen(function* () {
    const weights = randomWeights(tinySpec, 3)
    weights.set("blocks.0.stats.k3e3r64.dw_bn.mean", { shape: [4], data: Float32Array.of(1, 2, 3, 4) })
    weights.set("blocks.0.stats.k3e3r64.dw_bn.var", { shape: [4], data: Float32Array.of(1, 2, 3, 4) })
    const read = yield* readArtifact(yield* fresh(weights))
    assert.deepStrictEqual(read.spec, tinySpec)
    assert.strictEqual(read.manifest.training, "untrained")
    assert.strictEqual(read.weights.size, weights.size)
    for (const [name, { data }] of weights)
      assert.deepStrictEqual([...(read.weights.get(name)?.data ?? [])], [...data])
  }),
)

it.effect("a missing file, a changed byte, an unknown format and unfitting shapes are four errors", () =>
  Effect.gen(function* () {
    const tagOf = (directory: string) => Effect.map(Effect.flip(readArtifact(directory)), (e) => e._tag)
    assert.strictEqual(yield* tagOf(join(root, "nowhere")), "ArtifactMissing")

    const withoutSpec = yield* fresh()
    rmSync(join(withoutSpec, "spec.json"))
    assert.strictEqual(yield* tagOf(withoutSpec), "ArtifactMissing")

    const changed = yield* fresh()
    const bytes = readFileSync(join(changed, "weights.safetensors"))
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    writeFileSync(join(changed, "weights.safetensors"), bytes)
    assert.strictEqual(yield* tagOf(changed), "ArtifactCorrupt")

    const future = yield* fresh()
    const manifest = readFileSync(join(future, "manifest.json"), "utf8")
    writeFileSync(join(future, "manifest.json"), manifest.replace("supernet-1", "supernet-9"))
    assert.strictEqual(yield* tagOf(future), "ArtifactFormat")

    const lacking = randomWeights(tinySpec, 1)
    lacking.delete("blocks.0.dw")
    lacking.set("head.mix", { shape: [2, 2], data: new Float32Array(4) })
    lacking.set("stem.stats.r64.bn.mean", { shape: [1], data: new Float32Array(1) })
    lacking.set("surprise", { shape: [1], data: new Float32Array(1) })
    const error = yield* Effect.flip(readArtifact(yield* fresh(lacking)))
    assert.strictEqual(error._tag, "ArtifactShape")
    for (const part of ["blocks.0.dw is missing", "head.mix is [2,2]", "lacks its variance", "surprise"])
      assert.include(error.message, part)
  }),
)

it.effect("the default artifact is readable, and says so when it is untrained", () =>
  Effect.gen(function* () {
    const { spec, manifest } = yield* readArtifact(yield* defaultArtifact)
    if (!spec.trained) assert.include(spec.name, "untrained")
    assert.strictEqual(spec.trained, manifest.training !== "untrained")
  }),
)

it.effect("whatever the manifest lists is checked, not only what a device reads", () =>
  Effect.gen(function* () {
    const directory = yield* fresh()
    const table = join(directory, accuracyTableFile)
    writeFileSync(table, "[]")
    yield* recordFiles(directory, [accuracyTableFile])
    const { manifest } = yield* readArtifact(directory)
    yield* checkFiles(directory, manifest)
    writeFileSync(table, "[1]")
    yield* readArtifact(directory)
    assert.strictEqual((yield* Effect.flip(checkFiles(directory, manifest)))._tag, "ArtifactCorrupt")
  }),
)

it.effect("what was made of a supernet is put aside when another is written in its place", () =>
  Effect.gen(function* () {
    const directory = yield* fresh()
    const made = [accuracyTableFile, accuracyPredictorFile, "training.json"]
    for (const name of made) writeFileSync(join(directory, name), "{}")
    // One was never listed: a fit that was stopped half way.
    yield* recordFiles(directory, [accuracyTableFile, "training.json"])
    yield* writeArtifact(directory, tinySpec, randomWeights(tinySpec, 2), { training: "again" })
    for (const name of made) {
      assert.isFalse(existsSync(join(directory, name)), name)
      assert.isTrue(existsSync(join(directory, `${name}.old`)), name)
    }
    const { manifest } = yield* readArtifact(directory)
    assert.deepStrictEqual(Object.keys(manifest.files), ["spec.json", "weights.safetensors"])
  }),
)

it.effect("the manifest is replaced whole, never written over", () =>
  Effect.gen(function* () {
    const directory = yield* fresh()
    const [manifest, before] = [join(directory, "manifest.json"), join(directory, "before.json")]
    const text = readFileSync(manifest, "utf8")
    // The same file under another name: it would change with what is written over.
    linkSync(manifest, before)
    writeFileSync(join(directory, accuracyTableFile), "[]")
    yield* recordFiles(directory, [accuracyTableFile])
    assert.strictEqual(readFileSync(before, "utf8"), text)
    assert.notStrictEqual(readFileSync(manifest, "utf8"), text)
    assert.isFalse(readdirSync(directory).some((name) => name.endsWith(".part")))
  }),
)
