/** What policies are trained for, as it lies in files. The modules that compute with it import only the types (see `supernet/Schemas.ts`). */
import * as Schema from "effect/Schema"

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
