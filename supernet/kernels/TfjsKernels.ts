/**
 * Teaches the tfjs WebAssembly backend what training needs. Stock, it lacks the gradients of convolutions, and its transposed
 * matrix products and 7x7 depthwise convolutions are 3 to 10 times slower than need be. The kernels here run inside tfjs's own
 * memory, on its tensors, without copies. A shape that a kernel cannot take goes to the stock one; what stock lacks is composed.
 */
import * as tf from "@tensorflow/tfjs"
import { bindKernels } from "./Kernels.ts"
import { sizeOf, TensorKernels, type WasmBackend } from "./TensorKernels.ts"

interface Call {
  readonly inputs: Record<string, tf.TensorInfo>
  readonly attrs: Record<string, unknown>
}
type Fallback = ((call: Call) => tf.TensorInfo) | undefined

/** Starts the wasm backend and catches its memory on the way: tfjs does not give it out. */
const startWasm = async (): Promise<{ backend: WasmBackend; memory: WebAssembly.Memory }> => {
  await import("@tensorflow/tfjs-backend-wasm")
  const engine = WebAssembly as unknown as Record<string, unknown>
  const instantiate = engine["instantiate"] as (...args: ReadonlyArray<unknown>) => Promise<unknown>
  let memory: WebAssembly.Memory | undefined
  engine["instantiate"] = async (...args: ReadonlyArray<unknown>) => {
    const made = (await instantiate.apply(WebAssembly, [...args])) as {
      instance?: WebAssembly.Instance
      exports?: unknown
    }
    const { exports } = (made.instance ?? made) as WebAssembly.Instance
    if (exports["memory"] !== undefined) memory = exports["memory"] as WebAssembly.Memory
    return made
  }
  try {
    await tf.setBackend("wasm")
    await tf.ready()
  } finally {
    engine["instantiate"] = instantiate
  }
  if (memory === undefined) throw new Error("tfjs-wasm started without showing its memory")
  return { backend: tf.backend() as unknown as WasmBackend, memory }
}

/** What the depthwise kernels take: square 3, 5 or 7 kernels, stride 1 or 2, no dilation, equal padding on all four sides but one. */
const depthwiseFits = (info: tf.backend_util.Conv2DInfo, multiplier: number): boolean =>
  multiplier === 1 &&
  info.inChannels % 4 === 0 &&
  info.filterHeight === info.filterWidth &&
  [3, 5, 7].includes(info.filterHeight) &&
  info.strideHeight === info.strideWidth &&
  (info.strideHeight === 1 || info.strideHeight === 2) &&
  info.dilationHeight === 1 &&
  info.dilationWidth === 1 &&
  info.padInfo.left === info.padInfo.top

type Pad = "valid" | "same" | number

const convInfo = (
  shape: ReadonlyArray<number>,
  filter: ReadonlyArray<number>,
  attrs: Record<string, unknown>,
  depthwise: boolean,
): tf.backend_util.Conv2DInfo =>
  tf.backend_util.computeConv2DInfo(
    shape as [number, number, number, number],
    filter as [number, number, number, number],
    attrs["strides"] as number | [number, number],
    (attrs["dilations"] as number | [number, number] | undefined) ?? 1,
    attrs["pad"] as Pad,
    attrs["dimRoundingMode"] as "floor" | undefined,
    depthwise,
  )

const replaceKernel = (name: string, kernel: (call: Call, stock: Fallback) => tf.TensorInfo): void => {
  const stock = tf.getKernel(name, "wasm")?.kernelFunc as ((call: unknown) => tf.TensorInfo) | undefined
  if (stock !== undefined) tf.unregisterKernel(name, "wasm")
  tf.registerKernel({
    kernelName: name,
    backendName: "wasm",
    kernelFunc: (call) =>
      kernel(call as unknown as Call, stock === undefined ? undefined : () => stock(call)),
  })
}

const orStock = (name: string, call: Call, stock: Fallback): tf.TensorInfo => {
  if (stock === undefined) throw new RangeError(`${name}: no kernel for these shapes on the wasm backend`)
  return stock(call)
}

const registerDepthwise = (k: TensorKernels): void => {
  replaceKernel("DepthwiseConv2dNative", (call, stock) => {
    const { x, filter } = call.inputs as { x: tf.TensorInfo; filter: tf.TensorInfo }
    const info = convInfo(x.shape, filter.shape, call.attrs, true)
    return depthwiseFits(info, filter.shape[3] ?? 0)
      ? k.depthwise(x, filter, info)
      : orStock("DepthwiseConv2dNative", call, stock)
  })
  replaceKernel("DepthwiseConv2dNativeBackpropFilter", (call, stock) => {
    const { x, dy } = call.inputs as { x: tf.TensorInfo; dy: tf.TensorInfo }
    const shape = call.attrs["filterShape"] as ReadonlyArray<number>
    const info = convInfo(x.shape, shape, call.attrs, true)
    return depthwiseFits(info, shape[3] ?? 0)
      ? k.depthwiseFilter(x, dy, info)
      : orStock("DepthwiseConv2dNativeBackpropFilter", call, stock)
  })
  replaceKernel("DepthwiseConv2dNativeBackpropInput", (call, stock) => {
    const { dy, filter } = call.inputs as { dy: tf.TensorInfo; filter: tf.TensorInfo }
    const info = convInfo(call.attrs["inputShape"] as ReadonlyArray<number>, filter.shape, call.attrs, true)
    return depthwiseFits(info, filter.shape[3] ?? 0)
      ? k.depthwiseInput(dy, filter, info)
      : orStock("DepthwiseConv2dNativeBackpropInput", call, stock)
  })
}

