/**
 * The specialised networks that the OFA authors published: accuracy and MACs from their README, architecture from each
 * one's `net.config`. The resolution stands in neither; it is the one at which the architecture has the published MACs.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { addOps, convOps, depthwiseOps, linearOps, totalMacs } from "../Cost.ts"
import { makeDivisible, ofaMobileNetV3, squeezeChannels, type SupernetSpec } from "../Spec.ts"
import { normalizeSubmodel, type Submodel } from "../Submodel.ts"

/** Millions of MACs by network: README of mit-han-lab/once-for-all, table "OFA Specialized Sub-nets". */
const publishedMacsM: Readonly<Record<string, number>> = {
  "flops-595M": 595,
  "flops-482M": 482,
  "flops-389M": 389,
  "LG-G8_lat-24ms": 230,
  "LG-G8_lat-16ms": 151,
  "LG-G8_lat-11ms": 103,
  "LG-G8_lat-8ms": 74,
  "s7edge_lat-88ms": 219,
  "s7edge_lat-58ms": 145,
  "s7edge_lat-41ms": 96,
  "s7edge_lat-29ms": 66,
  "note8_lat-65ms": 220,
  "note8_lat-49ms": 164,
  "note8_lat-31ms": 101,
  "note8_lat-22ms": 67,
  "note10_lat-64ms": 743,
  "note10_lat-50ms": 554,
  "note10_lat-41ms": 457,
  "note10_lat-30ms": 339,
  "note10_lat-22ms": 237,
  "note10_lat-16ms": 163,
  "note10_lat-11ms": 110,
  "note10_lat-8ms": 79,
  "pixel1_lat-143ms": 642,
  "pixel1_lat-132ms": 593,
  "pixel1_lat-79ms": 356,
  "pixel1_lat-58ms": 230,
  "pixel1_lat-40ms": 162,
  "pixel1_lat-28ms": 109,
  "pixel1_lat-20ms": 77,
  "pixel2_lat-62ms": 208,
  "pixel2_lat-50ms": 166,
  "pixel2_lat-35ms": 113,
  "pixel2_lat-25ms": 79,
}

const Convolution = Schema.Struct({
  out_channels: Schema.Int,
  kernel_size: Schema.Int,
  expand_ratio: Schema.Int,
})
const NetConfig = Schema.Struct({
  first_conv: Schema.Struct({ out_channels: Schema.Int }),
  blocks: Schema.Array(Schema.Struct({ mobile_inverted_conv: Schema.NullOr(Convolution) })),
})
const decodeConfig = Schema.decodeUnknownSync(NetConfig)

export interface PublishedSubnet {
  readonly name: string
  readonly spec: SupernetSpec
  readonly submodel: Submodel
  /** ImageNet validation top-1, 0..1. */
  readonly top1: number
  /** Epochs of fine-tuning after it was taken from the supernet. */
  readonly fineTuned: number
  readonly publishedMacsM: number
  /** Our own count at the resolution that fits best. */
  readonly macsM: number
}

const specOf = (widthMultiplier: number): SupernetSpec =>
  ofaMobileNetV3({
    name: `ofa-mbv3-w${widthMultiplier.toFixed(1)}`,
    version: "1",
    widthMultiplier,
    classes: Array.from({ length: 1000 }, (_, i) => String(i)),
  })

/** MACs at any resolution: unlike in a supernet that is cut into tiles, odd map sides are rounded up here. */
export const macsAt = (spec: SupernetSpec, submodel: Submodel, resolution: number): number => {
  let size = Math.ceil(resolution / 2)
  let ops = convOps(3, spec.stemWidth, 3, size * size)
  ops = addOps(ops, depthwiseOps(spec.stemWidth, 3, size * size))
  ops = addOps(ops, convOps(spec.stemWidth, spec.firstWidth, 1, size * size))
  let inputs = spec.firstWidth
  for (const [stage, s] of spec.stages.entries()) {
    for (let place = 0; place < (submodel.depths[stage] ?? 0); place++) {
      const i = stage * spec.maxDepth + place
      const hidden = makeDivisible(Math.round(inputs * (submodel.expands[i] ?? 0)))
      const outSize = Math.ceil(size / (place === 0 ? s.stride : 1))
      ops = addOps(ops, convOps(inputs, hidden, 1, size * size))
      ops = addOps(ops, depthwiseOps(hidden, submodel.kernels[i] ?? 0, outSize * outSize))
      ops = addOps(ops, convOps(hidden, s.width, 1, outSize * outSize))
      if (s.squeezeExcite) ops = addOps(ops, linearOps(hidden, 2 * squeezeChannels(hidden)))
      inputs = s.width
      size = outSize
    }
  }
  ops = addOps(ops, convOps(inputs, spec.headWidth, 1, size * size))
  ops = addOps(ops, linearOps(spec.headWidth, spec.featureWidth))
  return totalMacs(addOps(ops, linearOps(spec.featureWidth, spec.classes.length)))
}

const submodelOf = (spec: SupernetSpec, config: typeof NetConfig.Type): Submodel => {
  const depths = spec.stages.map(() => 0)
  const n = spec.stages.length * spec.maxDepth
  const [kernels, expands] = [new Array<number>(n).fill(0), new Array<number>(n).fill(0)]
  for (const { mobile_inverted_conv: conv } of config.blocks.slice(1)) {
    if (conv === null) continue
    const stage = spec.stages.findIndex((s) => s.width === conv.out_channels)
    const i = stage * spec.maxDepth + (depths[stage] ?? 0)
    depths[stage] = (depths[stage] ?? 0) + 1
    kernels[i] = conv.kernel_size
    expands[i] = conv.expand_ratio
  }
  return normalizeSubmodel(spec, { resolution: 0, depths, kernels, expands })
}

/** All published MobileNetV3 networks under `<folder>/ofa_specialized`. */
export const readPublishedSubnets = (folder: string): ReadonlyArray<PublishedSubnet> =>
  readdirSync(join(folder, "ofa_specialized")).flatMap((directory) => {
    const [, name = "", percent = "", epochs = ""] =
      /^(.+)_top1-([\d.]+)_finetune-(\d+)$/.exec(directory) ?? []
    const wanted = publishedMacsM[name]
    // The others are ProxylessNAS networks, another space.
    if (wanted === undefined) return []
    const text = readFileSync(join(folder, "ofa_specialized", directory, "net.config"), "utf8")
    const config = decodeConfig(JSON.parse(text))
    const spec = specOf(config.first_conv.out_channels === 16 ? 1 : 1.2)
    const shape = submodelOf(spec, config)
    const fits = Array.from({ length: 36 }, (_, i) => {
      const resolution = 120 + 4 * i
      return { resolution, macsM: macsAt(spec, shape, resolution) / 1e6 }
    }).sort((a, b) => Math.abs(a.macsM - wanted) - Math.abs(b.macsM - wanted))
    const best = fits[0] ?? { resolution: 0, macsM: 0 }
    return [
      {
        name,
        spec,
        submodel: { ...shape, resolution: best.resolution },
        top1: Number(percent) / 100,
        fineTuned: Number(epochs),
        publishedMacsM: wanted,
        macsM: best.macsM,
      },
    ]
  })
