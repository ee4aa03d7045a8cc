/**
 * The kernels as operations on tensors of the tfjs wasm backend: they read and write tfjs's own memory, without copies.
 * Callers (TfjsKernels.ts) check that shapes fit.
 */
import type * as tf from "@tensorflow/tfjs"
import type { Kernels, Pointer } from "./Kernels.ts"

/** The part of the wasm backend that custom kernels use: see tfjs-backend-wasm, backend_wasm.ts. */
export interface WasmBackend extends tf.KernelBackend {
  readonly dataIdMap: { get(id: object): { readonly memoryOffset: Pointer } }
  readonly wasm: { _malloc(bytes: number): Pointer; _free(at: Pointer): void; readonly HEAPF32: Float32Array }
  makeOutput(shape: ReadonlyArray<number>, dtype: "float32"): tf.TensorInfo
  typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array
  disposeData(id: object): boolean
  incRef(id: object): void
}

export const sizeOf = (shape: ReadonlyArray<number>): number => shape.reduce((a, b) => a * b, 1)

/** Kernels over tfjs tensors. Scratch memory is kept and grows. */
export class TensorKernels {
  readonly #kernels: Kernels
  readonly #backend: WasmBackend
  #scratch: { at: Pointer; bytes: number } = { at: 0, bytes: 0 }

  constructor(kernels: Kernels, backend: WasmBackend) {
    this.#kernels = kernels
    this.#backend = backend
  }