const isPointwise = (info: tf.backend_util.Conv2DInfo): boolean =>
  info.filterHeight === 1 && info.filterWidth === 1 && info.strideHeight === 1 && info.strideWidth === 1

const registerConvolution = (k: TensorKernels): void => {
  replaceKernel("Conv2D", (call, stock) => {
    const { x, filter } = call.inputs as { x: tf.TensorInfo; filter: tf.TensorInfo }
    const info = convInfo(x.shape, filter.shape, call.attrs, false)
    return isPointwise(info) && info.outChannels % 4 === 0
      ? k.product(x, filter, info.outShape, info.inChannels)
      : orStock("Conv2D", call, stock)
  })
  replaceKernel("Conv2DBackpropInput", (call, stock) => {
    const { dy, filter } = call.inputs as { dy: tf.TensorInfo; filter: tf.TensorInfo }
    const info = convInfo(call.attrs["inputShape"] as ReadonlyArray<number>, filter.shape, call.attrs, false)
    if (!isPointwise(info) || info.inChannels % 4 !== 0) return orStock("Conv2DBackpropInput", call, stock)
    const transposed = k.transpose(filter, info.inChannels, info.outChannels)
    const dx = k.product(dy, transposed, info.inShape, info.outChannels)
    k.dispose(transposed)
    return dx
  })
  replaceKernel("Conv2DBackpropFilter", (call, stock) => {
    const { x, dy } = call.inputs as { x: tf.TensorInfo; dy: tf.TensorInfo }
    const shape = call.attrs["filterShape"] as ReadonlyArray<number>
    const info = convInfo(x.shape, shape, call.attrs, false)
    const rows = sizeOf(dy.shape) / info.outChannels
    const taps = sizeOf(shape) / info.outChannels
    if (info.outChannels % 4 !== 0 || info.padInfo.left !== info.padInfo.top || info.dilationHeight !== 1) {
      return orStock("Conv2DBackpropFilter", call, stock)
    }
    if (isPointwise(info) && taps % 4 === 0) return k.transposedProduct(x, dy, rows, shape)
    const columns = Math.ceil(taps / 4) * 4
    const patches = k.patches(x, info, columns)
    const padded = k.transposedProduct(patches, dy, rows, [columns, info.outChannels])
    const out = k.firstRows(padded, shape)
    for (const t of [patches, padded]) k.dispose(t)
    return out
  })
}

/** Matrix products: transposes made explicit, since stock's transposed products run at a tenth of the speed. */
const registerMatrixProduct = (k: TensorKernels): void => {
  replaceKernel("BatchMatMul", (call, stock) => {
    const { a, b } = call.inputs as { a: tf.TensorInfo; b: tf.TensorInfo }
    const [transposeA, transposeB] = [call.attrs["transposeA"] === true, call.attrs["transposeB"] === true]
    const batch = sizeOf(a.shape.slice(0, -2)) * sizeOf(b.shape.slice(0, -2))
    const [aRows = 1, aColumns = 1] = a.shape.slice(-2)
    const [bRows = 1, bColumns = 1] = b.shape.slice(-2)
    const [rows, inner] = transposeA ? [aColumns, aRows] : [aRows, aColumns]
    const columns = transposeB ? bRows : bColumns
    if (batch !== 1 || columns % 4 !== 0) return orStock("BatchMatMul", call, stock)
    const shape = [...a.shape.slice(0, -2), rows, columns]
    if (transposeA && !transposeB && rows % 4 === 0) return k.transposedProduct(a, b, inner, shape)
    const left = transposeA ? k.transpose(a, aRows, aColumns) : k.share(a)
    const right = transposeB ? k.transpose(b, bRows, bColumns) : k.share(b)
    const y = k.product(left, right, shape, inner)
    for (const t of [left, right]) k.dispose(t)
    return y
  })
  // Stock copies the data, for every tensor that the tape keeps: 65 ms of a 700 ms step.
  replaceKernel("Identity", (call) => k.share((call.inputs as { x: tf.TensorInfo }).x))
}

let ready: Promise<void> | undefined

/**
 * Makes wasm with our kernels the tfjs backend. Call once per process (or thread); later calls do nothing.
 * `MURMURATION_KERNELS=stock` leaves the backend as it is, to measure against.
 */
export const useWasmKernels = (): Promise<void> => {
  ready ??= (async () => {
    const { backend, memory } = await startWasm()
    if (process.env["MURMURATION_KERNELS"] === "stock") return
    const kernels = new TensorKernels(await bindKernels(memory), backend)
    registerDepthwise(kernels)
    registerConvolution(kernels)
    registerMatrixProduct(kernels)
  })()
  return ready
}
