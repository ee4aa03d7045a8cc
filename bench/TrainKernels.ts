/**
 * Times single operations of the tfjs wasm backend, with our kernels or (MURMURATION_KERNELS=stock) without, and prints JSON.
 * Its own program because a process has one tfjs backend: `bench/train.ts` starts it once for each.
 */
import * as tf from "@tensorflow/tfjs"
import { useWasmKernels } from "../supernet/kernels/TfjsKernels.ts"
import { median } from "./Bench.ts"

export interface KernelTiming {
  readonly operation: string
  readonly ms: number
}

const images = 32
const repeats = 9

const tensor = (...shape: ReadonlyArray<number>) => tf.randomNormal([...shape], 0, 1, "float32", 1)

const time = (operation: string, f: () => tf.Tensor): KernelTiming => {
  const once = () => {
    const begun = performance.now()
    f().dispose()
    return performance.now() - begun
  }
  for (let i = 0; i < 3; i++) once()
  return { operation, ms: median(Array.from({ length: repeats }, once)) }
}

const depthwise = (kernel: number, stride: 1 | 2, size: number, channels: number): KernelTiming => {
  const [x, w] = [tensor(images, size, size, channels), tensor(kernel, kernel, channels, 1)] as [
    tf.Tensor4D,
    tf.Tensor4D,
  ]
  const name = `depthwise ${kernel}x${kernel} stride ${stride}, ${size}x${size}x${channels}`
  return time(name, () => tf.depthwiseConv2d(x, w, stride, "same"))
}

/** The filter changes in every training step, so each run has a fresh one: stock packs filters and caches them by tensor. */
const pointwise = (size: number, inputs: number, outputs: number): KernelTiming => {
  const x = tensor(images, size, size, inputs) as tf.Tensor4D
  const filters = Array.from({ length: repeats + 3 }, () => tensor(1, 1, inputs, outputs) as tf.Tensor4D)
  let i = 0
  const next = () => tf.conv2d(x, filters[i++ % filters.length] as tf.Tensor4D, 1, "valid")
  return time(`1x1 convolution ${inputs} to ${outputs}, ${size}x${size}`, next)
}

/** The gradient of a 1x1 convolution by its filter, as the product that both sides can do. */
const filterGradient = (size: number, inputs: number, outputs: number): KernelTiming => {
  const rows = images * size * size
  const [x, dy] = [tensor(rows, inputs), tensor(rows, outputs)] as [tf.Tensor2D, tf.Tensor2D]
  const name = `transposed product ${inputs}x${rows} by ${rows}x${outputs}`
  return time(name, () => tf.matMul(x, dy, true, false))
}

await useWasmKernels()
const timings = [
  depthwise(3, 1, 32, 72),
  depthwise(5, 1, 16, 120),
  depthwise(7, 1, 16, 120),
  depthwise(7, 2, 32, 72),
  pointwise(32, 12, 72),
  pointwise(8, 240, 40),
  pointwise(4, 480, 80),
  filterGradient(16, 20, 120),
  filterGradient(4, 480, 80),
]
process.stdout.write(JSON.stringify(timings))
