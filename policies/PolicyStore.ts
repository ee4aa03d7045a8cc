/**
 * A policy as it is kept and handed over: a folder with `policy.onnx` and `manifest.json`. Nothing is used before it is
 * verified: right hash, right supernet, right shape, and one decision made. A store on a device's disk keeps the last
 * policy that passed, and the one before it for a rollback; a bad one never replaces a good one.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Result, Schema } from "effect"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { spaceOf } from "./Genome.ts"
import { loadPolicy, type PolicyRuntime, shapeFor } from "./PolicyRuntime.ts"
import { absent, dimensions, Scenario } from "./Scenario.ts"

const Sha256 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

export const PolicyManifest = Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  slo: Schema.Literals(["latency", "accuracy"]),
  /** In full: what the network is told about a condition depends on its ranges. */
  scenario: Scenario,
  supernet: Schema.Struct({ name: Schema.String, version: Schema.String }),
  shape: Schema.Struct({
    hidden: Schema.Int,
    slots: Schema.Int,
    steps: Schema.Int,
    features: Schema.Int,
    actions: Schema.Int,
  }),
  onnx: Schema.Struct({ bytes: Schema.Int, sha256: Sha256 }),
  /** Measured by the trainer on validation constraints: shares of the oracle's reward and compliance, and others. */
  metrics: Schema.Record(Schema.String, Schema.Finite),
  /** Algorithm, seed, environment steps, accuracy model: how to make it again. */
  training: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite])),
})
export type PolicyManifest = typeof PolicyManifest.Type

export class PolicyRefused extends Schema.TaggedError<PolicyRefused>()("PolicyRefused", {
  policy: Schema.String,
  /** Everything that is wrong, in words. */
  reasons: Schema.Array(Schema.String),
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `policy ${this.policy} refused: ${this.reasons.join("; ")}. ${this.hint}`
  }
}

const refuse = (policy: string, reasons: ReadonlyArray<string>) =>
  new PolicyRefused({
    policy,
    reasons,
    retryable: false,
    hint: "The policy in use stays. Train one for this supernet with `murmuration policy train`.",
  })

