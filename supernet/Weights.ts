/**
 * The weights of a supernet by name, in PyTorch layouts (OIHW convolutions, [out, in] matrices).
 *
 *   stem.conv, stem.bn.*        first.dw, first.dw_bn.*, first.project, first.project_bn.*
 *   blocks.i.expand, .dw (7x7), .to5 [25,25], .to3 [9,9], .se.{reduce,expand}[_bias], .project, .{expand,dw,project}_bn.*
 *   head.expand, head.expand_bn.*, head.mix, head.classifier, head.classifier_bias       i = dynamic block 0 ..
 *
 * Every `*_bn` is gamma, beta, mean, var. A submodel chosen at run time cannot have its batch-norm statistics
 * recalibrated on the spot (as OFA does before each evaluation), so an artifact also carries statistics measured per block
 * variant, `blocks.i.stats.k5e4r160.dw_bn.mean`; see `batchNorm` for the look-up.
 */
import { hiddenChannels, squeezeChannels, type SupernetSpec, blocksOf } from "./Spec.ts"
import { normal, seededRandom } from "./Random.ts"

export interface Tensor {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

export type Weights = ReadonlyMap<string, Tensor>

export const batchNormEpsilon = 1e-5

const product = (shape: ReadonlyArray<number>): number => shape.reduce((a, b) => a * b, 1)

/** Shape of every tensor that a supernet of this spec must have. Statistics per block variant are optional extras. */
export const weightShapes = (spec: SupernetSpec): ReadonlyMap<string, ReadonlyArray<number>> => {
  const shapes = new Map<string, ReadonlyArray<number>>()
  const norm = (name: string, channels: number) => {
    for (const part of ["gamma", "beta", "mean", "var"]) shapes.set(`${name}.${part}`, [channels])
  }
  const { stemWidth, firstWidth, headWidth, featureWidth } = spec
  shapes.set("stem.conv", [stemWidth, 3, 3, 3])
  norm("stem.bn", stemWidth)
  shapes.set("first.dw", [stemWidth, 1, 3, 3])
  norm("first.dw_bn", stemWidth)
  shapes.set("first.project", [firstWidth, stemWidth, 1, 1])
  norm("first.project_bn", firstWidth)
  const maxKernel = Math.max(...spec.kernels)
  for (const b of blocksOf(spec)) {
    if (b.kind !== "dynamic") continue
    const name = blockName(spec, b)
    const hidden = hiddenChannels(spec, b.inChannels, Math.max(...spec.expands))
    shapes.set(`${name}.expand`, [hidden, b.inChannels, 1, 1])
    norm(`${name}.expand_bn`, hidden)
    shapes.set(`${name}.dw`, [hidden, 1, maxKernel, maxKernel])
    shapes.set(`${name}.to5`, [25, 25])
    shapes.set(`${name}.to3`, [9, 9])
    norm(`${name}.dw_bn`, hidden)
    if (b.squeezeExcite) {
      const squeezed = squeezeChannels(hidden)
      shapes.set(`${name}.se.reduce`, [squeezed, hidden])
      shapes.set(`${name}.se.reduce_bias`, [squeezed])
      shapes.set(`${name}.se.expand`, [hidden, squeezed])
      shapes.set(`${name}.se.expand_bias`, [hidden])
    }
    shapes.set(`${name}.project`, [b.outChannels, hidden, 1, 1])
    norm(`${name}.project_bn`, b.outChannels)
  }
  const last = spec.stages.at(-1)?.width ?? firstWidth
  shapes.set("head.expand", [headWidth, last, 1, 1])
  norm("head.expand_bn", headWidth)
  shapes.set("head.mix", [featureWidth, headWidth])
  shapes.set("head.classifier", [spec.classes.length, featureWidth])
  shapes.set("head.classifier_bias", [spec.classes.length])
  return shapes
}

/** Name prefix of a block's tensors: `stem`, `first`, `blocks.0` ..., `head`. */
export const blockName = (
  spec: SupernetSpec,
  block: { kind: string; stage: number; place: number },
): string => (block.kind === "dynamic" ? `blocks.${block.stage * spec.maxDepth + block.place}` : block.kind)

/** A tensor that must be there. Artifacts are checked against `weightShapes` when read, so a miss is a defect. */
export const tensor = (weights: Weights, name: string): Tensor => {
  const found = weights.get(name)
  if (found === undefined) throw new RangeError(`the supernet has no tensor ${name}`)
  return found
}

/** Which statistics apply: those of this kernel, expand and resolution, if measured. */
export interface StatisticsKey {
  readonly kernel: number
  readonly expand: number
  readonly resolution: number
}

export interface BatchNorm {
  readonly gamma: Float32Array
  readonly beta: Float32Array
  readonly mean: Float32Array
  readonly variance: Float32Array
}

/** Names under which the statistics of a block variant may stand, most specific first; the base name is the last resort. */
export const statisticsNames = (block: string, key: StatisticsKey): ReadonlyArray<string> => {
  const variant = block.startsWith("blocks.") ? `k${key.kernel}e${key.expand}` : ""
  return [
    `${block}.stats.${variant}r${key.resolution}`,
    ...(variant === "" ? [] : [`${block}.stats.${variant}`]),
    block,
  ]
}

/** Batch norm `layer` (`bn`, `expand_bn`, `dw_bn`, `project_bn`) of a block with the statistics that fit the variant best. */
export const batchNorm = (weights: Weights, block: string, layer: string, key: StatisticsKey): BatchNorm => {
  const owner = statisticsNames(block, key).find((name) => weights.has(`${name}.${layer}.mean`)) ?? block
  return {
    gamma: tensor(weights, `${block}.${layer}.gamma`).data,
    beta: tensor(weights, `${block}.${layer}.beta`).data,
    mean: tensor(weights, `${owner}.${layer}.mean`).data,
    variance: tensor(weights, `${owner}.${layer}.var`).data,
  }
}

const identity = (n: number): Float32Array =>
  Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0))

/** He-initialised weights (fan-out), identity kernel transforms, neutral batch norm. Untrained: for tests and first steps. */
export const randomWeights = (spec: SupernetSpec, seed: number): Map<string, Tensor> => {
  const random = seededRandom(seed)
  const weights = new Map<string, Tensor>()
  for (const [name, shape] of weightShapes(spec)) {
    const size = product(shape)
    const fill = (value: number) => new Float32Array(size).fill(value)
    const gaussian = (deviation: number) =>
      Float32Array.from({ length: size }, () => normal(random) * deviation)
    const data = () => {
      if (name.endsWith(".gamma") || name.endsWith(".var")) return fill(1)
      if (name.endsWith(".beta") || name.endsWith(".mean") || name.endsWith("_bias")) return fill(0)
      if (name.endsWith(".to5") || name.endsWith(".to3")) return identity(shape[0] ?? 0)
      if (shape.length === 2) return gaussian(Math.sqrt(1 / (shape[1] ?? 1)))
      const [out = 1, perGroup = 1, h = 1, w = 1] = shape
      const fanOut = perGroup === 1 && name.includes("dw") ? h * w : out * h * w
      return gaussian(Math.sqrt(2 / fanOut))
    }
    weights.set(name, { shape, data: data() })
  }
  return weights
}
