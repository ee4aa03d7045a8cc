/**
 * A once-for-all MobileNetV3 checkpoint (PyTorch state dict) as a supernet of ours: spec and weights.
 *
 * Widths, depth and classes are read off the tensors' shapes; what a state dict does not say (strides, activations, which
 * stages have squeeze-excite, the elastic choices) is OFA's definition. Every tensor is checked against the resulting spec
 * before anything is written, and the first one that differs is named.
 */
import { Effect, Schema } from "effect"
import { ofaMobileNetV3, type SupernetSpec } from "../Spec.ts"
import { type Tensor, type Weights, weightShapes } from "../Weights.ts"
import { canonicalKey, isIgnoredKey, ofaKeys } from "./OfaKeys.ts"
import type { StateDict } from "./TorchCheckpoint.ts"

export class NotAnOfaSupernet extends Schema.TaggedError<NotAnOfaSupernet>()("NotAnOfaSupernet", {
  /** First key that is missing, unknown or of the wrong shape, as the checkpoint writes it. */
  key: Schema.String,
  problem: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.key}: ${this.problem}; ${this.hint}`
  }
}

export interface ImportOptions {
  readonly name: string
  readonly version: string
  /** One per output of the classifier, in its order. */
  readonly classes: ReadonlyArray<string>
  readonly resolutions?: ReadonlyArray<number>
}

export interface ImportedSupernet {
  readonly spec: SupernetSpec
  readonly weights: Weights
}

/** Stages of OFA-MobileNetV3; the number of blocks in each is the checkpoint's number of dynamic blocks over this. */
const stageCount = 5

const refuse = (key: string, problem: string, hint: string): never => {
  throw new NotAnOfaSupernet({ key, problem, retryable: false, hint })
}

interface Found {
  readonly key: string
  readonly tensor: Tensor
}

const byCanonicalKey = (state: StateDict): ReadonlyMap<string, Found> => {
  const found = new Map<string, Found>()
  for (const [key, tensor] of state) {
    if (isIgnoredKey(key)) continue
    const canonical = canonicalKey(key)
    const other = found.get(canonical)
    if (other !== undefined) refuse(key, `means the same layer as ${other.key}`, "keep one of them")
    found.set(canonical, { key, tensor })
  }
  return found
}

const hintLayout = "an OFA-MobileNetV3 supernet was expected, as ofa_mbv3_d234_e346_k357"

const outputs = (found: ReadonlyMap<string, Found>, key: string): number =>
  found.get(key)?.tensor.shape[0] ?? refuse(key, "is missing", hintLayout)

/** The spec that the shapes of a checkpoint imply. */
const deduceSpec = (found: ReadonlyMap<string, Found>, options: ImportOptions): SupernetSpec => {
  const numbers = [...found.keys()].flatMap((k) => /^blocks\.(\d+)\./.exec(k)?.[1] ?? []).map(Number)
  const dynamic = Math.max(0, ...numbers)
  const depth = dynamic / stageCount
  if (depth < 1 || !Number.isInteger(depth))
    refuse(
      `blocks.${dynamic}`,
      `is the last block, but ${stageCount} equal stages follow block 0`,
      hintLayout,
    )
  const stageWidth = (stage: number) => outputs(found, `blocks.${stage * depth + 1}.point_linear.conv.weight`)
  const classes = outputs(found, "classifier.linear.weight")
  if (classes !== options.classes.length)
    refuse(
      "classifier.linear.weight",
      `has ${classes} classes, ${options.classes.length} names were given`,
      "give one name a line",
    )
  const published = ofaMobileNetV3({ ...options, widthMultiplier: 1, trained: true })
  const last = published.stages.at(-1)?.width ?? 1
  return {
    ...published,
    // The ratio of the last stage says it best: narrow layers are rounded most.
    widthMultiplier: Math.round((100 * stageWidth(stageCount - 1)) / last) / 100,
    stemWidth: outputs(found, "first_conv.conv.weight"),
    firstWidth: outputs(found, "blocks.0.point_linear.conv.weight"),
    stages: published.stages.map((s, i) => ({ ...s, width: stageWidth(i) })),
    maxDepth: depth,
    depths: published.depths.filter((d) => d <= depth),
    headWidth: outputs(found, "final_expand_layer.conv.weight"),
    featureWidth: outputs(found, "feature_mix_layer.conv.weight"),
  }
}

const identity = (n: number): Tensor => ({
  shape: [n, n],
  data: Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
})

/** OFA writes 1x1 convolutions over pooled maps as [O, I, 1, 1]; ours are matrices. */
const withoutUnitAxes = (shape: ReadonlyArray<number>, rank: number): ReadonlyArray<number> =>
  shape.length === 4 && rank === 2 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape

const hintShape = (ours: string, shape: ReadonlyArray<number>): string =>
  ours.endsWith(".dw") && (shape[2] ?? 7) < 7
    ? "this looks like a specialised subnet; the supernet keeps 7x7 kernels"
    : hintLayout

const convert = (state: StateDict, options: ImportOptions): ImportedSupernet => {
  const found = byCanonicalKey(state)
  const spec = deduceSpec(found, options)
  const shapes = weightShapes(spec)
  const used = new Set<string>()
  const weights = new Map<string, Tensor>()
  for (const { ours, ofa, optional } of ofaKeys(spec)) {
    const wanted = shapes.get(ours) ?? refuse(ofa, "has no counterpart", hintLayout)
    const source = found.get(ofa)
    used.add(ofa)
    if (source === undefined) {
      if (optional !== true) return refuse(ofa, "is missing", hintLayout)
      weights.set(ours, identity(wanted[0] ?? 1))
      continue
    }
    const shape = withoutUnitAxes(source.tensor.shape, wanted.length)
    if (shape.join() !== wanted.join())
      refuse(
        source.key,
        `has shape [${shape.join(", ")}], [${wanted.join(", ")}] was expected`,
        hintShape(ours, shape),
      )
    if (!source.tensor.data.every(Number.isFinite))
      refuse(source.key, "has values that are not finite", "train it again")
    weights.set(ours, { shape: wanted, data: source.tensor.data })
  }
  for (const [canonical, { key }] of found) {
    if (!used.has(canonical)) refuse(key, "is not a layer of OFA-MobileNetV3", hintLayout)
  }
  return { spec, weights }
}

/** Spec and weights of a checkpoint; fails with the first key that does not fit. */
export const importOfa = (
  state: StateDict,
  options: ImportOptions,
): Effect.Effect<ImportedSupernet, NotAnOfaSupernet> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(convert(state, options))
    } catch (error) {
      return error instanceof NotAnOfaSupernet ? Effect.fail(error) : Effect.die(error)
    }
  })
