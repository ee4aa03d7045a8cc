/**
 * A submodel is plain data: which of the supernet's blocks run, with which kernel and expand, on which resolution.
 * A request carries it as a value; no shared network is ever switched.
 */
import { type BlockSpec, blocksOf, dynamicBlocks, type SupernetSpec } from "./Spec.ts"
import { pick, type Random } from "./Random.ts"
import type { Submodel } from "./Schemas.ts"

export type { Submodel }

/** A block as one submodel runs it. */
export interface ActiveBlock extends BlockSpec {
  readonly kernel: number
  readonly expand: number
}

const isActive = (spec: SupernetSpec, submodel: Submodel, dynamicIndex: number): boolean =>
  dynamicIndex % spec.maxDepth < (submodel.depths[Math.floor(dynamicIndex / spec.maxDepth)] ?? 0)

/** The same submodel with zeros for blocks that do not run: equal submodels become equal data. */
export const normalizeSubmodel = (spec: SupernetSpec, submodel: Submodel): Submodel => {
  const masked = (values: ReadonlyArray<number>) =>
    values.map((v, i) => (isActive(spec, submodel, i) ? v : 0))
  return { ...submodel, kernels: masked(submodel.kernels), expands: masked(submodel.expands) }
}

/** A block has few variants, and hundreds of task graphs that are kept name the same ones. */
const variants = new WeakMap<BlockSpec, Map<string, ActiveBlock>>()
/** Beyond so many somebody asks for what the supernet does not have; no error here, but nothing to keep either. */
const mostVariants = 64

const variantOf = (block: BlockSpec, kernel: number, expand: number): ActiveBlock => {
  const known = variants.get(block) ?? new Map<string, ActiveBlock>()
  variants.set(block, known)
  const key = `${kernel} ${expand}`
  const variant = known.get(key) ?? { ...block, kernel, expand }
  if (known.size < mostVariants) known.set(key, variant)
  return variant
}

/** The blocks that run, in order: stem, first, dynamic blocks, head. */
export const activeBlocks = (spec: SupernetSpec, submodel: Submodel): ReadonlyArray<ActiveBlock> =>
  blocksOf(spec).flatMap((b): ReadonlyArray<ActiveBlock> => {
    if (b.kind === "stem" || b.kind === "first") return [variantOf(b, 3, 1)]
    if (b.kind === "head") return [variantOf(b, 1, 1)]
    const i = b.stage * spec.maxDepth + b.place
    if (!isActive(spec, submodel, i)) return []
    return [variantOf(b, submodel.kernels[i] ?? 0, submodel.expands[i] ?? 0)]
  })

/** The same depth in every stage, the same kernel and expand in every block. */
export const uniformSubmodel = (
  spec: SupernetSpec,
  resolution: number,
  depth: number,
  kernel: number,
  expand: number,
): Submodel =>
  normalizeSubmodel(spec, {
    resolution,
    depths: spec.stages.map(() => depth),
    kernels: Array.from({ length: dynamicBlocks(spec) }, () => kernel),
    expands: Array.from({ length: dynamicBlocks(spec) }, () => expand),
  })

export const maxSubmodel = (spec: SupernetSpec, resolution = Math.max(...spec.resolutions)): Submodel =>
  uniformSubmodel(
    spec,
    resolution,
    Math.max(...spec.depths),
    Math.max(...spec.kernels),
    Math.max(...spec.expands),
  )

export const minSubmodel = (spec: SupernetSpec, resolution = Math.min(...spec.resolutions)): Submodel =>
  uniformSubmodel(
    spec,
    resolution,
    Math.min(...spec.depths),
    Math.min(...spec.kernels),
    Math.min(...spec.expands),
  )

/** Uniformly random over resolution, depth of each stage, kernel and expand of each block. */
export const sampleSubmodel = (spec: SupernetSpec, random: Random): Submodel =>
  normalizeSubmodel(spec, {
    resolution: pick(random, spec.resolutions),
    depths: spec.stages.map(() => pick(random, spec.depths)),
    kernels: Array.from({ length: dynamicBlocks(spec) }, () => pick(random, spec.kernels)),
    expands: Array.from({ length: dynamicBlocks(spec) }, () => pick(random, spec.expands)),
  })

/** What is wrong with a submodel for this supernet, in words; empty when it is valid. */
export const submodelProblems = (spec: SupernetSpec, submodel: Submodel): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const want = (ok: boolean, text: string) => {
    if (!ok) problems.push(text)
  }
  const n = dynamicBlocks(spec)
  want(
    spec.resolutions.includes(submodel.resolution),
    `resolution ${submodel.resolution} is not one of ${spec.resolutions.join(", ")}`,
  )
  want(
    submodel.depths.length === spec.stages.length,
    `${submodel.depths.length} depths for ${spec.stages.length} stages`,
  )
  // No more than there can be: a message has room for a million.
  for (const d of submodel.depths.slice(0, spec.stages.length))
    want(spec.depths.includes(d), `depth ${d} is not one of ${spec.depths.join(", ")}`)
  want(submodel.kernels.length === n, `${submodel.kernels.length} kernels for ${n} dynamic blocks`)
  want(submodel.expands.length === n, `${submodel.expands.length} expands for ${n} dynamic blocks`)
  for (let i = 0; i < n; i++) {
    const [kernel, expand] = [submodel.kernels[i] ?? 0, submodel.expands[i] ?? 0]
    const active = isActive(spec, submodel, i)
    want(active ? spec.kernels.includes(kernel) : kernel === 0, `kernel ${kernel} of dynamic block ${i}`)
    want(active ? spec.expands.includes(expand) : expand === 0, `expand ${expand} of dynamic block ${i}`)
  }
  return problems
}
