/** Writes the AssemblyScript of the depthwise convolutions, per kernel size and stride: forward and both gradients. */
import { type AddProduct, addProductFor, range, type Target, times } from "./Unroll.ts"

export const depthwiseKernels = [3, 5, 7] as const
export const depthwiseStrides = [1, 2] as const

/**
 * Output columns that one pass of the inner loop computes, widest first. Each is an accumulator, and enough of them hide the
 * latency of the multiply-add; with the kernel's row and one pixel they must fit 15 registers.
 */
const columnBlocks = (kernel: number): ReadonlyArray<number> => (kernel === 7 ? [6, 4, 2, 1] : [8, 4, 2, 1])

/** The taps by which pixel `column` of a row enters the sums of the `columns` outputs: [output, tap]. */
const uses = (
  column: number,
  columns: number,
  kernel: number,
  stride: number,
): ReadonlyArray<readonly [number, number]> =>
  range(columns).flatMap((i) => {
    const tap = column - i * stride
    return tap >= 0 && tap < kernel ? [[i, tap] as const] : []
  })

/** Parameters that all depthwise kernels share. */
const parameters = `images: i32, height: i32, width: i32, channels: i32, rowPitch: i32, imagePitch: i32,
  outHeight: i32, outWidth: i32, outRowPitch: i32, outImagePitch: i32, pad: i32, paddedWidth: i32`

/**
 * Channels are taken 16 at a time, one cache line. Those of an image's region are first copied into `padded` as planes of 4
 * channels, [4][rows][paddedWidth][4], with zero columns on both sides: the inner loops then read consecutive memory that
 * fits the first- or second-level cache, and have no branches.
 */
const planes = `
// @ts-ignore: decorator
@inline
function fillPlanes(
  x: usize, padded: usize, height: i32, width: i32, channels: i32, rowPitch: i32, pad: i32, paddedWidth: i32, group: i32,
): void {
  const plane = (<usize>(height * paddedWidth)) << 4, pixel = (<usize>channels) << 2, bytes = (<usize>group) << 2
  for (let h = 0; h < height; h++) {
    let from = x + ((<usize>(h * rowPitch)) << 2)
    let to = padded + ((<usize>(h * paddedWidth + pad)) << 4)
    for (let w = 0; w < width; w++) {
      if (bytes == 64) {
        v128.store(to, v128.load(from))
        v128.store(to + plane, v128.load(from, 16))
        v128.store(to + 2 * plane, v128.load(from, 32))
        v128.store(to + 3 * plane, v128.load(from, 48))
      } else {
        let q = to
        for (let c: usize = 0; c < bytes; c += 16) {
          v128.store(q, v128.load(from + c))
          q += plane
        }
      }
      from += pixel
      to += 16
    }
  }
}
`

const forwardColumns = (add: AddProduct, kernel: number, stride: number, columns: number): string => `
${times(columns, (i) => `let sum${i} = f32x4.splat(0)`)}
for (let kh = firstTap; kh < lastTap; kh++) {
  let wp = weights + ((<usize>(kh * ${kernel} * channels + c)) << 2)
  const xp = plane + ((<usize>((oh * ${stride} - pad + kh) * paddedWidth + ow * ${stride})) << 4)
  ${times(kernel, (k) => `const w${k} = v128.load(wp)\nwp += pixel`)}
  ${times(
    (columns - 1) * stride + kernel,
    (column) => `{ const v = v128.load(xp, ${column * 16})
    ${uses(column, columns, kernel, stride)
      .map(([i, tap]) => add(`sum${i}`, "v", `w${tap}`))
      .join("\n")} }`,
  )}
}
let yp = y + ((<usize>(n * outImagePitch + oh * outRowPitch + ow * channels + c)) << 2)
${times(columns, (i) => `v128.store(yp, sum${i})\nyp += pixel`)}
`

const overColumns = (kernel: number, body: (columns: number) => string): string =>
  columnBlocks(kernel)
    .map((b) => `for (; ow + ${b} <= outWidth; ow += ${b}) {${body(b)}}`)
    .join("\n")

/** y = depthwise convolution of a region, zero-padded at the region's edges. Weights are [kernel, kernel, channels]. */
const forward = (add: AddProduct, kernel: number, stride: number): string => `
export function depthwise${kernel}s${stride}(x: usize, weights: usize, y: usize, padded: usize, ${parameters}): void {
  const pixel = (<usize>channels) << 2
  memory.fill(padded, 0, (<usize>(height * paddedWidth * min(16, channels))) << 2)
  for (let n = 0; n < images; n++) {
    for (let c0 = 0; c0 < channels; c0 += 16) {
    const group = min(16, channels - c0)
    fillPlanes(x + ((<usize>(n * imagePitch + c0)) << 2), padded, height, width, channels, rowPitch, pad, paddedWidth, group)
    for (let oh = 0; oh < outHeight; oh++) {
      const firstTap = max(0, pad - oh * ${stride}), lastTap = min(${kernel}, height - oh * ${stride} + pad)
      for (let c = c0; c < c0 + group; c += 4) {
        const plane = padded + ((<usize>((c - c0) * height * paddedWidth)) << 2)
        let ow = 0
        ${overColumns(kernel, (b) => forwardColumns(add, kernel, stride, b))}
      }
    }
    }
  }
}
`

const filterColumns = (add: AddProduct, kernel: number, stride: number, columns: number): string => `
${times(columns, (i) => `const d${i} = v128.load(dp)\ndp += pixel`)}
${times(
  (columns - 1) * stride + kernel,
  (column) => `{ const v = v128.load(xp, ${column * 16})
  ${uses(column, columns, kernel, stride)
    .map(([i, tap]) => add(`sum${tap}`, "v", `d${i}`))
    .join("\n")} }`,
)}
xp += ${columns * stride * 16}
`

