/**
 * All trainable tensors of a supernet in one flat float32 vector, so that optimiser, averaging, checkpoint and exchange between
 * workers are loops over one array. Names, order and layouts are those of `Weights`; batch-norm statistics are not trained.
 */
import type { SupernetSpec } from "../Spec.ts"
import { type Tensor, type Weights, weightShapes } from "../Weights.ts"

export interface ParameterSlot {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** Elements from the start of the vector; a multiple of 4, for SIMD. */
  readonly offset: number
  readonly size: number
}

export interface ParameterLayout {
  readonly slots: ReadonlyMap<string, ParameterSlot>
  /** Elements of the whole vector, padding included. */
  readonly size: number
}

const isStatistic = (name: string): boolean => name.endsWith(".mean") || name.endsWith(".var")

export const parameterLayout = (spec: SupernetSpec): ParameterLayout => {
  const slots = new Map<string, ParameterSlot>()
  let offset = 0
  for (const [name, shape] of weightShapes(spec)) {
    if (isStatistic(name)) continue
    const size = shape.reduce((a, b) => a * b, 1)
    slots.set(name, { name, shape, offset, size })
    offset += Math.ceil(size / 4) * 4
  }
  return { slots, size: offset }
}

export const slotOf = (layout: ParameterLayout, name: string): ParameterSlot => {
  const slot = layout.slots.get(name)
  if (slot === undefined) throw new RangeError(`no parameter ${name}`)
  return slot
}

/** The flat vector of a set of weights. */
export const packParameters = (layout: ParameterLayout, weights: Weights): Float32Array => {
  const vector = new Float32Array(layout.size)
  for (const { name, offset, size } of layout.slots.values()) {
    const found = weights.get(name)
    if (found === undefined || found.data.length !== size)
      throw new RangeError(`the weights lack ${name} of ${size} numbers`)
    vector.set(found.data, offset)
  }
  return vector
}

/** Weights with neutral statistics from a flat vector (copies). */
export const unpackParameters = (spec: SupernetSpec, vector: Float32Array): Map<string, Tensor> => {
  const layout = parameterLayout(spec)
  const weights = new Map<string, Tensor>()
  for (const [name, shape] of weightShapes(spec)) {
    const slot = layout.slots.get(name)
    const data =
      slot === undefined
        ? new Float32Array(shape[0] ?? 0).fill(name.endsWith(".var") ? 1 : 0)
        : vector.slice(slot.offset, slot.offset + slot.size)
    weights.set(name, { shape, data })
  }
  return weights
}

/** 1 where weight decay applies: convolutions and matrices, not batch norm, biases or kernel transforms. */
export const decayMask = (layout: ParameterLayout): Uint8Array => {
  const mask = new Uint8Array(layout.size)
  for (const { shape, offset, size, name } of layout.slots.values()) {
    if (shape.length > 1 && !name.endsWith(".to5") && !name.endsWith(".to3"))
      mask.fill(1, offset, offset + size)
  }
  return mask
}
