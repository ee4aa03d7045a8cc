/** What a device profile consists of, as it lies in files and travels between devices; what it means is `DeviceProfile.ts`. */
import { Schema } from "effect"

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
