/**
 * Depthwise convolution of an elastic kernel over the tiles of a block. The stored kernel is 7x7; a smaller one is its centre
 * times a learned matrix (Once-for-All, section 3.2): w5 = to5 centre5(w7), w3 = to3 centre3(w5).
 */
import type { BlockGeometry } from "../Partition.ts"
import { regionHeight, regionWidth } from "../Partition.ts"
import type { KernelName, Pointer } from "../kernels/Kernels.ts"
import { type Context, gradient, type Maps, parameter, pitches, regionStart, scratch } from "./Context.ts"

/** The kernel sizes from the stored one down to the wanted one, as [taps, channels] buffers; `centres[i]` made `kernels[i + 1]`. */
export interface KernelChain {
  readonly name: string
  readonly channels: number
  readonly sizes: ReadonlyArray<number>
  readonly kernels: ReadonlyArray<Pointer>
  readonly centres: ReadonlyArray<Pointer>
}

/** Copies the centre (k - 2) x (k - 2) of a [k, k, channels] kernel, or, backwards, puts it there. */
const centre = (
  context: Context,
  kernel: Pointer,
  inner: Pointer,
  k: number,
  channels: number,
  back = false,
): void => {
  const start = kernel + (k + 1) * channels * 4
  const row = (k - 2) * channels
  if (back) context.kernels.copyRows(inner, start, k - 2, row, row, k * channels)
  else context.kernels.copyRows(start, inner, k - 2, row, k * channels, row)
}

export const kernelChain = (
  context: Context,
  block: string,
  stored: number,
  kernel: number,
  channels: number,
): KernelChain => {
  const { arena, kernels: k } = context
  const name = `${block}.dw`
  const taps = stored * stored
  const first = arena.allocate(taps * channels)
  k.transpose(parameter(context, name), first, channels, taps, taps, channels)
  const [sizes, kernels, centres] = [[stored], [first], [] as Array<Pointer>]
  for (let size = stored - 2; size >= kernel; size -= 2) {
    const inner = arena.allocate(size * size * channels)
    centre(context, kernels.at(-1) ?? first, inner, size + 2, channels)
    const made = arena.allocate(size * size * channels)
    k.product(parameter(context, `${block}.to${size}`), inner, made, size * size, size * size, channels)
    sizes.push(size)
    kernels.push(made)
    centres.push(inner)
  }
  return { name: block, channels, sizes, kernels, centres }
}

/** Adds the gradient of the smallest kernel of the chain to those of the transforms and of the stored kernel. */
const kernelChainBackward = (context: Context, chain: KernelChain, dKernel: Pointer): void => {
  const { arena, kernels: k } = context
  const { channels, sizes, centres, name } = chain
  let d = dKernel
  for (let i = sizes.length - 1; i > 0; i--) {
    const size = sizes[i] ?? 0
    const taps = size * size
    const matrix = `${name}.to${size}`
    k.addOuterDots(d, centres[i - 1] ?? 0, gradient(context, matrix), taps, taps, channels)
    const flipped = arena.allocate(taps * taps)
    k.transpose(parameter(context, matrix), flipped, taps, taps, taps, taps)
    const dCentre = arena.allocate(taps * channels)
    k.product(flipped, d, dCentre, taps, taps, channels)
    const outer = size + 2
    d = arena.allocateZeros(outer * outer * channels)
    centre(context, d, dCentre, outer, channels, true)
  }
  const taps = (sizes[0] ?? 0) ** 2
  k.addTransposed(d, gradient(context, `${name}.dw`), taps, channels, channels, taps)
}

export interface DepthwiseTape {
  readonly chain: KernelChain
  readonly input: Maps
  readonly output: Maps
  readonly stride: number
  readonly geometry: BlockGeometry
}

interface TileCall {
  readonly start: Pointer
  readonly outStart: Pointer
  readonly sizes: ReadonlyArray<number>
  readonly pad: number
}

const tileCalls = (
  tape: Omit<DepthwiseTape, "chain">,
  kernel: number,
  data: Pointer,
  outData: Pointer,
  images: number,
) =>
  tape.geometry.inputTiles.map((input, t): TileCall => {
    const output = tape.geometry.outputTiles[t] ?? input
    const { channels, size } = tape.input
    const [rowPitch, imagePitch] = pitches(size, channels)
    const [outRowPitch, outImagePitch] = pitches(tape.output.size, channels)
    return {
      start: regionStart(data, input, size, channels),
      outStart: regionStart(outData, output, tape.output.size, channels),
      sizes: [
        images,
        regionHeight(input),
        regionWidth(input),
        channels,
        rowPitch,
        imagePitch,
        regionHeight(output),
        regionWidth(output),
        outRowPitch,
        outImagePitch,
      ],
      pad: kernel >> 1,
    }
  })

