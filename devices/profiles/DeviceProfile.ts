/**
 * How fast one type of device runs a supernet's blocks: a rate per operator class, so that any block variant, tile shape
 * and resolution has a time, even one that nobody measured. `blockMs` is the one place that turns work into time.
 */
import type { OpCounts } from "../../supernet/Cost.ts"
import type { DeviceProfile } from "./ProfileSchema.ts"

export type { DeviceProfile }

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
