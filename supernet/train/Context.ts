/**
 * What every layer of the hand-written network works on: kernels, memory, the flat parameters and their gradients, and where
 * batch-norm statistics come from. Maps are [images, size, size, channels] float32 buffers in the arena.
 */
import type { Arena, Kernels, Pointer } from "../kernels/Kernels.ts"
import type { Region } from "../Partition.ts"
import { type ParameterLayout, slotOf } from "./Parameters.ts"

/** Batch-norm statistics: of this batch (training), or given ones (evaluation). */
export interface StatisticsSource {
  /** Given mean and variance of a layer, or undefined: use the batch's own. */
  readonly given?: (block: string, layer: string) => { mean: Float32Array; variance: Float32Array }
  /** Sees the batch's own moments of each layer. */
  readonly observe?: (block: string, layer: string, mean: Float32Array, variance: Float32Array) => void
}

export interface Context {
  readonly kernels: Kernels
  readonly arena: Arena
  readonly layout: ParameterLayout
  readonly parameters: Pointer
  readonly gradients: Pointer
  readonly images: number
  readonly statistics: StatisticsSource
}

export const parameter = (context: Context, name: string): Pointer =>
  context.parameters + slotOf(context.layout, name).offset * 4

export const gradient = (context: Context, name: string): Pointer =>
  context.gradients + slotOf(context.layout, name).offset * 4

/** A batch of square maps. */
export interface Maps {
  readonly data: Pointer
  readonly size: number
  readonly channels: number
}

export const rowsOf = (context: Context, size: number): number => context.images * size * size
export const countOf = (context: Context, maps: Maps): number => rowsOf(context, maps.size) * maps.channels

/** Where a region starts in a map of this size, and the arguments that most region kernels take. */
export const regionStart = (data: Pointer, region: Region, size: number, channels: number): Pointer =>
  data + (region.y0 * size + region.x0) * channels * 4
export const pitches = (size: number, channels: number): readonly [number, number] => [
  size * channels,
  size * size * channels,
]

/** Runs `f` and gives back what it allocated. */
export const scratch = <A>(context: Context, f: () => A): A => {
  const mark = context.arena.mark()
  const result = f()
  context.arena.release(mark)
  return result
}

/** x[rows, inner] times w[inner, columns] in a new buffer. */
export const multiply = (
  context: Context,
  x: Pointer,
  w: Pointer,
  rows: number,
  inner: number,
  columns: number,
): Pointer => {
  const y = context.arena.allocate(rows * columns)
  context.kernels.product(x, w, y, rows, inner, columns)
  return y
}

/** The first `rows` x `columns` of a stored matrix with `pitch` columns, transposed, in a new buffer. */
export const transposed = (
  context: Context,
  from: Pointer,
  rows: number,
  columns: number,
  pitch: number,
): Pointer => {
  const to = context.arena.allocate(rows * columns)
  context.kernels.transpose(from, to, rows, columns, pitch, rows)
  return to
}

/** The first `rows` x `columns` of a stored matrix: itself where it is whole, else a copy. */
export const packed = (
  context: Context,
  from: Pointer,
  rows: number,
  columns: number,
  pitch: number,
): Pointer => {
  if (columns === pitch) return from
  const to = context.arena.allocate(rows * columns)
  context.kernels.copyRows(from, to, rows, columns, pitch, columns)
  return to
}