const kernelName = (prefix: string, kernel: number, stride: number): KernelName =>
  `${prefix}${kernel}s${stride}` as KernelName

/** Width that a region's rows are padded to: the zero columns left of it, and as many right of it as the last tap reaches. */
const paddedWidth = (width: number, outWidth: number, kernel: number, stride: number): number =>
  Math.max(width + (kernel >> 1), (outWidth - 1) * stride + kernel)

export const depthwiseForward = (
  context: Context,
  chain: KernelChain,
  input: Maps,
  stride: number,
  geometry: BlockGeometry,
): DepthwiseTape => {
  const kernel = chain.sizes.at(-1) ?? 3
  const size = input.size / stride
  const y = context.arena.allocate(context.images * size * size * input.channels)
  const output = { data: y, size, channels: input.channels }
  const tape = { chain, input, output, stride, geometry }
  for (const call of tileCalls(tape, kernel, input.data, y, context.images)) {
    const [, height = 0, width = 0, channels = 0, , , , outWidth = 0] = call.sizes
    const columns = paddedWidth(width, outWidth, kernel, stride)
    scratch(context, () => {
      const padded = context.arena.allocate(height * columns * Math.min(16, channels))
      const run = context.kernels[kernelName("depthwise", kernel, stride)]
      run(call.start, chain.kernels.at(-1) ?? 0, call.outStart, padded, ...call.sizes, call.pad, columns)
    })
  }
  return tape
}

const flippedKernel = (context: Context, kernel: Pointer, taps: number, channels: number): Pointer => {
  const flipped = context.arena.allocate(taps * channels)
  const [from, to] = [
    context.arena.view(kernel, taps * channels),
    context.arena.view(flipped, taps * channels),
  ]
  for (let i = 0; i < taps; i++)
    to.set(from.subarray(i * channels, (i + 1) * channels), (taps - 1 - i) * channels)
  return flipped
}

/** Adds the kernel's gradients and returns the gradient by the input, in a new buffer. */
export const depthwiseBackward = (context: Context, tape: DepthwiseTape, dy: Pointer): Pointer => {
  const { arena, kernels: k, images } = context
  const { chain, input, stride } = tape
  const kernel = chain.sizes.at(-1) ?? 3
  const taps = kernel * kernel
  const dx = arena.allocate(images * input.size * input.size * input.channels)
  scratch(context, () => {
    const weights = chain.kernels.at(-1) ?? 0
    const dKernel = arena.allocateZeros(taps * input.channels)
    const flipped = stride === 1 ? flippedKernel(context, weights, taps, input.channels) : 0
    const filterCalls = tileCalls(tape, kernel, input.data, dy, images)
    const inputCalls = tileCalls(tape, kernel, dx, dy, images)
    for (const [i, call] of filterCalls.entries()) {
      const [, height = 0, width = 0, channels = 0, row = 0, image = 0, outHeight = 0, outWidth = 0] =
        call.sizes
      const [outRow = 0, outImage = 0] = call.sizes.slice(8)
      const columns = paddedWidth(width, outWidth, kernel, stride)
      scratch(context, () => {
        const padded = arena.allocate(height * columns * Math.min(16, channels))
        const filter = k[kernelName("depthwiseFilter", kernel, stride)]
        filter(call.start, call.outStart, dKernel, padded, ...call.sizes, call.pad, columns)
      })
      const dxStart = inputCalls[i]?.start ?? 0
      scratch(context, () => {
        if (stride === 1) {
          const padded = arena.allocate(height * columns * Math.min(16, channels))
          const back = k[kernelName("depthwise", kernel, 1)]
          // The transpose of a stride-1 convolution is a convolution by the flipped kernel.
          const sizes = [images, outHeight, outWidth, channels, outRow, outImage, height, width, row, image]
          back(call.outStart, flipped, dxStart, padded, ...sizes, call.pad, columns)
        } else {
          const columnsBack = outWidth + 2 * kernel + 2
          const padded = arena.allocate(outHeight * columnsBack * Math.min(16, channels))
          const back = k[kernelName("depthwiseInput", kernel, 2)]
          back(call.outStart, weights, dxStart, padded, ...call.sizes, call.pad, columnsBack)
        }
      })
    }
    kernelChainBackward(context, chain, dKernel)
  })
  return dx
}
