/** The head: 1x1 expansion with batch norm and h_swish, global average pool, feature mix with h_swish, linear classifier. */
import type { SupernetSpec } from "../Spec.ts"
import type { Pointer } from "../kernels/Kernels.ts"
import { batchNormBackward, batchNormForward, type BatchNormTape } from "./BatchNormLayer.ts"
import {
  type Context,
  gradient,
  type Maps,
  multiply,
  parameter,
  pitches,
  rowsOf,
  transposed,
} from "./Context.ts"

export interface HeadTape {
  readonly input: Maps
  readonly norm: BatchNormTape
  readonly pooled: Pointer
  /** Before and after the mix's h_swish, [images, featureWidth]. */
  readonly mixed: Pointer
  readonly features: Float32Array
  /** [images, classes] */
  readonly logits: Float32Array
}

export const headForward = (context: Context, spec: SupernetSpec, input: Maps): HeadTape => {
  const { arena, kernels: k, images } = context
  const { headWidth, featureWidth } = spec
  const rows = rowsOf(context, input.size)
  const expand = transposed(
    context,
    parameter(context, "head.expand"),
    headWidth,
    input.channels,
    input.channels,
  )
  const x = multiply(context, input.data, expand, rows, input.channels, headWidth)
  const norm = batchNormForward(context, "head", "expand_bn", x, rows, headWidth, "h_swish")
  const pooled = arena.allocate(images * headWidth)
  const area = input.size * input.size
  const sizes = [images, input.size, input.size, headWidth, ...pitches(input.size, headWidth)]
  k.regionSum(norm.y, pooled, ...sizes, headWidth, 1 / area)
  const mix = transposed(context, parameter(context, "head.mix"), featureWidth, headWidth, headWidth)
  const mixed = multiply(context, pooled, mix, images, headWidth, featureWidth)
  const features = arena
    .view(mixed, images * featureWidth)
    .map((v) => (v * Math.min(6, Math.max(0, v + 3))) / 6)
  const logits = classify(context, spec, features)
  return { input, norm, pooled, mixed, features, logits }
}

const classify = (context: Context, spec: SupernetSpec, features: Float32Array): Float32Array => {
  const [classes, width] = [spec.classes.length, spec.featureWidth]
  const weights = context.arena.view(parameter(context, "head.classifier"), classes * width)
  const bias = context.arena.view(parameter(context, "head.classifier_bias"), classes)
  const logits = new Float32Array(context.images * classes)
  for (let n = 0; n < context.images; n++) {
    for (let c = 0; c < classes; c++) {
      let sum = bias[c]!
      for (let i = 0; i < width; i++) sum += features[n * width + i]! * weights[c * width + i]!
      logits[n * classes + c] = sum
    }
  }
  return logits
}

/** Gradient by the mix's output from the gradient by the logits; adds the classifier's own. */
const classifierBackward = (
  context: Context,
  spec: SupernetSpec,
  tape: HeadTape,
  dLogits: Float32Array,
): Pointer => {
  const [classes, width] = [spec.classes.length, spec.featureWidth]
  const { arena, images } = context
  const out = arena.allocate(images * width)
  const dMixed = arena.view(out, images * width).fill(0)
  const weights = arena.view(parameter(context, "head.classifier"), classes * width)
  const dWeights = arena.view(gradient(context, "head.classifier"), classes * width)
  const dBias = arena.view(gradient(context, "head.classifier_bias"), classes)
  for (let n = 0; n < images; n++) {
    for (let c = 0; c < classes; c++) {
      const d = dLogits[n * classes + c]!
      dBias[c]! += d
      for (let i = 0; i < width; i++) {
        dMixed[n * width + i]! += d * weights[c * width + i]!
        dWeights[c * width + i]! += d * tape.features[n * width + i]!
      }
    }
  }
  const mixed = arena.view(tape.mixed, images * width)
  for (let i = 0; i < mixed.length; i++) {
    const v = mixed[i]!
    dMixed[i]! *= v >= 3 ? 1 : v > -3 ? v / 3 + 0.5 : 0
  }
  return out
}

/** Adds the head's gradients and writes the gradient by its input to `dx`. */
export const headBackward = (
  context: Context,
  spec: SupernetSpec,
  tape: HeadTape,
  dLogits: Float32Array,
  dx: Pointer,
): void => {
  const { arena, kernels: k, images } = context
  const { headWidth, featureWidth } = spec
  const { size, channels } = tape.input
  const dMixed = classifierBackward(context, spec, tape, dLogits)
  const dMix = arena.allocate(featureWidth * headWidth)
  k.transposedProduct(dMixed, tape.pooled, dMix, images, featureWidth, headWidth)
  k.addTo(dMix, gradient(context, "head.mix"), featureWidth * headWidth)
  const dPooled = multiply(context, dMixed, parameter(context, "head.mix"), images, featureWidth, headWidth)
  const scale = 1 / (size * size)
  const values = arena.view(dPooled, images * headWidth)
  for (let i = 0; i < values.length; i++) values[i]! *= scale
  const rows = rowsOf(context, size)
  const dExpanded = arena.allocate(rows * headWidth)
  k.regionFill(dPooled, dExpanded, images, size, size, headWidth, ...pitches(size, headWidth), headWidth)
  batchNormBackward(context, tape.norm, dExpanded, dExpanded)
  const d = arena.allocate(headWidth * channels)
  k.transposedProduct(dExpanded, tape.input.data, d, rows, headWidth, channels)
  k.addTo(d, gradient(context, "head.expand"), headWidth * channels)
  k.product(dExpanded, parameter(context, "head.expand"), dx, rows, headWidth, channels)
}
