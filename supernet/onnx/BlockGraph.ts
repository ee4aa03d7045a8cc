/**
 * ONNX nodes and initializers of every kind of block. A block's initializers are named after its position in the supernet
 * (`b3.expand.w`), its values after the instance that computes them, so that several tiles of one graph share weights.
 */
import type { Activation, SupernetSpec } from "../Spec.ts"
import type { ActiveBlock } from "../Submodel.ts"
import { tensor, type Weights } from "../Weights.ts"
import { edgeConvolution, type FoldedConvolution, mbConvWeights } from "./BlockWeights.ts"
import { type Initializer, initializers, type Node } from "./Proto.ts"

/** Type of the pixels that a stem's graph takes: uint8 [N, H, W, 3], or float32 of the same layout and range 0..255. */
export type PixelType = "uint8" | "float32"

/** Where a block's nodes read and write. */
export interface Instance {
  readonly block: ActiveBlock
  readonly input: string
  readonly output: string
  /** Prefix of the values in between; unique in the graph. */
  readonly prefix: string
  readonly pixels: PixelType
}

const conv = (
  input: string,
  weights: string,
  output: string,
  kernel: number,
  stride: number,
  group: number,
): Node => {
  const pad = (kernel - 1) / 2
  return {
    op: "Conv",
    inputs: [input, `${weights}.w`, `${weights}.b`],
    outputs: [output],
    attributes: {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      group,
    },
  }
}

const node = (
  op: string,
  inputs: ReadonlyArray<string>,
  output: string,
  attributes: NonNullable<Node["attributes"]> = {},
): Node => ({ op, inputs, outputs: [output], attributes })

const activationNode = (activation: Activation, input: string, output: string): Node =>
  node(activation === "relu" ? "Relu" : "HardSwish", [input], output)

const stemNodes = ({ block, input, output, prefix, pixels }: Instance): ReadonlyArray<Node> => {
  const v = (name: string) => `${prefix}${name}`
  const planes = node("Transpose", [input], v("planes"), { perm: [0, 3, 1, 2] })
  const floats = pixels === "uint8" ? [node("Cast", [v("planes")], v("floats"), { to: 1 })] : []
  return [
    planes,
    ...floats,
    // Normalised before the convolution pads, so that padding is zero in the network's own units.
    node("Sub", [pixels === "uint8" ? v("floats") : v("planes"), "b0.mean"], v("centred")),
    node("Div", [v("centred"), "b0.std"], v("normalised")),
    conv(v("normalised"), "b0.conv", v("conv"), 3, block.stride, 1),
    activationNode(block.activation, v("conv"), output),
  ]
}

const squeezeNodes = (weights: string, input: string, v: (name: string) => string): ReadonlyArray<Node> => [
  node("GlobalAveragePool", [input], v("se.mean")),
  conv(v("se.mean"), `${weights}.se.reduce`, v("se.reduce"), 1, 1, 1),
  node("Relu", [v("se.reduce")], v("se.relu")),
  conv(v("se.relu"), `${weights}.se.expand`, v("se.expand"), 1, 1, 1),
  node("HardSigmoid", [v("se.expand")], v("se.gate"), { alpha: { float: 1 / 6 }, beta: { float: 0.5 } }),
  node("Mul", [input, v("se.gate")], v("se.out")),
]

const mbConvNodes = (
  instance: Instance,
  hidden: number,
  squeezeExcite: boolean,
  w: string,
): ReadonlyArray<Node> => {
  const { block, input, output, prefix } = instance
  const v = (name: string) => `${prefix}${name}`
  const expand = [
    conv(input, `${w}.expand`, v("expand"), 1, 1, 1),
    activationNode(block.activation, v("expand"), v("expanded")),
  ]
  const project = `${w}.project`
  const projectInput = squeezeExcite ? v("se.out") : v("filtered")
  return [
    ...(block.kind === "first" ? [] : expand),
    conv(
      block.kind === "first" ? input : v("expanded"),
      `${w}.dw`,
      v("dw"),
      block.kernel,
      block.stride,
      hidden,
    ),
    activationNode(block.activation, v("dw"), v("filtered")),
    ...(squeezeExcite ? squeezeNodes(w, v("filtered"), v) : []),
    conv(projectInput, project, block.residual ? v("project") : output, 1, 1, 1),
    ...(block.residual ? [node("Add", [v("project"), input], output)] : []),
  ]
}

const headNodes = ({ block, input, output, prefix }: Instance): ReadonlyArray<Node> => {
  const v = (name: string) => `${prefix}${name}`
  const w = `b${block.index}`
  return [
    conv(input, `${w}.expand`, v("expand"), 1, 1, 1),
    activationNode("h_swish", v("expand"), v("expanded")),
    node("GlobalAveragePool", [v("expanded")], v("pooled")),
    node("Flatten", [v("pooled")], v("flat"), { axis: 1 }),
    node("Gemm", [v("flat"), `${w}.mix`], v("mix"), { transB: 1 }),
    activationNode("h_swish", v("mix"), v("features")),
    node("Gemm", [v("features"), `${w}.classifier.w`, `${w}.classifier.b`], output, { transB: 1 }),
  ]
}

/** Nodes of one instance of a block. `hidden` = channels of its depthwise convolution. */
export const blockNodes = (instance: Instance, hidden: number): ReadonlyArray<Node> => {
  const { block } = instance
  if (block.kind === "stem") return stemNodes(instance)
  if (block.kind === "head") return headNodes(instance)
  return mbConvNodes(instance, hidden, block.squeezeExcite && block.kind === "dynamic", `b${block.index}`)
}

const convolution = (name: string, { weight, bias }: FoldedConvolution): ReadonlyArray<Initializer> => [
  { name: `${name}.w`, ...weight },
  { name: `${name}.b`, ...bias },
]

const stemInitializers = (
  spec: SupernetSpec,
  weights: Weights,
  resolution: number,
): ReadonlyArray<Initializer> => [
  { name: "b0.mean", shape: [1, 3, 1, 1], data: Float32Array.from(spec.mean) },
  { name: "b0.std", shape: [1, 3, 1, 1], data: Float32Array.from(spec.std) },
  ...convolution("b0.conv", edgeConvolution(weights, "stem", resolution)),
]

const headInitializers = (weights: Weights, name: string, resolution: number): ReadonlyArray<Initializer> => [
  ...convolution(`${name}.expand`, edgeConvolution(weights, "head", resolution)),
  { name: `${name}.mix`, ...tensor(weights, "head.mix") },
  ...convolution(`${name}.classifier`, {
    weight: tensor(weights, "head.classifier"),
    bias: tensor(weights, "head.classifier_bias"),
  }),
]

/** Encoded weights of a block variant, ready to be concatenated into a model. */
export const blockInitializers = (
  spec: SupernetSpec,
  weights: Weights,
  block: ActiveBlock,
  resolution: number,
): Uint8Array => {
  const name = `b${block.index}`
  if (block.kind === "stem") return initializers(stemInitializers(spec, weights, resolution))
  if (block.kind === "head") return initializers(headInitializers(weights, name, resolution))
  const { expand, depthwise, squeeze, project } = mbConvWeights(spec, weights, block, resolution)
  return initializers([
    ...(expand === undefined ? [] : convolution(`${name}.expand`, expand)),
    ...convolution(`${name}.dw`, depthwise),
    ...(squeeze === undefined ? [] : convolution(`${name}.se.reduce`, squeeze.reduce)),
    ...(squeeze === undefined ? [] : convolution(`${name}.se.expand`, squeeze.expand)),
    ...convolution(`${name}.project`, project),
  ])
}
