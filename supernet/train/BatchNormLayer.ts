/** Batch normalisation with its activation (and, for projections, the residual) over the hand-written kernels. */
import { batchNormEpsilon } from "../Weights.ts"
import type { Pointer } from "../kernels/Kernels.ts"
import { type Context, gradient, parameter } from "./Context.ts"

export const activationCode = { none: 0, relu: 1, h_swish: 2 } as const
export type ActivationName = keyof typeof activationCode

export interface BatchNormTape {
  readonly block: string
  readonly layer: string
  readonly x: Pointer
  readonly y: Pointer
  readonly rows: number
  readonly channels: number
  readonly activation: number
  /** [5, channels]: mean, variance, scale, shift, 1 / deviation. */
  readonly vectors: Pointer
  /** Statistics were given: constants, through which no gradient flows. */
  readonly given: boolean
}

/** y = activation(gamma (x - mean) / deviation + beta) [+ residual], for the first `channels` of the stored vectors. */
export const batchNormForward = (
  context: Context,
  block: string,
  layer: string,
  x: Pointer,
  rows: number,
  channels: number,
  activation: ActivationName,
  residual?: Pointer,
): BatchNormTape => {
  const { arena, kernels, statistics } = context
  const y = arena.allocate(rows * channels)
  const vectors = arena.allocate(5 * channels)
  const [meanAt, varianceAt] = [vectors, vectors + channels * 4]
  const [scaleAt, shiftAt, inverseAt] = [2, 3, 4].map((i) => vectors + i * channels * 4) as [
    number,
    number,
    number,
  ]
  const given = statistics.given?.(block, layer)
  const [mean, variance] = [arena.view(meanAt, channels), arena.view(varianceAt, channels)]
  if (given === undefined) {
    kernels.moments(x, meanAt, varianceAt, rows, channels)
    statistics.observe?.(block, layer, mean, variance)
  } else {
    mean.set(given.mean.subarray(0, channels))
    variance.set(given.variance.subarray(0, channels))
  }
  const gamma = arena.view(parameter(context, `${block}.${layer}.gamma`), channels)
  const beta = arena.view(parameter(context, `${block}.${layer}.beta`), channels)
  const [scale, shift] = [arena.view(scaleAt, channels), arena.view(shiftAt, channels)]
  const inverse = arena.view(inverseAt, channels)
  for (let c = 0; c < channels; c++) {
    const inv = 1 / Math.sqrt(variance[c]! + batchNormEpsilon)
    inverse[c] = inv
    scale[c] = gamma[c]! * inv
    shift[c] = beta[c]! - mean[c]! * gamma[c]! * inv
  }
  const code = activationCode[activation]
  if (residual === undefined) kernels.affine(x, scaleAt, shiftAt, y, rows, channels, code)
  else kernels.affineAdd(x, scaleAt, shiftAt, residual, y, rows, channels)
  return { block, layer, x, y, rows, channels, activation: code, vectors, given: given !== undefined }
}

/** Gradient by x written to `dx` (may be `dy` itself); gradients of gamma and beta are added to the flat gradient. */
export const batchNormBackward = (context: Context, tape: BatchNormTape, dy: Pointer, dx: Pointer): void => {
  const { arena, kernels } = context
  const { x, rows, channels, activation, vectors, block, layer } = tape
  const at = (i: number) => vectors + i * channels * 4
  const sums = arena.allocate(4 * channels)
  const [dShiftAt, dScaleAt, aAt, bAt] = [0, 1, 2, 3].map((i) => sums + i * channels * 4) as [
    number,
    number,
    number,
    number,
  ]
  kernels.gradientSums(x, dy, at(2), at(3), at(0), dShiftAt, dScaleAt, rows, channels, activation)
  const view = (p: Pointer) => arena.view(p, channels)
  const [mean, scale, inverse] = [view(at(0)), view(at(2)), view(at(4))]
  const [dShift, dScale, a, b] = [view(dShiftAt), view(dScaleAt), view(aAt), view(bAt)]
  const dGamma = view(gradient(context, `${block}.${layer}.gamma`))
  const dBeta = view(gradient(context, `${block}.${layer}.beta`))
  for (let c = 0; c < channels; c++) {
    const dg = dScale[c]! * inverse[c]!
    dGamma[c] = dGamma[c]! + dg
    dBeta[c] = dBeta[c]! + dShift[c]!
    // dx = scale (dz - mean(dz) - (x - mean) inverse^2 mean(dz (x - mean))), Ioffe & Szegedy 2015, section 3.
    a[c] = tape.given ? 0 : (-scale[c]! * dg * inverse[c]!) / rows
    b[c] = tape.given ? 0 : (-scale[c]! * dShift[c]!) / rows - a[c]! * mean[c]!
  }
  kernels.gradientInput(x, dy, at(2), at(3), aAt, bAt, dx, rows, channels, activation)
}
