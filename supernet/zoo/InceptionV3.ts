/** Inception-v3 (Szegedy et al., CVPR 2016) at 299 pixels, as torchvision has it, without the auxiliary classifier. */
import { imageInput, type Network, NetworkBuilder } from "./LayerGraph.ts"
import { torchvision } from "./Source.ts"

/** A convolution as [output channels, kernel, stride]; kernels as side or [height, width]. Stride 2 goes without padding. */
type Step = readonly [number, number | readonly [number, number], (1 | 2)?]

const chain = (b: NetworkBuilder, name: string, input: number, steps: ReadonlyArray<Step>): number =>
  steps.reduce(
    (x, [out, kernel, stride = 1], i) =>
      b.conv(`${name}${i + 1}`, x, { out, kernel, stride, ...(stride === 2 ? { padding: 0 } : {}) }),
    input,
  )

const averaged = (b: NetworkBuilder, x: number, out: number): number =>
  chain(b, "pool_conv", b.pool("pool", x, { kernel: 3, stride: 1, padding: 1 }), [[out, 1]])

const inceptionA = (b: NetworkBuilder, x: number, pooled: number): number =>
  b.concat("concat", [
    chain(b, "b1x1_", x, [[64, 1]]),
    chain(b, "b5x5_", x, [
      [48, 1],
      [64, 5],
    ]),
    chain(b, "b3x3dbl_", x, [
      [64, 1],
      [96, 3],
      [96, 3],
    ]),
    averaged(b, x, pooled),
  ])

const inceptionB = (b: NetworkBuilder, x: number): number =>
  b.concat("concat", [
    chain(b, "b3x3_", x, [[384, 3, 2]]),
    chain(b, "b3x3dbl_", x, [
      [64, 1],
      [96, 3],
      [96, 3, 2],
    ]),
    b.pool("pool", x, { kernel: 3, stride: 2 }),
  ])

const inceptionC = (b: NetworkBuilder, x: number, c: number): number =>
  b.concat("concat", [
    chain(b, "b1x1_", x, [[192, 1]]),
    chain(b, "b7x7_", x, [
      [c, 1],
      [c, [1, 7]],
      [192, [7, 1]],
    ]),
    chain(b, "b7x7dbl_", x, [
      [c, 1],
      [c, [7, 1]],
      [c, [1, 7]],
      [c, [7, 1]],
      [192, [1, 7]],
    ]),
    averaged(b, x, 192),
  ])

const inceptionD = (b: NetworkBuilder, x: number): number =>
  b.concat("concat", [
    chain(b, "b3x3_", x, [
      [192, 1],
      [320, 3, 2],
    ]),
    chain(b, "b7x7x3_", x, [
      [192, 1],
      [192, [1, 7]],
      [192, [7, 1]],
      [192, 3, 2],
    ]),
    b.pool("pool", x, { kernel: 3, stride: 2 }),
  ])

const inceptionE = (b: NetworkBuilder, x: number): number => {
  const fan = (name: string, from: number) => [
    chain(b, `${name}a`, from, [[384, [1, 3]]]),
    chain(b, `${name}b`, from, [[384, [3, 1]]]),
  ]
  return b.concat("concat", [
    chain(b, "b1x1_", x, [[320, 1]]),
    ...fan("b3x3_2", chain(b, "b3x3_", x, [[384, 1]])),
    ...fan(
      "b3x3dbl_3",
      chain(b, "b3x3dbl_", x, [
        [448, 1],
        [384, 3],
      ]),
    ),
    averaged(b, x, 192),
  ])
}

export const inceptionV3 = (): Network => {
  const b = new NetworkBuilder(299)
  b.within("stem")
  let x = b.conv("conv1a", imageInput, { out: 32, kernel: 3, stride: 2, padding: 0 })
  x = b.conv("conv2a", x, { out: 32, kernel: 3, padding: 0 })
  x = b.conv("conv2b", x, { out: 64, kernel: 3 })
  x = b.pool("pool1", x, { kernel: 3, stride: 2 })
  x = b.conv("conv3b", x, { out: 80, kernel: 1 })
  x = b.conv("conv4a", x, { out: 192, kernel: 3, padding: 0 })
  x = b.pool("pool2", x, { kernel: 3, stride: 2 })
  const mixed: ReadonlyArray<readonly [string, (input: number) => number]> = [
    ["5b", (i) => inceptionA(b, i, 32)],
    ["5c", (i) => inceptionA(b, i, 64)],
    ["5d", (i) => inceptionA(b, i, 64)],
    ["6a", (i) => inceptionB(b, i)],
    ["6b", (i) => inceptionC(b, i, 128)],
    ["6c", (i) => inceptionC(b, i, 160)],
    ["6d", (i) => inceptionC(b, i, 160)],
    ["6e", (i) => inceptionC(b, i, 192)],
    ["7a", (i) => inceptionD(b, i)],
    ["7b", (i) => inceptionE(b, i)],
    ["7c", (i) => inceptionE(b, i)],
  ]
  for (const [name, add] of mixed) {
    b.within(`mixed${name}`)
    x = add(x)
  }
  b.within("head")
  b.linear("fc", b.pool("avgpool", x), 1000)
  return b.build("InceptionV3", 0.77294, torchvision)
}

/**
 * Parameters of the auxiliary classifier, which published totals include: two convolutions with batch norm and a linear
 * layer. It only serves training.
 */
export const inceptionAuxiliaryParameters =
  768 * 128 + 2 * 128 + (128 * 768 * 25 + 2 * 768) + (768 * 1000 + 1000)
