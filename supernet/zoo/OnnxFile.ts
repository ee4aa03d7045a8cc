/**
 * A fixed network of the zoo as an ONNX model with random weights: it takes as long to read, build and run as the trained one,
 * and its answers mean nothing. Batch norms that fold into a convolution are folded, as exporters do.
 */
import { seededRandom } from "../Random.ts"
import { type Initializer, initializers, model, type Node } from "../onnx/Proto.ts"
import { imageInput, type Layer, type Network } from "./LayerGraph.ts"

const valueOf = (index: number): string => (index === imageInput ? "image" : `v${index}`)

/** Uniform in -a .. a with the variance that keeps the size of signals (He et al., 2015). */
const noise = (size: number, fanIn: number, next: () => number): Float32Array => {
  const a = Math.sqrt(6 / fanIn)
  return Float32Array.from({ length: size }, () => (next() * 2 - 1) * a)
}

interface Piece {
  readonly nodes: ReadonlyArray<Node>
  readonly weights: ReadonlyArray<Initializer>
}

const convolution = (layer: Layer, inChannels: number, next: () => number): Piece => {
  const { kernel, stride, padding, groups } = layer.window ?? {
    kernel: [1, 1],
    stride: 1,
    padding: [0, 0],
    groups: 1,
  }
  const { channels } = layer.output
  const perGroup = inChannels / groups
  const [input, output, w, b] = [
    valueOf(layer.inputs[0] ?? 0),
    valueOf(layer.index),
    `w${layer.index}`,
    `b${layer.index}`,
  ]
  const last = layer.type === "linear"
  const nodes: ReadonlyArray<Node> = [
    {
      op: "Conv",
      inputs: [input, w, b],
      outputs: [last ? output : `${output}.sum`],
      attributes: {
        kernel_shape: [...kernel],
        strides: [stride, stride],
        pads: [...padding, ...padding],
        group: groups,
      },
    },
    ...(last ? [] : [{ op: "Relu", inputs: [`${output}.sum`], outputs: [output] }]),
  ]
  const size = channels * perGroup * kernel[0] * kernel[1]
  const weights = [
    {
      name: w,
      shape: [channels, perGroup, ...kernel],
      data: noise(size, perGroup * kernel[0] * kernel[1], next),
    },
    { name: b, shape: [channels], data: new Float32Array(channels) },
  ]
  return { nodes, weights }
}

const pooling = (layer: Layer): Piece => {
  const [input, output] = [valueOf(layer.inputs[0] ?? 0), valueOf(layer.index)]
  const { window } = layer
  if (window === undefined)
    return { nodes: [{ op: "GlobalAveragePool", inputs: [input], outputs: [output] }], weights: [] }
  const { kernel, stride, padding } = window
  const attributes = { kernel_shape: [...kernel], strides: [stride, stride], pads: [...padding, ...padding] }
  return { nodes: [{ op: "MaxPool", inputs: [input], outputs: [output], attributes }], weights: [] }
}

const scaled = (layer: Layer): Piece => {
  const [input, output] = [valueOf(layer.inputs[0] ?? 0), valueOf(layer.index)]
  const { channels } = layer.output
  const vector = (name: string, value: number): Initializer => ({
    name,
    shape: [1, channels, 1, 1],
    data: new Float32Array(channels).fill(value),
  })
  return {
    nodes: [
      { op: "Mul", inputs: [input, `g${layer.index}`], outputs: [`${output}.scaled`] },
      { op: "Add", inputs: [`${output}.scaled`, `s${layer.index}`], outputs: [`${output}.sum`] },
      { op: "Relu", inputs: [`${output}.sum`], outputs: [output] },
    ],
    weights: [vector(`g${layer.index}`, 1), vector(`s${layer.index}`, 0)],
  }
}

const piece = (network: Network, layer: Layer, next: () => number): Piece => {
  const outputOf = (index: number) => network.layers[index]?.output ?? network.input
  const inputs = layer.inputs.map(valueOf)
  const output = valueOf(layer.index)
  if (layer.type === "pool") return pooling(layer)
  if (layer.type === "normalise") return scaled(layer)
  if (layer.type === "concat")
    return { nodes: [{ op: "Concat", inputs, outputs: [output], attributes: { axis: 1 } }], weights: [] }
  if (layer.type === "elementwise") {
    const other = outputOf(layer.inputs[1] ?? imageInput)
    const op = other.height === layer.output.height ? "Add" : "Mul"
    return { nodes: [{ op, inputs, outputs: [output] }], weights: [] }
  }
  return convolution(layer, outputOf(layer.inputs[0] ?? imageInput).channels, next)
}

/** Bytes of the model: input `image` [1, 3, size, size], output [1, classes, 1, 1]. */
export const onnxFile = (network: Network, seed = 1): Uint8Array => {
  const random = seededRandom(seed)
  const pieces = network.layers.map((layer) => piece(network, layer, () => random.next()))
  const { channels, height, width } = network.input
  const last = network.layers.at(-1)
  const classes = last?.output.channels ?? 0
  return model({
    inputs: [{ name: "image", type: "float32", shape: [1, channels, height, width] }],
    outputs: [{ name: valueOf(last?.index ?? 0), type: "float32", shape: [1, classes, 1, 1] }],
    nodes: pieces.flatMap((p) => p.nodes),
    weights: pieces.map((p) => initializers(p.weights)),
  })
}
