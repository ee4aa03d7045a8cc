import * as tf from "@tensorflow/tfjs"
import { beforeAll, describe, expect, it } from "vitest"
import { useWasmKernels } from "../../../supernet/kernels/TfjsKernels.ts"
import { largestDifference } from "../Tiny.ts"

beforeAll(useWasmKernels)

const tensor = (shape: ReadonlyArray<number>, seed: number): tf.Tensor =>
  tf.randomNormal([...shape], 0, 1, "float32", seed)

/** Output and gradients of `f` on the given backend, for the same random inputs and output gradient. */
const run = async (
  backend: string,
  shapes: ReadonlyArray<ReadonlyArray<number>>,
  f: (...inputs: Array<tf.Tensor>) => tf.Tensor,
): Promise<ReadonlyArray<Float32Array>> => {
  await tf.setBackend(backend)
  return tf.tidy(() => {
    const inputs = shapes.map((s, i) => tensor(s, i + 1))
    const y = f(...inputs)
    const dy = tensor(y.shape, 99)
    return [y, ...tf.grads(f)(inputs, dy)].map((t) => t.dataSync() as Float32Array)
  })
}

/** Largest difference of output and gradients between wasm and cpu, relative to the largest value. */
const difference = async (
  shapes: ReadonlyArray<ReadonlyArray<number>>,
  f: (...inputs: Array<tf.Tensor>) => tf.Tensor,
): Promise<number> => {
  const expected = await run("cpu", shapes, f)
  const got = await run("wasm", shapes, f)
  return Math.max(...got.map((values, i) => largestDifference(values, expected[i]!)))
}

const tolerance = 2e-6

const depthwise = (stride: 1 | 2, pad: number) => (x: tf.Tensor, w: tf.Tensor) => {
  const padded = tf.pad4d(x as tf.Tensor4D, [
    [0, 0],
    [pad, pad],
    [pad, pad],
    [0, 0],
  ])
  return tf.depthwiseConv2d(padded, w as tf.Tensor4D, stride, "valid")
}

describe("kernels in tfjs's memory equal the cpu backend, forward and gradients", () => {
  it.each([3, 5, 7])(
    "depthwise of kernel %i, stride 1 and 2, sizes that fill no whole block",
    async (kernel) => {
      for (const stride of [1, 2] as const) {
        for (const size of [5, 8, 13]) {
          expect(
            await difference(
              [
                [2, size, size, 12],
                [kernel, kernel, 12, 1],
              ],
              depthwise(stride, kernel >> 1),
            ),
          ).toBeLessThan(tolerance)
        }
      }
    },
  )

  it("1x1 convolutions of wide and narrow maps", async () => {
    for (const [inputs, outputs] of [
      [8, 24],
      [12, 4],
      [36, 20],
    ] as const) {
      const shapes = [
        [2, 5, 5, inputs],
        [1, 1, inputs, outputs],
      ]
      expect(
        await difference(shapes, (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "valid")),
      ).toBeLessThan(tolerance)
    }
  })

  it("the stem: 3x3 stride 2 on three channels, gradient by the filter", async () => {
    const filters = async (backend: string) => {
      await tf.setBackend(backend)
      return tf.tidy(() => {
        const x = tensor([2, 9, 9, 3], 1) as tf.Tensor4D
        const f = (w: tf.Tensor) => tf.conv2d(x, w as tf.Tensor4D, 2, "valid")
        return tf
          .grad(f)(tensor([3, 3, 3, 8], 2), tensor([2, 4, 4, 8], 3))
          .dataSync() as Float32Array
      })
    }
    expect(largestDifference(await filters("wasm"), await filters("cpu"))).toBeLessThan(tolerance)
  })

  it("matrix products with every combination of transposes", async () => {
    for (const [ta, tb] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const shapes = [ta ? [12, 8] : [8, 12], tb ? [20, 12] : [12, 20]]
      expect(await difference(shapes, (a, b) => tf.matMul(a, b, ta, tb))).toBeLessThan(tolerance)
    }
  })
})

describe("shapes that the kernels cannot take", () => {
  it("go to the stock kernels and give the cpu backend's numbers", async () => {
    await tf.setBackend("cpu")
    const product = () =>
      tf.tidy(() => tf.matMul(tensor([7, 5], 1) as tf.Tensor2D, tensor([5, 3], 2) as tf.Tensor2D).dataSync())
    const dilated = () =>
      tf.tidy(() => {
        const filter = tensor([3, 3, 6, 1], 4) as tf.Tensor4D
        return tf.depthwiseConv2d(tensor([1, 9, 9, 6], 3) as tf.Tensor4D, filter, 1, "same").dataSync()
      })
    const expected = [product(), dilated()] as Array<Float32Array>
    await tf.setBackend("wasm")
    const got = [product(), dilated()] as Array<Float32Array>
    for (const [i, values] of got.entries())
      expect(largestDifference(values, expected[i]!)).toBeLessThan(tolerance)
  })

  it("say what is missing where stock has no kernel either", async () => {
    await tf.setBackend("wasm")
    const gradient = () =>
      tf.tidy(() => {
        const f = (w: tf.Tensor) =>
          tf.depthwiseConv2d(tensor([1, 9, 9, 6], 3) as tf.Tensor4D, w as tf.Tensor4D, 1, "same")
        return tf
          .grad(f)(tensor([3, 3, 6, 1], 4))
          .dataSync()
      })
    expect(gradient).toThrow(/no kernel for these shapes/)
  })
})
