/**
 * Neurosurgeon's performance model (Kang et al., ASPLOS 2017, section 4.2): for each type of layer a regression of its
 * latency on the layer's configuration, fitted once per device to profiled layers. Here: time = a MACs + b values moved +
 * c parameters + d, all coefficients at least zero, relative errors minimised.
 */
import { nonNegativeRelativeFit } from "../../devices/profiles/LeastSquares.ts"
import { totalMacs } from "../../supernet/Cost.ts"
import type { Layer, LayerType } from "../../supernet/zoo/LayerGraph.ts"

/** Predicted time of a layer, ms. */
export type LayerLatency = (layer: Layer) => number

const features = ({ ops }: Layer): ReadonlyArray<number> => [
  totalMacs(ops),
  ops.activations + ops.elementwise,
  ops.parameters,
  1,
]

export interface ProfiledLayer {
  readonly layer: Layer
  readonly ms: number
}

/** One regression per type of layer among the profiled ones; other types are predicted to take no time. */
export const fitLayerLatency = (profiled: ReadonlyArray<ProfiledLayer>): LayerLatency => {
  const types = new Set(profiled.map((p) => p.layer.type))
  const coefficients = new Map<LayerType, ReadonlyArray<number>>()
  for (const type of types) {
    const samples = profiled.filter((p) => p.layer.type === type && p.ms > 0)
    const rows = samples.map((p) => features(p.layer))
    coefficients.set(
      type,
      nonNegativeRelativeFit(
        rows,
        samples.map((p) => p.ms),
      ),
    )
  }
  return (layer) => {
    const weights = coefficients.get(layer.type) ?? []
    return features(layer).reduce((sum, x, i) => sum + x * (weights[i] ?? 0), 0)
  }
}
