/**
 * One mobile inverted bottleneck (Sandler et al. 2018) at a chosen kernel and expand, on the tiles of its grid, forward and
 * backward by hand. Only the depthwise convolution and squeeze-excite see tiles; all else works on whole maps, because
 * tiling does not change it. So FDSP costs next to nothing in training.
 */
import type { BlockGeometry } from "../Partition.ts"
import { regionHeight, regionWidth } from "../Partition.ts"
import type { ActiveBlock } from "../Submodel.ts"
import { hiddenChannels, type SupernetSpec } from "../Spec.ts"
import type { Bits } from "../Strategy.ts"
import type { Pointer } from "../kernels/Kernels.ts"
import { batchNormBackward, batchNormForward, type BatchNormTape } from "./BatchNormLayer.ts"
import {
  type Context,
  countOf,
  gradient,
  type Maps,
  multiply,
  packed,
  parameter,
  pitches,
  regionStart,
  rowsOf,
  scratch,
  transposed,
} from "./Context.ts"
import { depthwiseBackward, depthwiseForward, type DepthwiseTape, kernelChain } from "./DepthwiseLayer.ts"
import { squeezeExciteBackward, squeezeExciteForward, type SqueezeExciteTape } from "./SqueezeExciteLayer.ts"

export interface BlockPlanInput {
  readonly name: string
  readonly block: ActiveBlock
  readonly geometry: BlockGeometry
  readonly bits: Bits
}

export interface MbConvTape {
  readonly name: string
  readonly block: ActiveBlock
  readonly input: Maps
  readonly output: Maps
  readonly hidden: number
  readonly storedHidden: number
  readonly expand: BatchNormTape | undefined
  readonly depthwise: DepthwiseTape
  readonly depthwiseNorm: BatchNormTape
  readonly squeezeExcite: SqueezeExciteTape | undefined
  readonly projectInput: Pointer
  readonly project: BatchNormTape
}

/** The input as the block would receive it over the bus: each tile rounded to its bits. Straight-through in the gradient. */
const received = (context: Context, input: Maps, geometry: BlockGeometry, bits: Bits): Maps => {
  if (bits === 32) return input
  const { arena, kernels: k } = context
  const { size, channels } = input
  const y = arena.allocate(countOf(context, input))
  if (bits === 16) k.roundToHalf(input.data, y, countOf(context, input))
  else {
    for (const tile of geometry.inputTiles) {
      const [from, to] = [input.data, y].map((p) => regionStart(p, tile, size, channels)) as [number, number]
      const sizes = [context.images, regionHeight(tile), regionWidth(tile), channels]
      k.regionFakeQuantize(from, to, ...sizes, ...pitches(size, channels))
    }
  }
  return { ...input, data: y }
}

const storedHiddenOf = (spec: SupernetSpec, block: ActiveBlock): number =>
  block.kind === "first"
    ? block.inChannels
    : hiddenChannels(spec, block.inChannels, Math.max(...spec.expands))

export const mbConvForward = (
  context: Context,
  spec: SupernetSpec,
  plan: BlockPlanInput,
  wholeInput: Maps,
): MbConvTape => {
  const { name, block, geometry } = plan
  const input = received(context, wholeInput, geometry, plan.bits)
  const storedHidden = storedHiddenOf(spec, block)
  const hidden =
    block.kind === "first" ? block.inChannels : hiddenChannels(spec, block.inChannels, block.expand)
  const rows = rowsOf(context, input.size)
  const norm = (layer: string, x: Pointer, r: number, c: number, last: boolean, residual?: Pointer) =>
    batchNormForward(context, name, layer, x, r, c, last ? "none" : block.activation, residual)
  let expand: BatchNormTape | undefined
  if (block.kind !== "first") {
    const weights = transposed(
      context,
      parameter(context, `${name}.expand`),
      hidden,
      input.channels,
      input.channels,
    )
    const x = multiply(context, input.data, weights, rows, input.channels, hidden)
    expand = norm("expand_bn", x, rows, hidden, false)
  }
  const maxKernel = block.kind === "first" ? 3 : Math.max(...spec.kernels)
  const chain = kernelChain(context, name, maxKernel, block.kernel, hidden)
  const expanded = { data: expand?.y ?? input.data, size: input.size, channels: hidden }
  const depthwise = depthwiseForward(context, chain, expanded, block.stride, geometry)
  const { size } = depthwise.output
  const outRows = rowsOf(context, size)
  const depthwiseNorm = norm("dw_bn", depthwise.output.data, outRows, hidden, false)
  const activated = { data: depthwiseNorm.y, size, channels: hidden }
  const squeezeExcite = block.squeezeExcite
    ? squeezeExciteForward(context, name, activated, geometry, storedHidden)
    : undefined
  const projectInput = squeezeExcite?.output.data ?? depthwiseNorm.y
  const weights = transposed(
    context,
    parameter(context, `${name}.project`),
    block.outChannels,
    hidden,
    storedHidden,
  )
  const projected = multiply(context, projectInput, weights, outRows, hidden, block.outChannels)
  const residual = block.residual ? input.data : undefined
  const project = norm("project_bn", projected, outRows, block.outChannels, true, residual)
  const output = { data: project.y, size, channels: block.outChannels }
  return {
    name,
    block,
    input,
    output,
    hidden,
    storedHidden,
    expand,
    depthwise,
    depthwiseNorm,
    squeezeExcite,
    projectInput,
    project,
  }
}

/** Adds the block's gradients and writes the gradient by its input to `dx` (not `dy`). */
export const mbConvBackward = (context: Context, tape: MbConvTape, dy: Pointer, dx: Pointer): void => {
  const { arena, kernels: k } = context
  const { name, block, input, output, hidden, storedHidden } = tape
  const outRows = rowsOf(context, output.size)
  const dProjected = arena.allocate(outRows * output.channels)
  batchNormBackward(context, tape.project, dy, dProjected)
  scratch(context, () => {
    const d = arena.allocate(output.channels * hidden)
    k.transposedProduct(dProjected, tape.projectInput, d, outRows, output.channels, hidden)
    k.addRows(d, gradient(context, `${name}.project`), output.channels, hidden, hidden, storedHidden)
  })
  const project = packed(
    context,
    parameter(context, `${name}.project`),
    output.channels,
    hidden,
    storedHidden,
  )
  const dHidden = multiply(context, dProjected, project, outRows, output.channels, hidden)
  if (tape.squeezeExcite !== undefined) squeezeExciteBackward(context, tape.squeezeExcite, dHidden)
  batchNormBackward(context, tape.depthwiseNorm, dHidden, dHidden)
  const dExpanded = depthwiseBackward(context, tape.depthwise, dHidden)
  const rows = rowsOf(context, input.size)
  if (tape.expand === undefined) {
    k.copyRows(dExpanded, dx, 1, rows * hidden, rows * hidden, rows * hidden)
  } else {
    batchNormBackward(context, tape.expand, dExpanded, dExpanded)
    scratch(context, () => {
      const d = arena.allocate(hidden * input.channels)
      k.transposedProduct(dExpanded, input.data, d, rows, hidden, input.channels)
      k.addRows(
        d,
        gradient(context, `${name}.expand`),
        hidden,
        input.channels,
        input.channels,
        input.channels,
      )
    })
    k.product(dExpanded, parameter(context, `${name}.expand`), dx, rows, hidden, input.channels)
  }
  if (block.residual) k.addTo(dy, dx, rows * input.channels)
}
