/**
 * Squeeze-excite per tile (FDSP: a tile pools over its own pixels): mean, reduce, relu, expand, hard sigmoid, scale.
 * Rows of the small matrices are (image, tile) pairs.
 */
import { type BlockGeometry, type Region, regionArea, regionHeight, regionWidth } from "../Partition.ts"
import { squeezeChannels } from "../Spec.ts"
import type { Pointer } from "../kernels/Kernels.ts"
import {
  type Context,
  gradient,
  type Maps,
  multiply,
  packed,
  parameter,
  pitches,
  regionStart,
  scratch,
  transposed,
} from "./Context.ts"

export interface SqueezeExciteTape {
  readonly block: string
  readonly input: Maps
  readonly output: Maps
  readonly tiles: ReadonlyArray<Region>
  readonly rows: number
  readonly squeezed: number
  readonly storedHidden: number
  /** [rows, hidden] means, [rows, squeezed] after relu, [rows, hidden] before the hard sigmoid, [rows, hidden] gates. */
  readonly pooled: Pointer
  readonly reduced: Pointer
  readonly raw: Pointer
  readonly gate: Pointer
}

const addBias = (
  context: Context,
  data: Pointer,
  bias: Pointer,
  rows: number,
  columns: number,
  relu: boolean,
) => {
  const values = context.arena.view(data, rows * columns)
  const b = context.arena.view(bias, columns)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const v = values[r * columns + c]! + b[c]!
      values[r * columns + c] = relu && v < 0 ? 0 : v
    }
  }
}

/** The (image, tile) vectors of tile t start at row t and are `tiles` rows apart. */
const tileArguments = (context: Context, maps: Maps, tile: Region, t: number, tiles: number) => {
  const { size, channels } = maps
  const [row, image] = pitches(size, channels)
  return {
    start: (data: Pointer) => regionStart(data, tile, size, channels),
    vector: (data: Pointer) => data + t * channels * 4,
    sizes: [context.images, regionHeight(tile), regionWidth(tile), channels, row, image] as const,
    pitch: tiles * channels,
  }
}

export const squeezeExciteForward = (
  context: Context,
  block: string,
  input: Maps,
  geometry: BlockGeometry,
  storedHidden: number,
): SqueezeExciteTape => {
  const { arena, kernels: k, images } = context
  const { channels: hidden } = input
  const tiles = geometry.outputTiles
  const rows = images * tiles.length
  const squeezed = squeezeChannels(hidden)
  const pooled = arena.allocate(rows * hidden)
  for (const [t, tile] of tiles.entries()) {
    const a = tileArguments(context, input, tile, t, tiles.length)
    k.regionSum(a.start(input.data), a.vector(pooled), ...a.sizes, a.pitch, 1 / regionArea(tile))
  }
  const reduceT = transposed(
    context,
    parameter(context, `${block}.se.reduce`),
    squeezed,
    hidden,
    storedHidden,
  )
  const reduced = multiply(context, pooled, reduceT, rows, hidden, squeezed)
  addBias(context, reduced, parameter(context, `${block}.se.reduce_bias`), rows, squeezed, true)
  const storedSqueezed = squeezeChannels(storedHidden)
  const expandT = transposed(
    context,
    parameter(context, `${block}.se.expand`),
    hidden,
    squeezed,
    storedSqueezed,
  )
  const raw = multiply(context, reduced, expandT, rows, squeezed, hidden)
  addBias(context, raw, parameter(context, `${block}.se.expand_bias`), rows, hidden, false)
  const gate = arena.allocate(rows * hidden)
  const y = arena.allocate(images * input.size * input.size * hidden)
  const [rawValues, gateValues] = [arena.view(raw, rows * hidden), arena.view(gate, rows * hidden)]
  for (let i = 0; i < rawValues.length; i++) gateValues[i] = Math.min(6, Math.max(0, rawValues[i]! + 3)) / 6
  for (const [t, tile] of tiles.entries()) {
    const a = tileArguments(context, input, tile, t, tiles.length)
    k.regionScale(a.start(input.data), a.vector(gate), a.start(y), ...a.sizes, a.pitch)
  }
  const output = { ...input, data: y }
  return { block, input, output, tiles, rows, squeezed, storedHidden, pooled, reduced, raw, gate }
}

