/**
 * What decisions are made from, and what policies are trained for, as schemas. The modules that compute with them import only
 * the types (see `supernet/Schemas.ts`).
 */
import * as Schema from "effect/Schema"

// Condition.ts

/** A latency to stay under (milliseconds, at the serving device), or an accuracy to reach (top-1, 0..1). */
export const Slo = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("latency"), latencyMs: Schema.Finite }),
  Schema.Struct({ kind: Schema.Literal("accuracy"), accuracy: Schema.Finite }),
])
export type Slo = typeof Slo.Type

/** One device as the planner sees it: its type names a profile, its link is the access link to the hub. */
export const DeviceState = Schema.Struct({
  id: Schema.String,
  /** Name of a device profile, such as "pi-4". */
  type: Schema.String,
  bandwidthMbps: Schema.Finite,
  /** One way, milliseconds. */
  delayMs: Schema.Finite,
  /** Work that the device has taken on already, milliseconds: a new request waits behind it. Absent: idle. */
  backlogMs: Schema.optionalKey(Schema.Finite),
})
export type DeviceState = typeof DeviceState.Type

/** The devices that are present; the first is local: it holds the image and answers the client. */
export const Condition = Schema.Struct({ devices: Schema.Array(DeviceState) })
export type Condition = typeof Condition.Type

// Scenario.ts

export const Range = Schema.Struct({
  min: Schema.Finite,
  max: Schema.Finite,
  scale: Schema.Literals(["linear", "log"]),
  /** Discrete points in training, both ends included. */
  points: Schema.Int,
})
export type Range = typeof Range.Type

export const Scenario = Schema.Struct({
  name: Schema.String,
  description: Schema.String,
  /** Width multiplier of the supernet that the ranges were chosen for, and what its accuracy is measured on. */
  widthMultiplier: Schema.Finite,
  dataset: Schema.String,
  /** Device profiles: the local device, and one per remote slot, equal types next to each other. */
  local: Schema.String,
  remotes: Schema.Array(Schema.String),
  bandwidthMbps: Range,
  delayMs: Range,
  latencySloMs: Range,
  accuracySlo: Range,
})
export type Scenario = typeof Scenario.Type