  #at(t: tf.TensorInfo): Pointer {
    return this.#backend.dataIdMap.get(t.dataId).memoryOffset
  }

  #scratchOf(floats: number): Pointer {
    const bytes = floats * 4 + 64
    if (this.#scratch.bytes < bytes) {
      if (this.#scratch.at !== 0) this.#backend.wasm._free(this.#scratch.at)
      this.#scratch = { at: this.#backend.wasm._malloc(bytes) >>> 0, bytes }
    }
    return this.#scratch.at
  }

  #output(shape: ReadonlyArray<number>): tf.TensorInfo {
    return this.#backend.makeOutput(shape, "float32")
  }

  /** x[rows, inner] times w[inner, columns]; columns a multiple of 4. */
  product(x: tf.TensorInfo, w: tf.TensorInfo, shape: ReadonlyArray<number>, inner: number): tf.TensorInfo {
    const y = this.#output(shape)
    const columns = shape.at(-1) ?? 1
    this.#kernels.product(this.#at(x), this.#at(w), this.#at(y), sizeOf(shape) / columns, inner, columns)
    return y
  }

  /** Transposed a[rows, inner] times b[rows, columns]; both multiples of 4. */
  transposedProduct(
    a: tf.TensorInfo,
    b: tf.TensorInfo,
    rows: number,
    shape: ReadonlyArray<number>,
  ): tf.TensorInfo {
    const out = this.#output(shape)
    const columns = shape.at(-1) ?? 1
    this.#kernels.transposedProduct(
      this.#at(a),
      this.#at(b),
      this.#at(out),
      rows,
      sizeOf(shape) / columns,
      columns,
    )
    return out
  }

  transpose(x: tf.TensorInfo, rows: number, columns: number): tf.TensorInfo {
    const y = this.#output([columns, rows])
    this.#kernels.transpose(this.#at(x), this.#at(y), rows, columns, columns, rows)
    return y
  }

  depthwise(x: tf.TensorInfo, filter: tf.TensorInfo, info: tf.backend_util.Conv2DInfo): tf.TensorInfo {
    const y = this.#output(info.outShape)
    const run = this.#kernels[depthwiseName("depthwise", info)]
    run(this.#at(x), this.#at(filter), this.#at(y), ...this.#depthwiseSizes(info))
    return y
  }

  depthwiseFilter(x: tf.TensorInfo, dy: tf.TensorInfo, info: tf.backend_util.Conv2DInfo): tf.TensorInfo {
    const out = this.#output([info.filterHeight, info.filterWidth, info.inChannels, 1])
    this.#backend.typedArrayFromHeap(out).fill(0)
    const run = this.#kernels[depthwiseName("depthwiseFilter", info)]
    run(this.#at(x), this.#at(dy), this.#at(out), ...this.#depthwiseSizes(info))
    return out
  }

  depthwiseInput(dy: tf.TensorInfo, filter: tf.TensorInfo, info: tf.backend_util.Conv2DInfo): tf.TensorInfo {
    const { inChannels: c, filterHeight: k, outHeight, outWidth, inHeight, inWidth, batchSize } = info
    const dx = this.#output(info.inShape)
    const pad = info.padInfo.left
    if (info.strideHeight === 2) {
      const columns = outWidth + 2 * k + 2
      const padded = this.#scratchOf(outHeight * columns * 16)
      const run = this.#kernels[depthwiseName("depthwiseInput", info)]
      run(this.#at(dy), this.#at(filter), this.#at(dx), padded, ...plainSizes(info), pad, columns)
      return dx
    }
    const flipped = this.#output([k * k, c])
    const [from, to] = [filter, flipped].map((t) => this.#backend.typedArrayFromHeap(t)) as [
      Float32Array,
      Float32Array,
    ]
    for (let i = 0; i < k * k; i++) to.set(from.subarray(i * c, (i + 1) * c), (k * k - 1 - i) * c)
    const columns = Math.max(outWidth + k - 1 - pad, inWidth - 1 + k)
    const padded = this.#scratchOf(outHeight * columns * 16)
    const sizes = [batchSize, outHeight, outWidth, c, outWidth * c, outHeight * outWidth * c]
    const outSizes = [inHeight, inWidth, inWidth * c, inHeight * inWidth * c]
    const run = this.#kernels[depthwiseName("depthwise", info)]
    run(this.#at(dy), this.#at(flipped), this.#at(dx), padded, ...sizes, ...outSizes, k - 1 - pad, columns)
    this.#backend.disposeData(flipped.dataId)
    return dx
  }

  #depthwiseSizes(info: tf.backend_util.Conv2DInfo): ReadonlyArray<number> {
    const pad = info.padInfo.left
    const columns = Math.max(info.inWidth + pad, (info.outWidth - 1) * info.strideWidth + info.filterWidth)
    // The scratch pointer stands before the sizes.
    return [this.#scratchOf(info.inHeight * columns * 16), ...plainSizes(info), pad, columns]
  }

  /** Patches [pixels, columns] of a convolution's input, columns rounded up to a multiple of 4. */
  patches(x: tf.TensorInfo, info: tf.backend_util.Conv2DInfo, columns: number): tf.TensorInfo {
    const { batchSize: n, inHeight: h, inWidth: w, inChannels: c, outHeight, outWidth } = info
    const y = this.#output([n * outHeight * outWidth, columns])
    this.#backend.typedArrayFromHeap(y).fill(0)
    const sizes = [n, h, w, c, w * c, h * w * c, outHeight, outWidth, outWidth, outHeight * outWidth]
    const { filterHeight, strideHeight, padInfo } = info
    this.#kernels.im2col(
      this.#at(x),
      this.#at(y),
      ...sizes,
      filterHeight,
      strideHeight,
      padInfo.left,
      columns,
    )
    return y
  }

  dispose(t: tf.TensorInfo): void {
    this.#backend.disposeData(t.dataId)
  }

  /** The same data under another shape. */
  share(t: tf.TensorInfo, shape: ReadonlyArray<number> = t.shape): tf.TensorInfo {
    this.#backend.incRef(t.dataId)
    return { dataId: t.dataId, shape: [...shape], dtype: t.dtype }
  }

  /** A copy of the first rows of a matrix. */
  firstRows(t: tf.TensorInfo, shape: ReadonlyArray<number>): tf.TensorInfo {
    const out = this.#output(shape)
    const [from, to] = [t, out].map((x) => this.#backend.typedArrayFromHeap(x)) as [
      Float32Array,
      Float32Array,
    ]
    to.set(from.subarray(0, to.length))
    return out
  }
}

const depthwiseName = (
  prefix: "depthwise" | "depthwiseFilter" | "depthwiseInput",
  info: tf.backend_util.Conv2DInfo,
) => `${prefix}${info.filterHeight}s${info.strideHeight}` as keyof Kernels

const plainSizes = (info: tf.backend_util.Conv2DInfo): ReadonlyArray<number> => {
  const { batchSize, inHeight, inWidth, inChannels: c, outHeight, outWidth } = info
  const input = [batchSize, inHeight, inWidth, c, inWidth * c, inHeight * inWidth * c]
  return [...input, outHeight, outWidth, outWidth * c, outHeight * outWidth * c]
}
