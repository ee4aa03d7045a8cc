/**
 * The weights of one block variant as its graph uses them: kernel transformed, widths sliced, batch norm folded into the
 * convolution before it. Arithmetic is float64, results float32.
 */
import { hiddenChannels, squeezeChannels, type SupernetSpec } from "../Spec.ts"
import type { ActiveBlock } from "../Submodel.ts"
import {
  batchNorm,
  type BatchNorm,
  batchNormEpsilon,
  blockName,
  type StatisticsKey,
  statisticsNames,
  tensor,
  type Tensor,
  type Weights,
} from "../Weights.ts"

/** A convolution with everything folded in: out = weight * in + bias, OIHW. */
export interface FoldedConvolution {
  readonly weight: Tensor
  readonly bias: Tensor
}

export interface SqueezeWeights {
  readonly reduce: FoldedConvolution
  readonly expand: FoldedConvolution
}

const fold = (
  shape: ReadonlyArray<number>,
  weight: Float32Array | Float64Array,
  norm: BatchNorm,
): FoldedConvolution => {
  const channels = shape[0] ?? 0
  const perChannel = weight.length / channels
  const [folded, bias] = [new Float32Array(weight.length), new Float32Array(channels)]
  for (let c = 0; c < channels; c++) {
    const scale = (norm.gamma[c] ?? 0) / Math.sqrt((norm.variance[c] ?? Number.NaN) + batchNormEpsilon)
    bias[c] = (norm.beta[c] ?? 0) - (norm.mean[c] ?? Number.NaN) * scale
    for (let i = c * perChannel; i < (c + 1) * perChannel; i++) folded[i] = (weight[i] ?? 0) * scale
  }
  return { weight: { shape, data: folded }, bias: { shape: [channels], data: bias } }
}

/** The first `rows` rows and `columns` columns of a matrix. */
const corner = (matrix: Tensor, rows: number, columns: number): Float32Array => {
  const stride = matrix.shape[1] ?? 0
  const out = new Float32Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    out.set(matrix.data.subarray(r * stride, r * stride + columns), r * columns)
  }
  return out
}

const centre = (kernels: Float64Array, from: number, to: number): Float64Array<ArrayBuffer> => {
  const margin = (from - to) / 2
  const channels = kernels.length / (from * from)
  const out = new Float64Array(channels * to * to)
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < to; y++) {
      for (let x = 0; x < to; x++) {
        out[(c * to + y) * to + x] = kernels[(c * from + y + margin) * from + x + margin] ?? 0
      }
    }
  }
  return out
}

const transform = (kernels: Float64Array, matrix: Tensor): Float64Array<ArrayBuffer> => {
  const side = matrix.shape[0] ?? 0
  const out = new Float64Array(kernels.length)
  for (let at = 0; at < kernels.length; at += side) {
    for (let row = 0; row < side; row++) {
      let sum = 0
      for (let i = 0; i < side; i++) sum += (matrix.data[row * side + i] ?? 0) * (kernels[at + i] ?? 0)
      out[at + row] = sum
    }
  }
  return out
}

/** Once-for-all's kernel transforms: 5x5 from the centre of 7x7, 3x3 from the centre of that 5x5. Depthwise, [channels, k * k]. */
const depthwiseKernel = (weights: Weights, name: string, channels: number, kernel: number): Float64Array => {
  const largest = tensor(weights, `${name}.dw`)
  let side = largest.shape[2] ?? 0
  let kernels = new Float64Array(largest.data.subarray(0, channels * side * side))
  while (side > kernel) {
    kernels = transform(centre(kernels, side, side - 2), tensor(weights, `${name}.to${side - 2}`))
    side -= 2
  }
  if (side !== kernel) throw new RangeError(`${name} has no kernel ${kernel}`)
  return kernels
}

const normLayers = (block: ActiveBlock): ReadonlyArray<string> => {
  if (block.kind === "stem") return ["bn"]
  if (block.kind === "head") return ["expand_bn"]
  return block.kind === "first" ? ["dw_bn", "project_bn"] : ["expand_bn", "dw_bn", "project_bn"]
}

/** Equal keys mean equal weights. The resolution counts only where statistics were measured for it. */
export const variantKey = (
  spec: SupernetSpec,
  weights: Weights,
  block: ActiveBlock,
  resolution: number,
): string => {
  const { index, kernel, expand } = block
  const [special = ""] = statisticsNames(blockName(spec, block), { kernel, expand, resolution })
  const measured = normLayers(block).some((layer) => weights.has(`${special}.${layer}.mean`))
  return `${index}:k${kernel}e${expand}${measured ? `r${resolution}` : ""}`
}

/** The folded layers of an MBConv. The first block of the supernet has no expansion. */
export interface MbConvWeights {
  readonly expand: FoldedConvolution | undefined
  readonly depthwise: FoldedConvolution
  readonly squeeze: SqueezeWeights | undefined
  readonly project: FoldedConvolution
}

export const mbConvWeights = (
  spec: SupernetSpec,
  weights: Weights,
  block: ActiveBlock,
  resolution: number,
): MbConvWeights => {
  const name = blockName(spec, block)
  const key: StatisticsKey = { kernel: block.kernel, expand: block.expand, resolution }
  const norm = (layer: string) => batchNorm(weights, name, layer, key)
  const { inChannels, outChannels, kernel } = block
  if (block.kind === "first") {
    const { shape, data } = tensor(weights, `${name}.dw`)
    const project = tensor(weights, `${name}.project`)
    return {
      expand: undefined,
      depthwise: fold(shape, data, norm("dw_bn")),
      squeeze: undefined,
      project: fold(project.shape, project.data, norm("project_bn")),
    }
  }
  const hidden = hiddenChannels(spec, inChannels, block.expand)
  const expand = tensor(weights, `${name}.expand`).data.subarray(0, hidden * inChannels)
  const depthwise = depthwiseKernel(weights, name, hidden, kernel)
  const project = corner(tensor(weights, `${name}.project`), outChannels, hidden)
  return {
    expand: fold([hidden, inChannels, 1, 1], expand, norm("expand_bn")),
    depthwise: fold([hidden, 1, kernel, kernel], depthwise, norm("dw_bn")),
    squeeze: block.squeezeExcite ? squeezeWeights(weights, name, hidden) : undefined,
    project: fold([outChannels, hidden, 1, 1], project, norm("project_bn")),
  }
}

const squeezeWeights = (weights: Weights, name: string, hidden: number): SqueezeWeights => {
  const squeezed = squeezeChannels(hidden)
  const part = (layer: "reduce" | "expand", rows: number, columns: number): FoldedConvolution => ({
    weight: {
      shape: [rows, columns, 1, 1],
      data: corner(tensor(weights, `${name}.se.${layer}`), rows, columns),
    },
    bias: { shape: [rows], data: tensor(weights, `${name}.se.${layer}_bias`).data.slice(0, rows) },
  })
  return { reduce: part("reduce", squeezed, hidden), expand: part("expand", hidden, squeezed) }
}

/** Stem and head: one convolution with batch norm. */
export const edgeConvolution = (
  weights: Weights,
  kind: "stem" | "head",
  resolution: number,
): FoldedConvolution => {
  const [conv, layer] = kind === "stem" ? ["stem.conv", "bn"] : ["head.expand", "expand_bn"]
  const { shape, data } = tensor(weights, conv)
  return fold(shape, data, batchNorm(weights, kind, layer, { kernel: 0, expand: 0, resolution }))
}
