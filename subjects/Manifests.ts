/** Values of the key-value buckets: small manifests; large blobs lie in the object store under a digest named here. */
import { Schema } from "effect"
import { DeviceId, StrategyId, WireStrategy } from "./DeviceId.ts"
import { Slo } from "./InferMessages.ts"

export const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "a SHA-256 digest in hexadecimal" }),
)

/** A blob in the object store. */
export const BlobRef = Schema.Struct({
  object: Schema.String,
  bytes: Schema.Int,
  sha256: Sha256,
})
export type BlobRef = typeof BlobRef.Type

/** Bucket `policies`; see `policyKeys` for the keys. */
export const PolicyManifest = Schema.Struct({
  /** `<scenario>.<kind>`: one policy of a name is active at a time. */
  name: Schema.String,
  version: Schema.String,
  scenario: Schema.String,
  /** The objective that it was trained for. */
  kind: Schema.Literals(["latency", "accuracy"]),
  /** Width of its network. */
  hidden: Schema.Int,
  /** The policy only fits this supernet. */
  supernet: Schema.Struct({ name: Schema.String, version: Schema.String }),
  /** Most devices that it can place tiles on, the local one included. */
  maxDevices: Schema.Int,
  /** The ONNX file, and its side files by name (`scenario.json`). */
  onnx: BlobRef,
  files: Schema.Record(Schema.String, BlobRef),
  /** What the trainer measured, such as compliance on held-out conditions. */
  metrics: Schema.Record(Schema.String, Schema.Finite),
  trainedBy: Schema.String,
})
export type PolicyManifest = typeof PolicyManifest.Type

/** Keys of bucket `policies`: what is active, every version that was pushed, and what one device is pinned to. */
export const policyKeys = {
  active: (name: string): string => `active.${name}`,
  version: (name: string, version: string): string => `version.${name}.${version}`,
  pin: (device: DeviceId, name: string): string => `pin.${device}.${name}`,
} as const

/** Bucket `strategies`, key = strategyId: kept its promise in several requests of the device that found it. */
export const StrategyRecord = Schema.Struct({
  strategyId: StrategyId,
  by: DeviceId,
  /** Name and version of the policies that it was found with. */
  policies: Schema.String,
  strategy: WireStrategy,
  slo: Slo,
  /** Its fastest answer; `accuracy` is predicted. */
  measuredMs: Schema.Finite,
  accuracy: Schema.Finite,
  runs: Schema.Int,
})
export type StrategyRecord = typeof StrategyRecord.Type

/** Bucket `devices`, key = device: what a device measured about itself. `profile` is a profile of `devices/profiles`. */
export const DeviceRecord = Schema.Struct({
  device: DeviceId,
  hostname: Schema.String,
  profile: Schema.Unknown,
})
export type DeviceRecord = typeof DeviceRecord.Type