export interface PolicyPackage {
  readonly manifest: PolicyManifest
  readonly onnx: Uint8Array
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const decodeManifest = Schema.decodeUnknownResult(PolicyManifest)

const mismatch = (what: string, want: string | number, have: string | number) =>
  want === have ? [] : [`${what} is ${have}, needed ${want}`]

/** What is wrong with a package for a device that runs this supernet; empty when it may be tried. Pure. */
export const packageProblems = (
  { manifest, onnx }: PolicyPackage,
  spec: SupernetSpec,
): ReadonlyArray<string> => {
  const shape = shapeFor(manifest.scenario, spaceOf(spec), manifest.shape.hidden)
  return [
    ...mismatch("size", manifest.onnx.bytes, onnx.byteLength),
    ...mismatch("SHA-256", manifest.onnx.sha256, sha256(onnx)),
    ...mismatch(
      "supernet",
      `${spec.name} ${spec.version}`,
      `${manifest.supernet.name} ${manifest.supernet.version}`,
    ),
    ...mismatch("device slots", shape.slots, manifest.shape.slots),
    ...mismatch("decoding steps", shape.steps, manifest.shape.steps),
    ...mismatch("features", shape.features, manifest.shape.features),
    ...mismatch("choices", shape.actions, manifest.shape.actions),
  ]
}

export interface LoadedPolicy {
  readonly manifest: PolicyManifest
  readonly runtime: PolicyRuntime
}

/** Verifies a package and makes one decision with it. Only what comes back successful may serve requests. */
export const openPackage = async (
  pack: PolicyPackage,
  spec: SupernetSpec,
): Promise<Result.Result<LoadedPolicy, PolicyRefused>> => {
  const { manifest, onnx } = pack
  const problems = packageProblems(pack, spec)
  if (problems.length > 0) return Result.fail(refuse(manifest.name, problems))
  try {
    const runtime = await loadPolicy(onnx, shapeFor(manifest.scenario, spaceOf(spec), manifest.shape.hidden))
    const alone = new Float64Array(dimensions(manifest.scenario)).fill(absent)
    alone[0] = 0.5
    await runtime.decode([alone])
    return Result.succeed({ manifest, runtime })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return Result.fail(refuse(manifest.name, [`it does not run: ${reason}`]))
  }
}

const onnxFile = "policy.onnx"
const manifestFile = "manifest.json"

export const writePackage = (folder: string, { manifest, onnx }: PolicyPackage): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, onnxFile), onnx)
  writeFileSync(join(folder, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`)
}

export const readPackage = (folder: string): Result.Result<PolicyPackage, PolicyRefused> => {
  try {
    const decoded = decodeManifest(JSON.parse(readFileSync(join(folder, manifestFile), "utf8")))
    if (Result.isFailure(decoded)) return Result.fail(refuse(folder, [decoded.failure.message]))
    return Result.succeed({
      manifest: decoded.success,
      onnx: new Uint8Array(readFileSync(join(folder, onnxFile))),
    })
  } catch (cause) {
    return Result.fail(refuse(folder, [cause instanceof Error ? cause.message : String(cause)]))
  }
}

/** Names of the packages in a folder of packages. */
export const packageNames = (folder: string): ReadonlyArray<string> =>
  existsSync(folder)
    ? readdirSync(folder).filter((n) => !n.startsWith(".") && existsSync(join(folder, n, manifestFile)))
    : []

/** The policies that come with the project. */
export const shippedPolicies = join(import.meta.dirname, "artifacts")

export const openFolder = async (
  folder: string,
  spec: SupernetSpec,
): Promise<Result.Result<LoadedPolicy, PolicyRefused>> => {
  const read = readPackage(folder)
  return Result.isFailure(read) ? Result.fail(read.failure) : openPackage(read.success, spec)
}

/** All policies of a folder that fit a supernet, and why the others do not. */
export const openAll = async (folder: string, spec: SupernetSpec) => {
  const policies: Array<LoadedPolicy> = []
  const refused: Array<PolicyRefused> = []
  for (const name of packageNames(folder)) {
    const opened = await openFolder(join(folder, name), spec)
    if (Result.isSuccess(opened)) policies.push(opened.success)
    else refused.push(opened.failure)
  }
  return { policies, refused }
}

/** A device's own store: `<folder>/<name>` is the last good one, `<folder>/.previous-<name>` the one before it. */
export class PolicyStore {
  readonly folder: string
  readonly spec: SupernetSpec

  constructor(folder: string, spec: SupernetSpec) {
    this.folder = folder
    this.spec = spec
  }

  #at(name: string) {
    return {
      current: join(this.folder, name),
      previous: join(this.folder, `.previous-${name}`),
      arriving: join(this.folder, `.arriving-${name}-${process.pid}`),
    }
  }

  /** Verifies, then replaces by renaming: whoever reads sees the old package or the new one, never half of one. */
  async install(pack: PolicyPackage): Promise<Result.Result<LoadedPolicy, PolicyRefused>> {
    const opened = await openPackage(pack, this.spec)
    if (Result.isFailure(opened)) return opened
    const { current, previous, arriving } = this.#at(pack.manifest.name)
    writePackage(arriving, pack)
    if (existsSync(current)) {
      rmSync(previous, { recursive: true, force: true })
      renameSync(current, previous)
    }
    renameSync(arriving, current)
    return opened
  }

  /** Makes the one before the last good one current again. */
  async rollback(name: string): Promise<Result.Result<LoadedPolicy, PolicyRefused>> {
    const read = readPackage(this.#at(name).previous)
    return Result.isFailure(read) ? Result.fail(read.failure) : this.install(read.success)
  }

  /** What a device starts with, hub or no hub: its last good policies; one that was damaged falls back to the one before. */
  async open(): Promise<ReadonlyArray<LoadedPolicy>> {
    const { policies, refused } = await openAll(this.folder, this.spec)
    const names = packageNames(this.folder).filter((n) => !policies.some((p) => p.manifest.name === n))
    if (refused.length === 0) return policies
    const older = await Promise.all(names.map((name) => openFolder(this.#at(name).previous, this.spec)))
    return [...policies, ...older.flatMap((o) => (Result.isSuccess(o) ? [o.success] : []))]
  }
}
