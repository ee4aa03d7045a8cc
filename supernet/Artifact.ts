/**
 * A supernet on disk: `spec.json`, `weights.safetensors` and `manifest.json`, which names both with size and SHA-256.
 * Reading checks both: a supernet that loads is whole, is the one that the manifest speaks of, and fits its spec. The manifest
 * also names what was made of it later (table, predictor, log): `checkFiles` checks those.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Option, Schema } from "effect"
import { ArtifactCorrupt, ArtifactFormat, ArtifactMissing, ArtifactShape } from "./ArtifactErrors.ts"
import { decodeSafetensors, encodeSafetensors, WeightFormat } from "./Safetensors.ts"
import { SupernetSpec } from "./Schemas.ts"
import { ofaMobileNetV3 } from "./Spec.ts"
import { randomWeights, type Weights, weightShapes } from "./Weights.ts"

/** Written into the artifact's directory by `murmuration supernet table`. */
export const accuracyTableFile = "accuracy-table.json"
/** Written into the artifact's directory by `murmuration supernet fit`. */
export const accuracyPredictorFile = "accuracy-predictor.json"

export const ManifestFile = Schema.Struct({ bytes: Schema.Int, sha256: Schema.String })

export const Manifest = Schema.Struct({
  format: Schema.Literal("murmuration-supernet-1"),
  name: Schema.String,
  version: Schema.String,
  /** What it was trained on, or "untrained". */
  training: Schema.String,
  weights: WeightFormat,
  files: Schema.Record(Schema.String, ManifestFile),
})
export type Manifest = typeof Manifest.Type

export interface Supernet {
  readonly spec: SupernetSpec
  readonly weights: Weights
  readonly manifest: Manifest
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const readBytes = (path: string) =>
  Effect.tryPromise({
    try: () => readFile(path),
    catch: (cause) =>
      new ArtifactMissing({
        path,
        needed: "a readable file",
        found: cause instanceof Error ? cause.message : String(cause),
        retryable: false,
        hint: "Check the path, or fetch the artifact again.",
      }),
  })

const formatError = (path: string, needed: string, found: string) =>
  new ArtifactFormat({
    path,
    needed,
    found,
    retryable: false,
    hint: "Written by another version, or not an artifact.",
  })

const decodeJson = <A>(path: string, bytes: Uint8Array, schema: Schema.Codec<A, unknown>, needed: string) =>
  Effect.try({
    try: (): unknown => JSON.parse(new TextDecoder().decode(bytes)),
    catch: () => formatError(path, needed, "no JSON"),
  }).pipe(
    Effect.flatMap((json) => Schema.decodeUnknownEffect(schema)(json)),
    Effect.catchTag("SchemaError", (e) => Effect.fail(formatError(path, needed, e.message))),
  )

const statisticsName = /^(.+)\.stats\.[a-z0-9]+\.(bn|expand_bn|dw_bn|project_bn)\.(mean|var)$/

/** What is wrong with weights for a spec, in words; empty when they fit. */
export const weightProblems = (spec: SupernetSpec, weights: Weights): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const wanted = weightShapes(spec)
  for (const [name, shape] of wanted) {
    const found = weights.get(name)?.shape
    if (found === undefined) problems.push(`${name} is missing`)
    else if (found.join() !== shape.join())
      problems.push(`${name} is [${found.join()}], not [${shape.join()}]`)
  }
  for (const [name, { shape }] of weights) {
    if (wanted.has(name)) continue
    const [, block, layer, part] = statisticsName.exec(name) ?? []
    const base = wanted.get(`${block}.${layer}.${part}`)?.[0]
    if (base === undefined) problems.push(`${name} is no tensor of this supernet`)
    // Statistics of a smaller expand ratio cover only its own channels.
    else if (shape.length !== 1 || (shape[0] ?? 0) > base)
      problems.push(`${name} is [${shape.join()}], more than [${base}]`)
    else if (!weights.has(name.replace(/[a-z]+$/, part === "mean" ? "var" : "mean")))
      problems.push(`${name} lacks its ${part === "mean" ? "variance" : "mean"}`)
  }
  return problems
}

const checkedFile = Effect.fnUntraced(function* (directory: string, name: string, manifest: Manifest) {
  const path = join(directory, name)
  const expected = manifest.files[name]
  if (expected === undefined) return yield* formatError(path, `an entry in manifest.json`, "none")
  const bytes = yield* readBytes(path)
  const hash = sha256(bytes)
  if (bytes.byteLength !== expected.bytes || hash !== expected.sha256) {
    return yield* new ArtifactCorrupt({
      path,
      needed: `${expected.bytes} bytes with SHA-256 ${expected.sha256}`,
      found: `${bytes.byteLength} bytes with ${hash}`,
      retryable: true,
      hint: "Fetch the artifact again.",
    })
  }
  return bytes
})

/** Reads and verifies an artifact directory. */
export const readArtifact = Effect.fn("readArtifact")(function* (directory: string) {
  const manifestPath = join(directory, "manifest.json")
  const manifest = yield* decodeJson(
    manifestPath,
    yield* readBytes(manifestPath),
    Manifest,
    "a murmuration-supernet-1 manifest",
  )
  const specPath = join(directory, "spec.json")
  const specBytes = yield* checkedFile(directory, "spec.json", manifest)
  const spec = yield* decodeJson(specPath, specBytes, SupernetSpec, "a supernet spec")
  const path = join(directory, "weights.safetensors")
  const bytes = yield* checkedFile(directory, "weights.safetensors", manifest)
  const weights = yield* Effect.try({
    try: () => decodeSafetensors(bytes),
    catch: (cause) =>
      formatError(path, "safetensors", cause instanceof Error ? cause.message : String(cause)),
  })
  const problems = weightProblems(spec, weights)
  if (problems.length > 0) {
    return yield* new ArtifactShape({
      path,
      needed: `the tensors of ${spec.name} ${spec.version}`,
      found: problems.slice(0, 5).join("; ") + (problems.length > 5 ? `; ${problems.length - 5} more` : ""),
      retryable: false,
      hint: "The spec and the weights are from different supernets.",
    })
  }
  const supernet: Supernet = { spec, weights, manifest }
  return supernet
})

