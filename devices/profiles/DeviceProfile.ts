/**
 * How fast one type of device runs a supernet's blocks: a rate per operator class, so that any block variant, tile shape
 * and resolution has a time, even one that nobody measured. `blockMs` is the one place that turns work into time.
 */
import { Schema } from "effect"
import type { OpCounts } from "../../supernet/Cost.ts"

const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Where a number comes from. */
export const Provenance = Schema.Struct({
  /** Fields of the profile that this is about, e.g. "rates.dense, layerMs". */
  what: Schema.String,
  source: Schema.String,
  /** True when it was not measured on the device but inferred. */
  estimate: Schema.Boolean,
})
export type Provenance = typeof Provenance.Type

export const DeviceProfile = Schema.Struct({
  /** File name without `.json`, used in conditions and on command lines. */
  name: Schema.String,
  title: Schema.String,
  /** GMAC/s by operator class (see `OpCounts`). */
  rates: Schema.Struct({
    dense: Positive,
    pointwise: Positive,
    depthwise3: Positive,
    depthwise5: Positive,
    depthwise7: Positive,
  }),
  /** GB/s at which feature-map values (4 bytes each) are written by convolutions or passed through element by element. */
  mapGBs: Positive,
  /** GB/s at which weights are read; all that a matrix-vector layer costs. */
  weightGBs: Positive,
  /** Fixed cost of an operator, of a block (its own session, layout changes) and of a run (dispatch), ms. */
  layerMs: NonNegative,
  blockMs: NonNegative,
  runMs: NonNegative,
  /** ms per million values converted at a segment's boundary; 32-bit values are passed on as they are. */
  quantise: Schema.Struct({ u8: NonNegative, f16: NonNegative }),
  dequantise: Schema.Struct({ u8: NonNegative, f16: NonNegative }),
  /** Decoding and resizing one camera image (640x480 JPEG) to the network's input, ms. */
  decodeMs: NonNegative,
  /** Memory for models and feature maps, MB. */
  memoryMb: Positive,
  provenance: Schema.Array(Provenance),
})
export type DeviceProfile = typeof DeviceProfile.Type

export const decodeProfile = Schema.decodeUnknownResult(DeviceProfile)

/** Time for an amount of work within one run, ms: everything that is proportional to it, and its operators' fixed cost. */
export const opsMs = (profile: DeviceProfile, ops: OpCounts): number =>
  (ops.dense / profile.rates.dense +
    ops.pointwise / profile.rates.pointwise +
    ops.depthwise3 / profile.rates.depthwise3 +
    ops.depthwise5 / profile.rates.depthwise5 +
    ops.depthwise7 / profile.rates.depthwise7 +
    (4 * (ops.activations + ops.elementwise)) / profile.mapGBs +
    (4 * ops.parameters) / profile.weightGBs) /
    1e6 +
  ops.layers * profile.layerMs

/** The same device in slow motion: every time multiplied by `factor`, so that a slower machine can emulate it. */
export const dilated = (profile: DeviceProfile, factor: number): DeviceProfile => {
  const scaled = <A extends Record<string, number>>(values: A, by: number): A =>
    Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v * by])) as A
  return {
    ...profile,
    name: `${profile.name}-x${factor}`,
    title: `${profile.title}, ${factor} times slower`,
    rates: scaled(profile.rates, 1 / factor),
    mapGBs: profile.mapGBs / factor,
    weightGBs: profile.weightGBs / factor,
    layerMs: profile.layerMs * factor,
    blockMs: profile.blockMs * factor,
    runMs: profile.runMs * factor,
    quantise: scaled(profile.quantise, factor),
    dequantise: scaled(profile.dequantise, factor),
    decodeMs: profile.decodeMs * factor,
  }
}
