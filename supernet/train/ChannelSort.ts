/**
 * Sorts the hidden channels of every dynamic block by importance, the L1 norm of what the projection reads from them
 * (Once-for-All, section 3.2), so that a narrower submodel, the first channels, gets the channels that matter. The network's
 * function does not change.
 */
import { blocksOf, hiddenChannels, squeezeChannels, type SupernetSpec } from "../Spec.ts"
import { blockName } from "../Weights.ts"
import { type ParameterLayout, slotOf } from "./Parameters.ts"

/** Moves whole rows (`stride` numbers) of a [n, stride] tensor; `order[i]` is the old row of new row i. */
const permuteRows = (
  vector: Float32Array,
  offset: number,
  stride: number,
  order: ReadonlyArray<number>,
): void => {
  const old = vector.slice(offset, offset + order.length * stride)
  for (const [now, was] of order.entries())
    vector.set(old.subarray(was * stride, (was + 1) * stride), offset + now * stride)
}

const permuteColumns = (
  vector: Float32Array,
  offset: number,
  rows: number,
  order: ReadonlyArray<number>,
): void => {
  const columns = order.length
  for (let r = 0; r < rows; r++) {
    const old = vector.slice(offset + r * columns, offset + (r + 1) * columns)
    for (const [now, was] of order.entries()) vector[offset + r * columns + now] = old[was]!
  }
}

const descending = (importance: Float64Array): ReadonlyArray<number> =>
  [...importance.keys()].toSorted((a, b) => importance[b]! - importance[a]!)

const columnNorms = (vector: Float32Array, offset: number, rows: number, columns: number): Float64Array => {
  const sums = new Float64Array(columns)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) sums[c]! += Math.abs(vector[offset + r * columns + c]!)
  return sums
}

/** Sorts by the first vector and moves the others (moments, moving average) along. */
export const sortChannels = (
  spec: SupernetSpec,
  layout: ParameterLayout,
  vectors: ReadonlyArray<Float32Array>,
): void => {
  const [weights] = vectors
  if (weights === undefined) return
  for (const b of blocksOf(spec)) {
    if (b.kind !== "dynamic") continue
    const name = blockName(spec, b)
    const at = (part: string) => slotOf(layout, `${name}.${part}`).offset
    const hidden = hiddenChannels(spec, b.inChannels, Math.max(...spec.expands))
    const squeezed = squeezeChannels(hidden)
    const kernel = Math.max(...spec.kernels)
    const order = descending(columnNorms(weights, at("project"), b.outChannels, hidden))
    const middle = b.squeezeExcite ? descending(columnNorms(weights, at("se.expand"), hidden, squeezed)) : []
    for (const vector of vectors) {
      permuteRows(vector, at("expand"), b.inChannels, order)
      permuteRows(vector, at("dw"), kernel * kernel, order)
      for (const part of ["expand_bn.gamma", "expand_bn.beta", "dw_bn.gamma", "dw_bn.beta"]) {
        permuteRows(vector, at(part), 1, order)
      }
      permuteColumns(vector, at("project"), b.outChannels, order)
      if (!b.squeezeExcite) continue
      permuteColumns(vector, at("se.reduce"), squeezed, order)
      permuteRows(vector, at("se.expand"), squeezed, order)
      permuteRows(vector, at("se.expand_bias"), 1, order)
      permuteRows(vector, at("se.reduce"), hidden, middle)
      permuteRows(vector, at("se.reduce_bias"), 1, middle)
      permuteColumns(vector, at("se.expand"), hidden, middle)
    }
  }
}
