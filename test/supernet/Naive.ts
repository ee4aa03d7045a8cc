/**
 * The supernet's arithmetic written down once more, plainly: float64, loops, batch norm as its own step, no ONNX, no
 * folding, no task graph. Block by block the whole map is cut into the grid's tiles, each tile is computed as if it were a
 * whole map, and the tiles are put together again: the definition of FDSP.
 */
import { geometry, type Region } from "../../supernet/Partition.ts"
import { hiddenChannels, squeezeChannels, type SupernetSpec } from "../../supernet/Spec.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import { type ActiveBlock, activeBlocks } from "../../supernet/Submodel.ts"
import { batchNorm, blockName, tensor, type Weights } from "../../supernet/Weights.ts"

interface FeatureMap {
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly at: Float64Array
}

const empty = (channels: number, height: number, width: number): FeatureMap => ({
  channels,
  height,
  width,
  at: new Float64Array(channels * height * width),
})
const get = (m: FeatureMap, c: number, y: number, x: number): number =>
  y < 0 || x < 0 || y >= m.height || x >= m.width ? 0 : (m.at[(c * m.height + y) * m.width + x] ?? 0)
const set = (m: FeatureMap, c: number, y: number, x: number, v: number) => {
  m.at[(c * m.height + y) * m.width + x] = v
}
const mapped = (m: FeatureMap, f: (v: number, c: number) => number): FeatureMap => ({
  ...m,
  at: m.at.map((v, i) => f(v, Math.floor(i / (m.height * m.width)))),
})

const relu6 = (v: number) => Math.min(6, Math.max(0, v))
const activate = (kind: "relu" | "h_swish", v: number) =>
  kind === "relu" ? Math.max(0, v) : (v * relu6(v + 3)) / 6

/** weight(out, in, ky, kx); with `depthwise`, out = in. */
const convolve = (
  m: FeatureMap,
  out: number,
  kernel: number,
  stride: number,
  depthwise: boolean,
  weight: (o: number, i: number, ky: number, kx: number) => number,
): FeatureMap => {
  const pad = (kernel - 1) / 2
  const sides = (n: number) => Math.floor((n + 2 * pad - kernel) / stride) + 1
  const result = empty(out, sides(m.height), sides(m.width))
  const fanIn = depthwise ? 1 : m.channels
  const w = Float64Array.from({ length: out * fanIn * kernel * kernel }, (_, n) => {
    const [kx, ky] = [n % kernel, Math.floor(n / kernel) % kernel]
    const channel = Math.floor(n / kernel / kernel)
    return weight(Math.floor(channel / fanIn), channel % fanIn, ky, kx)
  })
  for (let o = 0; o < out; o++) {
    for (let y = 0; y < result.height; y++) {
      for (let x = 0; x < result.width; x++) {
        let sum = 0
        for (let i = 0; i < fanIn; i++) {
          for (let ky = 0; ky < kernel; ky++) {
            for (let kx = 0; kx < kernel; kx++) {
              const value = get(m, depthwise ? o : i, y * stride + ky - pad, x * stride + kx - pad)
              sum += value * (w[((o * fanIn + i) * kernel + ky) * kernel + kx] ?? Number.NaN)
            }
          }
        }
        set(result, o, y, x, sum)
      }
    }
  }
  return result
}

class Network {
  readonly spec: SupernetSpec
  readonly weights: Weights
  readonly resolution: number

  constructor(spec: SupernetSpec, weights: Weights, resolution: number) {
    this.spec = spec
    this.weights = weights
    this.resolution = resolution
  }

