/** The stem: 3x3 stride-2 convolution of the normalised image, per tile, as patches times a matrix; batch norm, h_swish. */
import { regionHeight, regionWidth } from "../Partition.ts"
import type { BlockGeometry } from "../Partition.ts"
import type { Pointer } from "../kernels/Kernels.ts"
import { batchNormBackward, batchNormForward, type BatchNormTape } from "./BatchNormLayer.ts"
import {
  type Context,
  gradient,
  type Maps,
  multiply,
  parameter,
  pitches,
  regionStart,
  rowsOf,
} from "./Context.ts"

const kernel = 3
const inChannels = 3
const taps = kernel * kernel * inChannels
/** 27 taps padded to whole vectors. */
const columns = 28

export interface StemTape {
  readonly patches: Pointer
  readonly norm: BatchNormTape
  readonly output: Maps
}

/** Element of the stored [out, in, kh, kw] weights that meets column `tap` = (kh, kw, in) of output channel `o`. */
const storedIndex = (o: number, tap: number): number => {
  const [position, c] = [Math.floor(tap / inChannels), tap % inChannels]
  return (o * inChannels + c) * kernel * kernel + position
}

/** `input`: normalised RGB images [images, size, size, 3]. */
export const stemForward = (
  context: Context,
  input: Maps,
  geometry: BlockGeometry,
  width: number,
): StemTape => {
  const { arena, kernels: k, images } = context
  const size = input.size / 2
  const rows = rowsOf(context, size)
  const patches = arena.allocate(rows * columns)
  arena.view(patches, rows * columns).fill(0)
  for (const [t, tile] of geometry.inputTiles.entries()) {
    const out = geometry.outputTiles[t] ?? tile
    const start = regionStart(input.data, tile, input.size, inChannels)
    const outStart = patches + (out.y0 * size + out.x0) * columns * 4
    const sizes = [
      images,
      regionHeight(tile),
      regionWidth(tile),
      inChannels,
      ...pitches(input.size, inChannels),
    ]
    const outSizes = [regionHeight(out), regionWidth(out), size, size * size]
    k.im2col(start, outStart, ...sizes, ...outSizes, kernel, 2, kernel >> 1, columns)
  }
  const matrix = arena.allocateZeros(columns * width)
  const stored = arena.view(parameter(context, "stem.conv"), taps * width)
  const m = arena.view(matrix, columns * width)
  for (let tap = 0; tap < taps; tap++)
    for (let o = 0; o < width; o++) m[tap * width + o] = stored[storedIndex(o, tap)]!
  const x = multiply(context, patches, matrix, rows, columns, width)
  const norm = batchNormForward(context, "stem", "bn", x, rows, width, "h_swish")
  return { patches, norm, output: { data: norm.y, size, channels: width } }
}

export const stemBackward = (context: Context, tape: StemTape, dy: Pointer): void => {
  const { arena, kernels: k } = context
  const { channels: width, size } = tape.output
  batchNormBackward(context, tape.norm, dy, dy)
  const d = arena.allocate(columns * width)
  k.transposedProduct(tape.patches, dy, d, rowsOf(context, size), columns, width)
  const dMatrix = arena.view(d, columns * width)
  const dStored = arena.view(gradient(context, "stem.conv"), taps * width)
  for (let tap = 0; tap < taps; tap++) {
    for (let o = 0; o < width; o++) dStored[storedIndex(o, tap)]! += dMatrix[tap * width + o]!
  }
}
