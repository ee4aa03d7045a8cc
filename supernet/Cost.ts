/**
 * What one block costs on a region: multiply-accumulates by operator class, parameters, values moved.
 * Pure arithmetic over the layer table, so device profiles, the latency model and reports agree on the amount of work
 * and only differ in how fast a device does it. Uniform submodels reproduce Once-for-All's published MAC counts.
 */
import { regionHeight, regionWidth } from "./Partition.ts"
import { hiddenChannels, squeezeChannels, type SupernetSpec } from "./Spec.ts"
import { type ActiveBlock, activeBlocks, type Submodel } from "./Submodel.ts"
import type { Task, TaskGraph } from "./TaskGraph.ts"

/**
 * Work by operator class. The classes are those whose speed differs on real devices: a dense 3x3 convolution reaches
 * several times the MAC/s of a 1x1, which reaches several times that of a depthwise one.
 */
export interface OpCounts {
  /** MACs of dense k > 1 convolutions (the stem). */
  readonly dense: number
  /** MACs of 1x1 convolutions on maps. */
  readonly pointwise: number
  readonly depthwise3: number
  readonly depthwise5: number
  readonly depthwise7: number
  /** MACs of matrix-vector products: squeeze-excite layers, feature mix, classifier. Bound by reading the weights. */
  readonly linear: number
  /** Values touched by pooling, squeeze-excite scaling and residual addition. */
  readonly elementwise: number
  /** Values written by all convolutions. */
  readonly activations: number
  /** Weights and biases (batch norm folded). */
  readonly parameters: number
  /** Operators a runtime launches (activations are fused into their convolution). */
  readonly layers: number
}

export const noOps: OpCounts = {
  dense: 0,
  pointwise: 0,
  depthwise3: 0,
  depthwise5: 0,
  depthwise7: 0,
  linear: 0,
  elementwise: 0,
  activations: 0,
  parameters: 0,
  layers: 0,
}

export const addOps = (a: OpCounts, b: OpCounts): OpCounts => ({
  dense: a.dense + b.dense,
  pointwise: a.pointwise + b.pointwise,
  depthwise3: a.depthwise3 + b.depthwise3,
  depthwise5: a.depthwise5 + b.depthwise5,
  depthwise7: a.depthwise7 + b.depthwise7,
  linear: a.linear + b.linear,
  elementwise: a.elementwise + b.elementwise,
  activations: a.activations + b.activations,
  parameters: a.parameters + b.parameters,
  layers: a.layers + b.layers,
})

export const totalMacs = (ops: OpCounts): number =>
  ops.dense + ops.pointwise + ops.depthwise3 + ops.depthwise5 + ops.depthwise7 + ops.linear

/** A k x k convolution of `groups` 1 from `inC` to `outC` channels, written to `outPixels` pixels. */
export const convOps = (inC: number, outC: number, kernel: number, outPixels: number): OpCounts => {
  const macs = outPixels * inC * outC * kernel * kernel
  return {
    ...noOps,
    dense: kernel > 1 ? macs : 0,
    pointwise: kernel > 1 ? 0 : macs,
    activations: outPixels * outC,
    parameters: inC * outC * kernel * kernel + outC,
    layers: 1,
  }
}

/** A depthwise k x k convolution. Kernels other than 3 and 5 count as 7. */
export const depthwiseOps = (channels: number, kernel: number, outPixels: number): OpCounts => {
  const macs = outPixels * channels * kernel * kernel
  return {
    ...noOps,
    depthwise3: kernel === 3 ? macs : 0,
    depthwise5: kernel === 5 ? macs : 0,
    depthwise7: kernel === 3 || kernel === 5 ? 0 : macs,
    activations: outPixels * channels,
    parameters: channels * kernel * kernel + channels,
    layers: 1,
  }
}

/** A fully connected layer on one vector. */
export const linearOps = (inC: number, outC: number, bias = true): OpCounts => ({
  ...noOps,
  linear: inC * outC,
  parameters: inC * outC + (bias ? outC : 0),
  layers: 1,
})

/** An operator that reads `values` numbers and computes next to nothing. */
export const elementwiseOps = (values: number): OpCounts => ({ ...noOps, elementwise: values, layers: 1 })

const squeezeExciteOps = (channels: number, pixels: number): OpCounts => {
  const squeezed = squeezeChannels(channels)
  return [
    elementwiseOps(channels * pixels),
    linearOps(channels, squeezed),
    linearOps(squeezed, channels),
    elementwiseOps(channels * pixels),
  ].reduce(addOps)
}

const mbconvOps = (spec: SupernetSpec, block: ActiveBlock, inputPixels: number): OpCounts => {
  const outPixels = inputPixels / (block.stride * block.stride)
  const hidden =
    block.kind === "first" ? block.inChannels : hiddenChannels(spec, block.inChannels, block.expand)
  const parts = [
    depthwiseOps(hidden, block.kernel, outPixels),
    convOps(hidden, block.outChannels, 1, outPixels),
  ]
  if (block.kind === "dynamic") parts.push(convOps(block.inChannels, hidden, 1, inputPixels))
  if (block.squeezeExcite) parts.push(squeezeExciteOps(hidden, outPixels))
  if (block.residual) parts.push(elementwiseOps(outPixels * block.outChannels))
  return parts.reduce(addOps)
}

/** Work of one active block whose input region is `height` x `width` pixels (multiples of the block's stride). */
export const blockOps = (spec: SupernetSpec, block: ActiveBlock, height: number, width: number): OpCounts => {
  const pixels = height * width
  if (block.kind === "stem") {
    return convOps(block.inChannels, block.outChannels, 3, pixels / (block.stride * block.stride))
  }
  if (block.kind !== "head") return mbconvOps(spec, block, pixels)
  return [
    convOps(block.inChannels, spec.headWidth, 1, pixels),
    elementwiseOps(pixels * spec.headWidth),
    linearOps(spec.headWidth, spec.featureWidth, false),
    linearOps(spec.featureWidth, block.outChannels),
  ].reduce(addOps)
}

/** Work of a whole submodel on one device, uncut. */
export const submodelOps = (spec: SupernetSpec, submodel: Submodel): OpCounts => {
  let size = submodel.resolution
  let total = noOps
  for (const block of activeBlocks(spec, submodel)) {
    total = addOps(total, blockOps(spec, block, size, size))
    size /= block.stride
  }
  return total
}

/** Input region of a task's tile at one of its blocks (`position` in `TaskGraph.blocks`), as [height, width]. */
export const taskTile = (graph: TaskGraph, task: Task, position: number): readonly [number, number] => {
  const region = graph.geometry[position]?.inputTiles[task.tile]
  if (region === undefined) throw new RangeError(`task ${task.index} has no tile at block ${position}`)
  return [regionHeight(region), regionWidth(region)]
}