  #value(name: string, ...index: ReadonlyArray<number>): number {
    const { shape, data } = tensor(this.weights, name)
    const flat = index.reduce((sum, v, i) => sum * (shape[i] ?? 1) + v, 0)
    return data[flat] ?? Number.NaN
  }

  #norm(m: FeatureMap, block: ActiveBlock, layer: string): FeatureMap {
    const { kernel, expand } = block
    const key = { kernel, expand, resolution: this.resolution }
    const n = batchNorm(this.weights, blockName(this.spec, block), layer, key)
    return mapped(
      m,
      (v, c) =>
        ((v - (n.mean[c] ?? 0)) / Math.sqrt((n.variance[c] ?? 0) + 1e-5)) * (n.gamma[c] ?? 0) +
        (n.beta[c] ?? 0),
    )
  }

  /** One channel's depthwise kernel: 7x7, or transformed from the centre of the next larger one. */
  #kernel(name: string, channel: number, size: number): ReadonlyArray<ReadonlyArray<number>> {
    if (size === tensor(this.weights, `${name}.dw`).shape[2]) {
      return Array.from({ length: size }, (_, y) =>
        Array.from({ length: size }, (_, x) => this.#value(`${name}.dw`, channel, 0, y, x)),
      )
    }
    const larger = this.#kernel(name, channel, size + 2)
    const centre = larger.slice(1, -1).flatMap((row) => row.slice(1, -1))
    const mixed = centre.map((_, row) =>
      centre.reduce((sum, v, i) => sum + this.#value(`${name}.to${size}`, row, i) * v, 0),
    )
    return Array.from({ length: size }, (_, y) => mixed.slice(y * size, (y + 1) * size))
  }

  #stem(block: ActiveBlock, m: FeatureMap): FeatureMap {
    const { mean, std } = this.spec
    const normal = mapped(m, (v, c) => (v - (mean[c] ?? 0)) / (std[c] ?? 1))
    const conv = convolve(normal, block.outChannels, 3, 2, false, (...i) => this.#value("stem.conv", ...i))
    return mapped(this.#norm(conv, block, "bn"), (v) => activate("h_swish", v))
  }

  #squeeze(name: string, m: FeatureMap): FeatureMap {
    const area = m.height * m.width
    const means = Array.from({ length: m.channels }, (_, c) =>
      m.at.subarray(c * area, (c + 1) * area).reduce((a, b) => a + b / area, 0),
    )
    const dense = (layer: string, input: ReadonlyArray<number>, rows: number) =>
      Array.from({ length: rows }, (_, r) =>
        input.reduce(
          (sum, v, i) => sum + v * this.#value(`${name}.se.${layer}`, r, i),
          this.#value(`${name}.se.${layer}_bias`, r),
        ),
      )
    const reduced = dense("reduce", means, squeezeChannels(m.channels)).map((v) => Math.max(0, v))
    const gates = dense("expand", reduced, m.channels).map((v) => relu6(v + 3) / 6)
    return mapped(m, (v, c) => v * (gates[c] ?? 0))
  }

  #mbConv(block: ActiveBlock, input: FeatureMap): FeatureMap {
    const name = blockName(this.spec, block)
    const { activation, kernel, outChannels } = block
    let m = input
    if (block.kind === "dynamic") {
      const hidden = hiddenChannels(this.spec, block.inChannels, block.expand)
      m = convolve(m, hidden, 1, 1, false, (...i) => this.#value(`${name}.expand`, ...i))
      m = mapped(this.#norm(m, block, "expand_bn"), (v) => activate(activation, v))
    }
    const kernels = Array.from({ length: m.channels }, (_, c) =>
      block.kind === "dynamic"
        ? this.#kernel(name, c, kernel)
        : [0, 1, 2].map((y) => [0, 1, 2].map((x) => this.#value(`${name}.dw`, c, 0, y, x))),
    )
    m = convolve(
      m,
      m.channels,
      kernel,
      block.stride,
      true,
      (o, _, ky, kx) => kernels[o]?.[ky]?.[kx] ?? Number.NaN,
    )
    m = mapped(this.#norm(m, block, "dw_bn"), (v) => activate(activation, v))
    if (block.kind === "dynamic" && block.squeezeExcite) m = this.#squeeze(name, m)
    m = convolve(m, outChannels, 1, 1, false, (...i) => this.#value(`${name}.project`, ...i))
    m = this.#norm(m, block, "project_bn")
    return block.residual ? { ...m, at: m.at.map((v, i) => v + (input.at[i] ?? Number.NaN)) } : m
  }

  #head(block: ActiveBlock, input: FeatureMap): FeatureMap {
    const { headWidth, featureWidth, classes } = this.spec
    let m = convolve(input, headWidth, 1, 1, false, (...i) => this.#value("head.expand", ...i))
    m = mapped(this.#norm(m, block, "expand_bn"), (v) => activate("h_swish", v))
    const area = m.height * m.width
    const pooled = Array.from({ length: headWidth }, (_, c) =>
      m.at.subarray(c * area, (c + 1) * area).reduce((a, b) => a + b / area, 0),
    )
    const features = Array.from({ length: featureWidth }, (_, r) =>
      activate(
        "h_swish",
        pooled.reduce((sum, v, i) => sum + v * this.#value("head.mix", r, i), 0),
      ),
    )
    const logits = classes.map((_, r) =>
      features.reduce(
        (sum, v, i) => sum + v * this.#value("head.classifier", r, i),
        this.#value("head.classifier_bias", r),
      ),
    )
    return { channels: classes.length, height: 1, width: 1, at: Float64Array.from(logits) }
  }

  run(block: ActiveBlock, m: FeatureMap): FeatureMap {
    if (block.kind === "stem") return this.#stem(block, m)
    return block.kind === "head" ? this.#head(block, m) : this.#mbConv(block, m)
  }
}

const cut = (m: FeatureMap, r: Region): FeatureMap => {
  const out = empty(m.channels, r.y1 - r.y0, r.x1 - r.x0)
  for (let c = 0; c < m.channels; c++)
    for (let y = r.y0; y < r.y1; y++)
      for (let x = r.x0; x < r.x1; x++) set(out, c, y - r.y0, x - r.x0, get(m, c, y, x))
  return out
}

const paste = (into: FeatureMap, m: FeatureMap, r: Region) => {
  if (m.height !== r.y1 - r.y0 || m.width !== r.x1 - r.x0) throw new RangeError("a tile of another size")
  for (let c = 0; c < m.channels; c++)
    for (let y = 0; y < m.height; y++)
      for (let x = 0; x < m.width; x++) set(into, c, y + r.y0, x + r.x0, get(m, c, y, x))
}

/** Logits of a strategy's grids on one image, uint8 RGB [size, size, 3]. Bits are not looked at: all is float64. */
export const naiveLogits = (
  spec: SupernetSpec,
  weights: Weights,
  strategy: Strategy,
  image: Uint8Array,
): ReadonlyArray<number> => {
  const { submodel } = strategy
  const size = submodel.resolution
  const network = new Network(spec, weights, size)
  const blocks = activeBlocks(spec, submodel)
  const grids = strategy.blocks.map((b) => b.grid)
  let map = empty(3, size, size)
  for (let i = 0; i < image.length; i++) {
    set(map, i % 3, Math.floor(i / 3 / size), Math.floor(i / 3) % size, image[i] ?? 0)
  }
  for (const [i, g] of geometry(blocks, size, grids).entries()) {
    const block = blocks[i]
    if (block === undefined) throw new RangeError(`no block ${i}`)
    const whole = empty(block.outChannels, g.outputSize, g.outputSize)
    for (const [t, region] of g.inputTiles.entries()) {
      const output = g.outputTiles[t]
      if (output !== undefined) paste(whole, network.run(block, cut(map, region)), output)
    }
    map = whole
  }
  return [...map.at]
}
