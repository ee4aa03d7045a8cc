/**
 * A policy as it is shipped, pushed and kept: a manifest, the ONNX file, and the scenario that it was trained for. On disk a
 * directory `manifest.json`, `policy.onnx`, `scenario.json`; on the bus a manifest in a bucket and two objects.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Result, Schema } from "effect"
import { type BlobRef, PolicyManifest } from "../subjects/Manifests.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import type { SloKind } from "./Condition.ts"
import { Scenario } from "./Schemas.ts"

export interface PolicyArtifact {
  readonly manifest: PolicyManifest
  readonly onnx: Uint8Array
  readonly scenario: Scenario
}

/** A policy that this device will not use, and why. */
export class PolicyRefused extends Schema.TaggedError<PolicyRefused>()("PolicyRefused", {
  policy: Schema.String,
  version: Schema.String,
  problems: Schema.Array(Schema.String),
}) {
  readonly hint =
    "push a policy that was trained for this supernet; 'murmuration policy list' shows what is there"
  override get message() {
    return `policy ${this.policy} ${this.version}: ${this.problems.join("; ")}`
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const scenarioFile = "scenario.json"
const scenarioBytes = (scenario: Scenario): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(scenario, null, 1)}\n`)

const blobRef = (object: string, bytes: Uint8Array): BlobRef => ({
  object,
  bytes: bytes.length,
  sha256: sha256(bytes),
})

export interface TrainedPolicy {
  readonly version: string
  readonly kind: SloKind
  readonly hidden: number
  readonly scenario: Scenario
  readonly spec: SupernetSpec
  readonly onnx: Uint8Array
  readonly metrics: Readonly<Record<string, number>>
  /** The command that trained it. */
  readonly trainedBy: string
}

export const packPolicy = (p: TrainedPolicy): PolicyArtifact => {
  const name = `${p.scenario.name}.${p.kind}`
  const object = (file: string) => `policies/${name}/${p.version}/${file}`
  return {
    onnx: p.onnx,
    scenario: p.scenario,
    manifest: {
      name,
      version: p.version,
      scenario: p.scenario.name,
      kind: p.kind,
      hidden: p.hidden,
      supernet: { name: p.spec.name, version: p.spec.version },
      maxDevices: 1 + p.scenario.remotes.length,
      onnx: blobRef(object("policy.onnx"), p.onnx),
      files: { [scenarioFile]: blobRef(object(scenarioFile), scenarioBytes(p.scenario)) },
      metrics: p.metrics,
      trainedBy: p.trainedBy,
    },
  }
}

/** Bytes of the artifact's side files by name, as the manifest lists them. */
export const sideFiles = (artifact: PolicyArtifact): ReadonlyMap<string, Uint8Array> =>
  new Map([[scenarioFile, scenarioBytes(artifact.scenario)]])

/** Writes the artifact into a directory; a reader never sees half of it. */
export const writePolicy = (directory: string, artifact: PolicyArtifact): void => {
  mkdirSync(directory, { recursive: true })
  const put = (name: string, bytes: Uint8Array | string) => {
    writeFileSync(join(directory, `${name}.new`), bytes)
    renameSync(join(directory, `${name}.new`), join(directory, name))
  }
  put("policy.onnx", artifact.onnx)
  put(scenarioFile, scenarioBytes(artifact.scenario))
  put("manifest.json", `${JSON.stringify(artifact.manifest, null, 1)}\n`)
}

const decodeManifest = Schema.decodeUnknownResult(Schema.fromJsonString(PolicyManifest))
const decodeScenario = Schema.decodeUnknownResult(Schema.fromJsonString(Scenario))

const differs = (what: string, bytes: Uint8Array, ref: BlobRef | undefined): ReadonlyArray<string> => {
  if (ref === undefined) return [`the manifest does not list ${what}`]
  if (bytes.length === ref.bytes && sha256(bytes) === ref.sha256) return []
  return [
    `${what} has ${bytes.length} bytes with sha256 ${sha256(bytes).slice(0, 12)}..., not what the manifest says`,
  ]
}

/** Puts an artifact together from its parts and checks every digest. */
export const assemblePolicy = (
  manifest: PolicyManifest,
  onnx: Uint8Array,
  scenario: Uint8Array,
): Result.Result<PolicyArtifact, PolicyRefused> => {
  const refused = (problems: ReadonlyArray<string>) =>
    Result.fail(new PolicyRefused({ policy: manifest.name, version: manifest.version, problems }))
  const problems = [
    ...differs("policy.onnx", onnx, manifest.onnx),
    ...differs(scenarioFile, scenario, manifest.files[scenarioFile]),
  ]
  if (problems.length > 0) return refused(problems)
  const decoded = decodeScenario(new TextDecoder().decode(scenario))
  return Result.isFailure(decoded)
    ? refused([`its scenario is unreadable: ${decoded.failure.message}`])
    : Result.succeed({ manifest, onnx, scenario: decoded.success })
}

/** Reads and checks an artifact directory. */
export const readPolicy = (directory: string): Effect.Effect<PolicyArtifact, PolicyRefused> =>
  Effect.suspend(() => {
    const unreadable = (detail: string) =>
      Effect.fail(new PolicyRefused({ policy: directory, version: "", problems: [detail] }))
    let parts: ReadonlyArray<Uint8Array>
    try {
      parts = ["manifest.json", "policy.onnx", scenarioFile].map((name) =>
        readFileSync(join(directory, name)),
      )
    } catch (cause) {
      return unreadable(cause instanceof Error ? cause.message : String(cause))
    }
    const [manifest, onnx, scenario] = parts
    if (manifest === undefined || onnx === undefined || scenario === undefined)
      return unreadable("a file is missing")
    const decoded = decodeManifest(new TextDecoder().decode(manifest))
    if (Result.isFailure(decoded)) return unreadable(`manifest.json: ${decoded.failure.message}`)
    return Effect.fromResult(assemblePolicy(decoded.success, onnx, scenario))
  })

/** Why a policy does not fit a device with this supernet; empty when it does. */
export const policyProblems = (
  { manifest, scenario }: PolicyArtifact,
  spec: SupernetSpec,
): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const { supernet } = manifest
  if (supernet.name !== spec.name || supernet.version !== spec.version) {
    problems.push(
      `it is for supernet ${supernet.name} ${supernet.version}; this device has ${spec.name} ${spec.version}`,
    )
  }
  if (scenario.name !== manifest.scenario)
    problems.push(`its scenario is ${scenario.name}, not ${manifest.scenario}`)
  if (manifest.name !== `${manifest.scenario}.${manifest.kind}`)
    problems.push("its name is not <scenario>.<kind>")
  if (manifest.maxDevices !== 1 + scenario.remotes.length)
    problems.push("its device count is not its scenario's")
  return problems
}
