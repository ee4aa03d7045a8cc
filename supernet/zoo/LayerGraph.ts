/**
 * A fixed network as a table of layers: types, shapes, work, parameters, and who reads whose output. Built from the
 * network's definition, so that totals are results, not inputs. For the baselines, which cut or tile fixed networks.
 */
import {
  addOps,
  convOps,
  depthwiseOps,
  elementwiseOps,
  linearOps,
  noOps,
  type OpCounts,
  totalMacs,
} from "../Cost.ts"

/** Types that latency regressions are fitted by (Neurosurgeon, Kang et al., ASPLOS 2017, section 3). */
export type LayerType =
  | "convolution"
  | "pointwise"
  | "depthwise"
  | "grouped"
  | "linear"
  | "pool"
  | "normalise"
  | "elementwise"
  | "concat"

/** A feature map, or a vector with height and width 1. */
export interface Shape {
  readonly channels: number
  readonly height: number
  readonly width: number
}

export const elements = (s: Shape): number => s.channels * s.height * s.width

/** How a convolution or a pooling slides over its input. */
export interface Window {
  readonly kernel: readonly [number, number]
  readonly stride: number
  readonly padding: readonly [number, number]
  readonly groups: number
}

export interface Layer {
  readonly index: number
  readonly name: string
  readonly type: LayerType
  /** Layers whose outputs it reads; `imageInput` is the network's image. */
  readonly inputs: ReadonlyArray<number>
  readonly output: Shape
  readonly ops: OpCounts
  /** Of convolutions, and of poolings unless they take in the whole map. */
  readonly window?: Window
  /** Learned numbers as the model zoos count them: weights, biases, scale and shift of batch norms. */
  readonly parameters: number
  /** Work on pixels of a map, which tiles share out. False for fully connected layers, those of squeeze-excite too. */
  readonly spatial: boolean
}

export const imageInput = -1

export interface Network {
  readonly name: string
  /** The image that it takes. */
  readonly input: Shape
  readonly layers: ReadonlyArray<Layer>
  /** ImageNet top-1, 0..1, and who says so. */
  readonly top1: number
  readonly source: string
}

export const networkOps = (network: Network): OpCounts =>
  network.layers.reduce((sum, l) => addOps(sum, l.ops), noOps)
export const networkMacs = (network: Network): number => totalMacs(networkOps(network))
export const networkParameters = (network: Network): number =>
  network.layers.reduce((sum, l) => sum + l.parameters, 0)

/** A place between two layers, with what crosses it: outputs made before it and read after it. */
export interface CutPoint {
  /** The first `before` layers are on one side. 0: all are on the other, the image crosses. */
  readonly before: number
  /** Layers whose outputs cross, or the image. */
  readonly crossing: ReadonlyArray<number>
  /** Values of all crossing outputs together. */
  readonly values: number
}

/** Every place at which a network can be cut, image side first; the last one is behind the last layer. */
export const cutPoints = (network: Network): ReadonlyArray<CutPoint> => {
  const { layers } = network
  const lastReader = new Map<number, number>()
  for (const layer of layers) for (const input of layer.inputs) lastReader.set(input, layer.index)
  return Array.from({ length: layers.length + 1 }, (_, before) => {
    const made = before === 0 ? [imageInput] : [imageInput, ...layers.slice(0, before).map((l) => l.index)]
    const crossing = made.filter((i) => (lastReader.get(i) ?? layers.length) >= before)
    const values = crossing.reduce((sum, i) => sum + elements(layers[i]?.output ?? network.input), 0)
    return { before, crossing, values }
  })
}

export interface ConvOptions {
  readonly out: number
  /** Side, or height and width. */
  readonly kernel: number | readonly [number, number]
  readonly stride?: number
  /** Default: half the kernel, which keeps the size at stride 1. */
  readonly padding?: number | readonly [number, number]
  readonly groups?: number
  /** Batch norm behind it (folded into the weights at run time). Default true. */
  readonly norm?: boolean
  readonly bias?: boolean
}

const pair = (value: number | readonly [number, number]): readonly [number, number] =>
  typeof value === "number" ? [value, value] : value

const slide = (size: number, kernel: number, stride: number, padding: number): number =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1

/** Adds layers one after the other; every method returns the new layer's index. */
export class NetworkBuilder {
  readonly input: Shape
  readonly layers: Array<Layer> = []
  #name = ""