const addColumnSums = (context: Context, data: Pointer, to: Pointer, rows: number, columns: number): void => {
  const [values, sums] = [context.arena.view(data, rows * columns), context.arena.view(to, columns)]
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) sums[c] = sums[c]! + values[r * columns + c]!
}

/** Gradient of a [out, in] matrix (stored with `pitch` columns): transposed dy[rows, out] times x[rows, in], added. */
const addMatrixGradient = (
  context: Context,
  name: string,
  dy: Pointer,
  x: Pointer,
  rows: number,
  outputs: number,
  inputs: number,
  pitch: number,
): void => {
  const d = context.arena.allocate(outputs * inputs)
  context.kernels.transposedProduct(dy, x, d, rows, outputs, inputs)
  context.kernels.addRows(d, gradient(context, name), outputs, inputs, inputs, pitch)
}

/** Replaces dy by the gradient by the input, in place. */
export const squeezeExciteBackward = (context: Context, tape: SqueezeExciteTape, dy: Pointer): void => {
  const { arena, kernels: k } = context
  const { block, input, tiles, rows, squeezed, storedHidden } = tape
  const hidden = input.channels
  scratch(context, () => {
    const dRaw = arena.allocate(rows * hidden)
    for (const [t, tile] of tiles.entries()) {
      const a = tileArguments(context, input, tile, t, tiles.length)
      k.regionDot(a.start(input.data), a.start(dy), a.vector(dRaw), ...a.sizes, a.pitch)
    }
    const [dRawValues, raw] = [arena.view(dRaw, rows * hidden), arena.view(tape.raw, rows * hidden)]
    for (let i = 0; i < raw.length; i++) dRawValues[i] = raw[i]! > -3 && raw[i]! < 3 ? dRawValues[i]! / 6 : 0
    const storedSqueezed = squeezeChannels(storedHidden)
    addColumnSums(context, dRaw, gradient(context, `${block}.se.expand_bias`), rows, hidden)
    addMatrixGradient(
      context,
      `${block}.se.expand`,
      dRaw,
      tape.reduced,
      rows,
      hidden,
      squeezed,
      storedSqueezed,
    )
    const expand = packed(context, parameter(context, `${block}.se.expand`), hidden, squeezed, storedSqueezed)
    const dReduced = multiply(context, dRaw, expand, rows, hidden, squeezed)
    const [dr, r] = [arena.view(dReduced, rows * squeezed), arena.view(tape.reduced, rows * squeezed)]
    for (let i = 0; i < r.length; i++) if (r[i]! <= 0) dr[i] = 0
    addColumnSums(context, dReduced, gradient(context, `${block}.se.reduce_bias`), rows, squeezed)
    addMatrixGradient(
      context,
      `${block}.se.reduce`,
      dReduced,
      tape.pooled,
      rows,
      squeezed,
      hidden,
      storedHidden,
    )
    const reduce = packed(context, parameter(context, `${block}.se.reduce`), squeezed, hidden, storedHidden)
    const dPooled = multiply(context, dReduced, reduce, rows, squeezed, hidden)
    const shift = arena.view(dPooled, rows * hidden)
    for (let i = 0; i < shift.length; i++) {
      const tile = tiles[Math.floor(i / hidden) % tiles.length]
      shift[i] = shift[i]! / (tile === undefined ? 1 : regionArea(tile))
    }
    for (const [t, tile] of tiles.entries()) {
      const a = tileArguments(context, input, tile, t, tiles.length)
      k.regionScaleShift(
        a.start(dy),
        a.vector(tape.gate),
        a.vector(dPooled),
        a.start(dy),
        ...a.sizes,
        a.pitch,
      )
    }
  })
}