/** dWeights [kernel, kernel, channels] += gradient of a region's depthwise convolution by its weights. */
const filterGradient = (add: AddProduct, kernel: number, stride: number): string => `
export function depthwiseFilter${kernel}s${stride}(x: usize, dy: usize, dWeights: usize, padded: usize, ${parameters}): void {
  const pixel = (<usize>channels) << 2
  memory.fill(padded, 0, (<usize>(height * paddedWidth * min(16, channels))) << 2)
  for (let n = 0; n < images; n++) {
    for (let c0 = 0; c0 < channels; c0 += 16) {
    const group = min(16, channels - c0)
    fillPlanes(x + ((<usize>(n * imagePitch + c0)) << 2), padded, height, width, channels, rowPitch, pad, paddedWidth, group)
    for (let oh = 0; oh < outHeight; oh++) {
      const firstTap = max(0, pad - oh * ${stride}), lastTap = min(${kernel}, height - oh * ${stride} + pad)
      const dyRow = dy + ((<usize>(n * outImagePitch + oh * outRowPitch)) << 2)
      for (let c = c0; c < c0 + group; c += 4) {
        const plane = padded + ((<usize>((c - c0) * height * paddedWidth)) << 2)
        for (let kh = firstTap; kh < lastTap; kh++) {
          let wp = dWeights + ((<usize>(kh * ${kernel} * channels + c)) << 2)
          const wp0 = wp
          let xp = plane + ((<usize>((oh * ${stride} - pad + kh) * paddedWidth)) << 4)
          let dp = dyRow + ((<usize>c) << 2)
          ${times(kernel, (k) => `let sum${k} = v128.load(wp)\nwp += pixel`)}
          let ow = 0
          for (; ow + 4 <= outWidth; ow += 4) {${filterColumns(add, kernel, stride, 4)}}
          for (; ow < outWidth; ow++) {${filterColumns(add, kernel, stride, 1)}}
          wp = wp0
          ${times(kernel, (k) => `v128.store(wp, sum${k})\nwp += pixel`)}
        }
      }
    }
    }
  }
}
`

/**
 * dx of a stride-2 depthwise convolution of a region. Even and odd input columns meet different taps (parity), so both
 * are gathered from dy directly; nothing is upsampled. dy is what is padded, with `kernel` zero columns on both sides.
 */
const inputGradientStride2 = (add: AddProduct, kernel: number): string => `
export function depthwiseInput${kernel}s2(dy: usize, weights: usize, dx: usize, padded: usize, ${parameters}): void {
  const pixel = (<usize>channels) << 2
  memory.fill(padded, 0, (<usize>(outHeight * paddedWidth * min(16, channels))) << 2)
  const first = pad >> 1, last = (pad + width - 1) >> 1
  for (let n = 0; n < images; n++) {
    for (let c0 = 0; c0 < channels; c0 += 16) {
    const group = min(16, channels - c0)
    fillPlanes(dy + ((<usize>(n * outImagePitch + c0)) << 2), padded, outHeight, outWidth, channels, outRowPitch, ${kernel}, paddedWidth, group)
    for (let ih = 0; ih < height; ih++) {
      const dxRow = dx + ((<usize>(n * imagePitch + ih * rowPitch)) << 2)
      for (let c = c0; c < c0 + group; c += 4) {
        const plane = padded + ((<usize>((c - c0) * outHeight * paddedWidth)) << 2)
        let t = first
        for (; t + 3 <= last + 1; t += 3) {${parityColumns(add, kernel, 3)}}
        for (; t <= last; t++) {${parityColumns(add, kernel, 1)}}
      }
    }
    }
  }
}
`

/** Input columns 2t - pad and 2t - pad + 1 for `count` values of t: even and odd sums. Column t - j of dy meets taps 2j, 2j + 1. */
const parityColumns = (add: AddProduct, kernel: number, count: number): string => {
  const pairs = (kernel + 1) >> 1
  return `
${times(count, (i) => `let even${i} = f32x4.splat(0), odd${i} = f32x4.splat(0)`)}
for (let kh = (ih + pad) & 1; kh < ${kernel}; kh += 2) {
  const oh = (ih + pad - kh) >> 1
  if (oh < 0 || oh >= outHeight) continue
  let wp = weights + ((<usize>(kh * ${kernel} * channels + c)) << 2)
  const dp = plane + ((<usize>(oh * paddedWidth + t + ${kernel} - ${pairs - 1})) << 4)
  ${times(pairs, (j) => {
    const tap = (name: string) =>
      times(count, (i) => add(`${name}${i}`, `v128.load(dp, ${(pairs - 1 - j + i) * 16})`, "w"))
    return `{ const w = v128.load(wp)\nwp += pixel\n${tap("even")} }
    ${2 * j + 1 < kernel ? `{ const w = v128.load(wp)\nwp += pixel\n${tap("odd")} }` : ""}`
  })}
}
{
  let iw = 2 * t - pad
  ${times(
    count,
    (i) => `if (iw >= 0) v128.store(dxRow + ((<usize>(iw * channels + c)) << 2), even${i})
  if (iw + 1 >= 0 && iw + 1 < width) v128.store(dxRow + ((<usize>((iw + 1) * channels + c)) << 2), odd${i})
  iw += 2`,
  )}
}
`
}

export const depthwiseSource = (target: Target): string => {
  const add = addProductFor(target)
  return [
    planes,
    ...depthwiseKernels.flatMap((k) => [
      ...depthwiseStrides.flatMap((s) => [forward(add, k, s), filterGradient(add, k, s)]),
      inputGradientStride2(add, k),
    ]),
  ].join("\n")
}