  constructor(size: number) {
    this.input = { channels: 3, height: size, width: size }
  }

  /** Names of the layers that follow start with this. */
  within(name: string): void {
    this.#name = name
  }

  shape(index: number): Shape {
    return this.layers[index]?.output ?? this.input
  }

  #add(layer: Omit<Layer, "index" | "spatial">): number {
    const index = this.layers.length
    const spatial = layer.type !== "linear"
    this.layers.push({ ...layer, index, name: `${this.#name}.${layer.name}`, spatial })
    return index
  }

  conv(name: string, input: number, options: ConvOptions): number {
    const from = this.shape(input)
    const [kh, kw] = pair(options.kernel)
    const [ph, pw] = pair(options.padding ?? [Math.floor(kh / 2), Math.floor(kw / 2)])
    const { out, stride = 1, groups = 1, norm = true, bias = false } = options
    const output = {
      channels: out,
      height: slide(from.height, kh, stride, ph),
      width: slide(from.width, kw, stride, pw),
    }
    const pixels = output.height * output.width
    const weights = (from.channels / groups) * out * kh * kw
    const depthwise = groups > 1 && groups === from.channels
    const whole = depthwise
      ? depthwiseOps(out, kh, pixels)
      : convOps(from.channels / groups, out, kh * kw === 1 ? 1 : Math.sqrt(kh * kw), pixels)
    const type = depthwise
      ? "depthwise"
      : groups > 1
        ? "grouped"
        : kh * kw === 1
          ? "pointwise"
          : "convolution"
    const parameters = weights + (norm ? 2 * out : 0) + (bias ? out : 0)
    const window: Window = { kernel: [kh, kw], stride, padding: [ph, pw], groups }
    return this.#add({ name, type, inputs: [input], output, ops: whole, window, parameters })
  }

  /** Max or average pooling; without a kernel, over the whole map. */
  pool(
    name: string,
    input: number,
    window?: { readonly kernel: number; readonly stride: number; readonly padding?: number },
  ): number {
    const from = this.shape(input)
    const size = (side: number) =>
      window === undefined ? 1 : slide(side, window.kernel, window.stride, window.padding ?? 0)
    const output = { channels: from.channels, height: size(from.height), width: size(from.width) }
    const layer = {
      name,
      type: "pool" as const,
      inputs: [input],
      output,
      ops: elementwiseOps(elements(from)),
      parameters: 0,
    }
    if (window === undefined) return this.#add(layer)
    const { kernel, stride, padding = 0 } = window
    return this.#add({
      ...layer,
      window: { kernel: [kernel, kernel], stride, padding: [padding, padding], groups: 1 },
    })
  }

  /** Fully connected layer on a vector. */
  linear(name: string, input: number, out: number, bias = true): number {
    const from = elements(this.shape(input))
    const ops = linearOps(from, out, bias)
    const output = { channels: out, height: 1, width: 1 }
    return this.#add({ name, type: "linear", inputs: [input], output, ops, parameters: ops.parameters })
  }

  /** Sum of two maps of one shape (residual), or a map scaled by a vector (squeeze-excite). */
  combine(name: string, map: number, other: number): number {
    const output = this.shape(map)
    return this.#add({
      name,
      type: "elementwise",
      inputs: [map, other],
      output,
      ops: elementwiseOps(elements(output)),
      parameters: 0,
    })
  }

  /** Batch norm and activation that no convolution before them can take in. */
  normalise(name: string, input: number): number {
    const output = this.shape(input)
    const ops = elementwiseOps(elements(output))
    return this.#add({
      name,
      type: "normalise",
      inputs: [input],
      output,
      ops,
      parameters: 2 * output.channels,
    })
  }

  /** Channels of several maps of one size, one after the other: a copy. */
  concat(name: string, inputs: ReadonlyArray<number>): number {
    const first = this.shape(inputs[0] ?? imageInput)
    const output = { ...first, channels: inputs.reduce((sum, i) => sum + this.shape(i).channels, 0) }
    return this.#add({
      name,
      type: "concat",
      inputs,
      output,
      ops: elementwiseOps(elements(output)),
      parameters: 0,
    })
  }

  build(name: string, top1: number, source: string): Network {
    return { name, input: this.input, layers: this.layers, top1, source }
  }
}