/** Verifies every file that the manifest names, such as the accuracy predictor: those that `readArtifact` does not read too. */
export const checkFiles = Effect.fn("checkFiles")(function* (directory: string, manifest: Manifest) {
  for (const name of Object.keys(manifest.files)) yield* checkedFile(directory, name, manifest)
})

/**
 * Writes a file of an artifact: whole, or not at all. Under another name first, also because several processes may make the
 * untrained artifact at their first start.
 */
export const putFile = async (directory: string, name: string, bytes: Uint8Array | string): Promise<void> => {
  const draft = join(directory, `${name}.${process.pid}.part`)
  try {
    await writeFile(draft, bytes)
    await rename(draft, join(directory, name))
  } finally {
    await rm(draft, { force: true })
  }
}

/**
 * Puts aside (as `NAME.old`) what was made of the supernet that lay here before, listed or not: a table or predictor that stayed
 * would be taken for the new one's, which may well have the same name and version.
 */
const putAside = async (directory: string): Promise<void> => {
  const manifest = join(directory, "manifest.json")
  const before = existsSync(manifest)
    ? Schema.decodeOption(Schema.fromJsonString(Manifest))(await readFile(manifest, "utf8"))
    : Option.none()
  const listed = Option.match(before, { onNone: () => [], onSome: ({ files }) => Object.keys(files) })
  for (const name of new Set([...listed, accuracyTableFile, accuracyPredictorFile])) {
    const file = join(directory, name)
    if (name !== basename(name) || written.includes(name) || !existsSync(file)) continue
    await rename(file, `${file}.old`)
  }
}

const written: ReadonlyArray<string> = ["spec.json", "weights.safetensors", "manifest.json"]

export interface WriteOptions {
  readonly training: string
  readonly weights?: WeightFormat
}

/**
 * Writes an artifact; the manifest last, so that a half-written artifact is never taken for a whole one. What was made of another
 * supernet in the same directory is put aside.
 */
export const writeArtifact = (
  directory: string,
  spec: SupernetSpec,
  weights: Weights,
  options: WriteOptions,
): Effect.Effect<Manifest> =>
  Effect.promise(async () => {
    const format = options.weights ?? "float16"
    const files: ReadonlyArray<readonly [string, Uint8Array]> = [
      ["spec.json", new TextEncoder().encode(`${JSON.stringify(spec, null, 1)}\n`)],
      ["weights.safetensors", encodeSafetensors(weights, format)],
    ]
    await mkdir(directory, { recursive: true })
    await putAside(directory)
    for (const [name, bytes] of files) await putFile(directory, name, bytes)
    const manifest: Manifest = {
      format: "murmuration-supernet-1",
      name: spec.name,
      version: spec.version,
      training: options.training,
      weights: format,
      files: Object.fromEntries(
        files.map(([name, bytes]) => [name, { bytes: bytes.byteLength, sha256: sha256(bytes) }]),
      ),
    }
    await putFile(directory, "manifest.json", `${JSON.stringify(manifest, null, 1)}\n`)
    return manifest
  })

/** Names further files of an artifact (tables, predictors, logs) in its manifest, with size and SHA-256. */
export const recordFiles = Effect.fn("recordFiles")(function* (
  directory: string,
  names: ReadonlyArray<string>,
) {
  const path = join(directory, "manifest.json")
  const manifest = yield* decodeJson(
    path,
    yield* readBytes(path),
    Manifest,
    "a murmuration-supernet-1 manifest",
  )
  const files = { ...manifest.files }
  for (const name of names) {
    const bytes = yield* readBytes(join(directory, name))
    files[name] = { bytes: bytes.byteLength, sha256: sha256(bytes) }
  }
  const text = `${JSON.stringify({ ...manifest, files }, null, 1)}\n`
  yield* Effect.promise(() => putFile(directory, "manifest.json", text))
})

const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)))

const imagenetteClasses: ReadonlyArray<string> = [
  "tench",
  "English springer",
  "cassette player",
  "chain saw",
  "church",
  "French horn",
  "garbage truck",
  "gas pump",
  "golf ball",
  "parachute",
]

/** The spec of the stand-in that `defaultArtifact` makes where no trained supernet is there. */
export const untrainedSpec: SupernetSpec = ofaMobileNetV3({
  name: "untrained",
  version: "1",
  widthMultiplier: 0.5,
  classes: imagenetteClasses,
})

/**
 * Directory of the supernet to use when the user names none: the trained one that comes with the project, else seeded
 * random weights under `.cache/`, made on first use (their spec says `trained: false` and their name "untrained").
 */
export const defaultArtifact: Effect.Effect<string> = Effect.gen(function* () {
  const trained = join(projectRoot, "supernet", "artifacts", "default")
  if (existsSync(join(trained, "manifest.json"))) return trained
  const untrained = join(projectRoot, ".cache", `untrained-supernet-${untrainedSpec.version}`)
  if (!existsSync(join(untrained, "manifest.json"))) {
    yield* writeArtifact(untrained, untrainedSpec, randomWeights(untrainedSpec, 1), { training: "untrained" })
  }
  return untrained
})
