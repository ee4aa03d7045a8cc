/**
 * The shape of a supernet: OFA-MobileNetV3 with a width multiplier, a class count and a resolution list.
 * Layer table after Cai et al., "Once-for-All" (ICLR 2020), `ofa_mbv3.py`; see docs/guide for the picture.
 *
 * A supernet is a list of *blocks*, the smallest unit that is placed on a device:
 *   0         stem     3x3 stride 2 convolution, h_swish
 *   1         first    MBConv k3 e1, residual
 *   2 .. n-2  dynamic  MBConv with elastic kernel and expand; 5 stages of up to 4 blocks, elastic depth
 *   n-1       head     1x1 expand, global average pool, 1x1 feature mix, linear classifier
 */
import type { SupernetSpec } from "./Schemas.ts"

export type { SupernetSpec }

export type Activation = "relu" | "h_swish"

/** OFA's rounding of channel counts: to a multiple of 8, never below 90 % of the wanted count. */
export const makeDivisible = (channels: number, divisor = 8): number => {
  const rounded = Math.max(divisor, Math.floor((channels + divisor / 2) / divisor) * divisor)
  return rounded < 0.9 * channels ? rounded + divisor : rounded
}

/** Rounding to a multiple of 4, for narrow supernets: half of 24 stays 12. The SIMD kernels need multiples of 4. */
const makeDivisibleBy4 = (channels: number): number => Math.max(4, Math.round(channels / 4) * 4)

export interface SpecOptions {
  readonly name: string
  readonly version: string
  readonly widthMultiplier: number
  readonly classes: ReadonlyArray<string>
  readonly trained?: boolean
  readonly resolutions?: ReadonlyArray<number>
}

const imagenetMean = [123.675, 116.28, 103.53]
const imagenetStd = [58.395, 57.12, 57.375]

/** OFA-MBv3 scaled by a width multiplier (1.0 = the published table). */
export const ofaMobileNetV3 = (options: SpecOptions): SupernetSpec => {
  const scale = (channels: number) =>
    options.widthMultiplier >= 1
      ? makeDivisible(channels * options.widthMultiplier)
      : makeDivisibleBy4(channels * options.widthMultiplier)
  const stage = (width: number, stride: 1 | 2, activation: Activation, squeezeExcite: boolean) => ({
    width: scale(width),
    stride,
    activation,
    squeezeExcite,
  })
  return {
    name: options.name,
    version: options.version,
    trained: options.trained ?? false,
    widthMultiplier: options.widthMultiplier,
    stemWidth: scale(16),
    firstWidth: scale(16),
    stages: [
      stage(24, 2, "relu", false),
      stage(40, 2, "relu", true),
      stage(80, 2, "h_swish", false),
      stage(112, 1, "h_swish", true),
      stage(160, 2, "h_swish", true),
    ],
    maxDepth: 4,
    depths: [2, 3, 4],
    kernels: [3, 5, 7],
    expands: [3, 4, 6],
    resolutions: options.resolutions ?? [96, 128, 160, 192, 224],
    headWidth: scale(960),
    featureWidth: scale(1280),
    classes: options.classes,
    mean: imagenetMean,
    std: imagenetStd,
  }
}

export type BlockKind = "stem" | "first" | "dynamic" | "head"

/** What is fixed about one block of the supernet, whatever submodel is chosen. */
export interface BlockSpec {
  /** Position in the supernet, 0 = stem. */
  readonly index: number
  readonly kind: BlockKind
  /** Stage 0..4 of a dynamic block and its place in the stage; -1 for the others. */
  readonly stage: number
  readonly place: number
  readonly inChannels: number
  readonly outChannels: number
  readonly stride: 1 | 2
  readonly activation: Activation
  readonly squeezeExcite: boolean
  /** Output added to the input. */
  readonly residual: boolean
}

/** Hidden channels of an MBConv at an expand ratio. Narrow supernets need no rounding: their widths divide by 4. */
export const hiddenChannels = (spec: SupernetSpec, inChannels: number, expand: number): number =>
  spec.widthMultiplier >= 1 ? makeDivisible(Math.round(inChannels * expand)) : inChannels * expand

/** Channels between the two layers of squeeze-excite. */
export const squeezeChannels = (hidden: number): number => makeDivisible(Math.floor(hidden / 4))

const block = (
  fields: Partial<BlockSpec> & Pick<BlockSpec, "index" | "kind" | "inChannels" | "outChannels">,
): BlockSpec => ({
  stage: -1,
  place: -1,
  stride: 1,
  activation: "h_swish",
  squeezeExcite: false,
  residual: false,
  ...fields,
})

const blocksBySpec = new WeakMap<SupernetSpec, ReadonlyArray<BlockSpec>>()

/** All blocks of the supernet at full depth, stem first, head last. */
export const blocksOf = (spec: SupernetSpec): ReadonlyArray<BlockSpec> => {
  const known = blocksBySpec.get(spec)
  if (known !== undefined) return known
  const made = makeBlocks(spec)
  blocksBySpec.set(spec, made)
  return made
}

const makeBlocks = (spec: SupernetSpec): ReadonlyArray<BlockSpec> => {
  const { stemWidth, firstWidth } = spec
  const blocks: Array<BlockSpec> = [
    block({ index: 0, kind: "stem", inChannels: 3, outChannels: stemWidth, stride: 2 }),
    block({
      index: 1,
      kind: "first",
      inChannels: stemWidth,
      outChannels: firstWidth,
      activation: "relu",
      residual: stemWidth === firstWidth,
    }),
  ]
  let inChannels = firstWidth
  for (const [stage, s] of spec.stages.entries()) {
    for (let place = 0; place < spec.maxDepth; place++) {
      const stride = place === 0 ? s.stride : 1
      blocks.push(
        block({
          index: blocks.length,
          kind: "dynamic",
          stage,
          place,
          inChannels,
          outChannels: s.width,
          stride,
          activation: s.activation,
          squeezeExcite: s.squeezeExcite,
          residual: stride === 1 && inChannels === s.width,
        }),
      )
      inChannels = s.width
    }
  }
  blocks.push(block({ index: blocks.length, kind: "head", inChannels, outChannels: spec.classes.length }))
  return blocks
}

/** Number of dynamic blocks at full depth: the length of a submodel's `kernels` and `expands`. */
export const dynamicBlocks = (spec: SupernetSpec): number => spec.stages.length * spec.maxDepth
