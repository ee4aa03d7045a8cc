/**
 * What the network makes of a constraint, once for all steps: its share of the LSTM gates' pre-activations,
 * gates = relu(features F) T. The rectified layer can say "this link is good and that SLO is strict", which a
 * sum over features cannot, and costs a twentieth of the steps that follow.
 */
import type { Memory } from "./kernels/Kernels.ts"
import { type Buffers, roundUp4 } from "./PolicyPacking.ts"
import type { PolicyParameters } from "./PolicyParameters.ts"
import { writeFeatures } from "./PolicyShape.ts"
import type { Constraint } from "./Scenario.ts"

/** Fills `constraintGates` and what the backward pass needs. Returns the rows, a multiple of 4. */
export const encodeConstraints = (
  memory: Memory,
  { shape, weights: w }: PolicyParameters,
  b: Buffers,
  constraints: ReadonlyArray<Constraint>,
): number => {
  const k = memory.kernels
  const { features, trunk } = shape
  const gates = 4 * shape.hidden
  const rows = roundUp4(constraints.length)
  const view = memory.view(b.features, rows * features)
  view.fill(0)
  for (const [i, c] of constraints.entries()) writeFeatures(shape, c, view, i * features)
  k.product(b.features, w.features, b.trunk, rows, features, trunk, b.scratch, 0)
  k.rectify(b.trunk, rows * trunk)
  k.product(b.trunk, w.trunk, b.constraintGates, rows, trunk, gates, b.scratch, 0)
  return rows
}

/** Gradients of the encoder's weights, from `dConstraintGates`. */
export const encoderGradients = (
  memory: Memory,
  { shape, weights, gradients: g }: PolicyParameters,
  b: Buffers,
  rows: number,
): void => {
  const k = memory.kernels
  const { features, trunk } = shape
  const gates = 4 * shape.hidden
  k.transposedProduct(b.trunk, b.dConstraintGates, g.trunk, rows, trunk, gates, b.scratch)
  k.transpose(weights.trunk, b.transposed, trunk, gates)
  k.product(b.dConstraintGates, b.transposed, b.dTrunk, rows, gates, trunk, b.scratch, 0)
  k.rectifyBackward(b.trunk, b.dTrunk, rows * trunk)
  k.transposedProduct(b.features, b.dTrunk, g.features, rows, features, trunk, b.scratch)
}
