/**
 * A strategy as a row of small integers, for search and learning: one byte per decision, always the same length, whatever
 * the depth. The layout is that of the latency model (`devices/latency/Encoding.ts`), which reads genomes as they are.
 *
 * Rows are kept canonical, so that equal behaviour is equal data: blocks that do not run are zero, tile slots beyond the
 * grid repeat its tiles, bits are those of `normalizeStrategy`.
 */
import {
  bitsAt as bitsGene,
  blockStride as genesPerBlock,
  depthAt as depthGene,
  deviceAt as deviceGene,
  expandAt as expandGene,
  gridAt as gridGene,
  kernelAt as kernelGene,
  maxTiles,
  strategyEncoding,
} from "../devices/latency/Encoding.ts"
import { isCutInColumns, isCutInRows } from "../devices/latency/GridIndices.ts"
import { type Grid, grids, tileCount } from "../supernet/Partition.ts"
import { type BlockSpec, blocksOf, type SupernetSpec } from "../supernet/Spec.ts"
import { bitsChoices, localDevice, type Strategy } from "../supernet/Strategy.ts"
import { normalizeSubmodel, type Submodel } from "../supernet/Submodel.ts"

export type Genome = Uint8Array

/** Offsets inside a block's genes. */
export { bitsGene, deviceGene, expandGene, genesPerBlock, gridGene, kernelGene, maxTiles }

/** Tiles of each grid, by its index in `grids`. */
export const tilesOfGrid: ReadonlyArray<number> = grids.map(tileCount)
const bits32 = bitsChoices.indexOf(32)
export const bits8 = bitsChoices.indexOf(8)

/** The search space of one supernet: sizes and offsets that every reader of a genome needs. */
export interface Space {
  readonly spec: SupernetSpec
  /** All blocks at full depth, stem first, head last. */
  readonly blocks: ReadonlyArray<BlockSpec>
  readonly stages: number
  /** Index of the first gene of block 0. */
  readonly firstBlockGene: number
  readonly length: number
  /** Product of strides up to the input of block i, for full depth. */
  readonly inputStride: ReadonlyArray<number>
}

export const spaceOf = (spec: SupernetSpec): Space => {
  const blocks = blocksOf(spec)
  const { firstBlock, length } = strategyEncoding(spec)
  let stride = 1
  const inputStride = blocks.map((b) => {
    const before = stride
    stride *= b.stride
    return before
  })
  return {
    spec,
    blocks,
    stages: spec.stages.length,
    firstBlockGene: firstBlock,
    length,
    inputStride,
  }
}

/** Index of the first gene of a block. */
export const blockGene = (space: Space, block: number): number => space.firstBlockGene + block * genesPerBlock

/** Depth of a stage in blocks. */
export const depthOf = (space: Space, genome: Genome, stage: number): number =>
  space.spec.depths[genome[depthGene + stage] ?? 0] ?? 0

export const isActiveBlock = (space: Space, genome: Genome, block: number): boolean => {
  const b = space.blocks[block]
  return b !== undefined && (b.stage < 0 || b.place < depthOf(space, genome, b.stage))
}

/** Choices of each head: how many values its genes can take. */
export const choiceCounts = (spec: SupernetSpec) => ({
  resolution: spec.resolutions.length,
  depth: spec.depths.length,
  kernel: spec.kernels.length,
  expand: spec.expands.length,
  grid: grids.length,
  bits: bitsChoices.length,
})

/** How many values each gene has, for a number of devices; the genes of the stem and the head included. */
export const geneLimits = (space: Space, devices: number): Uint8Array => {
  const { resolution, depth, kernel, expand, grid, bits } = choiceCounts(space.spec)
  const block = [kernel, expand, grid, bits, ...Array.from({ length: maxTiles }, () => devices)]
  return Uint8Array.from([
    resolution,
    ...space.spec.stages.map(() => depth),
    ...space.blocks.flatMap(() => block),
  ])
}

const fillTiles = (genome: Genome, at: number, tiles: number) => {
  for (let t = tiles; t < maxTiles; t++)
    genome[at + deviceGene + t] = genome[at + deviceGene + (t % tiles)] ?? 0
}

/** Cut of a map of `size` pixels whose run ends at a map of `endSize` pixels (see supernet/Partition.ts). */
const cutAt = (size: number, endSize: number): number => (Math.ceil(endSize / 2) * size) / endSize

/** Do rows (or columns) a of p-cut halves and b of q-cut halves overlap? `two` says whether that side is cut at all. */
const halvesMeet = (
  a: number,
  twoA: boolean,
  p: number,
  b: number,
  twoB: boolean,
  q: number,
  size: number,
) => {
  const [a0, a1] = twoA ? (a === 0 ? [0, p] : [p, size]) : [0, size]
  const [b0, b1] = twoB ? (b === 0 ? [0, q] : [q, size]) : [0, size]
  return Math.max(a0, b0) < Math.min(a1, b1)
}

/** Whether any tile of block `at` needs input that another device made; `before` is the previous active block's offset. */
const crosses = (genome: Genome, before: number, at: number, size: number, endSize: number): boolean => {
  const [was, now] = [genome[before + gridGene] ?? 0, genome[at + gridGene] ?? 0]
  const [wasTiles, nowTiles] = [tilesOfGrid[was] ?? 1, tilesOfGrid[now] ?? 1]
  if (was === now) {
    for (let t = 0; t < nowTiles; t++) {
      if (genome[before + deviceGene + t] !== genome[at + deviceGene + t]) return true
    }
    return false
  }
  const [p, q] = [cutAt(size, size), cutAt(size, endSize)]
  for (let u = 0; u < wasTiles; u++) {
    const [ur, uc] = isCutInColumns(was) ? [u >> 1, u & 1] : [u, 0]
    for (let t = 0; t < nowTiles; t++) {
      if (genome[before + deviceGene + u] === genome[at + deviceGene + t]) continue
      const [tr, tc] = isCutInColumns(now) ? [t >> 1, t & 1] : [t, 0]
      const rows = halvesMeet(ur, isCutInRows(was), p, tr, isCutInRows(now), q, size)
      if (rows && halvesMeet(uc, isCutInColumns(was), p, tc, isCutInColumns(now), q, size)) return true
    }
  }
  return false
}

/** Side of the map after the last block of the run that starts at `block`. */
const runEndSize = (space: Space, genome: Genome, block: number, resolution: number): number => {
  const grid = genome[blockGene(space, block) + gridGene]
  for (let i = block + 1; i < space.blocks.length; i++) {
    if (!isActiveBlock(space, genome, i)) continue
    if (genome[blockGene(space, i) + gridGene] !== grid) return resolution / (space.inputStride[i] ?? 1)
  }
  return resolution / (space.inputStride.at(-1) ?? 1)
}

/** Makes a genome canonical, in place. Call it after every change made to single genes. */
export const canonicalize = (space: Space, genome: Genome): Genome => {
  const resolution = space.spec.resolutions[genome[0] ?? 0] ?? 0
  const head = space.blocks.length - 1
  genome[blockGene(space, head) + gridGene] = 0
  let before = -1
  for (let i = 0; i <= head; i++) {
    const at = blockGene(space, i)
    if (!isActiveBlock(space, genome, i)) {
      genome.fill(0, at, at + genesPerBlock)
      continue
    }
    if (space.blocks[i]?.kind !== "dynamic") genome[at + kernelGene] = genome[at + expandGene] = 0
    fillTiles(genome, at, tilesOfGrid[genome[at + gridGene] ?? 0] ?? 1)
    if (before < 0) {
      let away = false
      for (let t = 0; t < maxTiles; t++) away ||= genome[at + deviceGene + t] !== localDevice
      genome[at + bitsGene] = away ? bits8 : bits32
    } else {
      const size = resolution / (space.inputStride[i] ?? 1)
      const sameGrid = genome[before + gridGene] === genome[at + gridGene]
      const endSize = sameGrid ? size : runEndSize(space, genome, i, resolution)
      if (!crosses(genome, before, at, size, endSize)) genome[at + bitsGene] = bits32
    }
    before = at
  }
  return genome
}

const indexIn = (values: ReadonlyArray<number>, value: number): number => Math.max(0, values.indexOf(value))

/** The genome of everything local and uncut. */
export const localGenome = (space: Space, submodel: Submodel): Genome => {
  const { spec } = space
  const genome = new Uint8Array(space.length)
  genome[0] = indexIn(spec.resolutions, submodel.resolution)
  for (const [s, depth] of submodel.depths.entries()) genome[depthGene + s] = indexIn(spec.depths, depth)
  for (const [i, b] of space.blocks.entries()) {
    if (b.kind !== "dynamic") continue
    const d = b.stage * spec.maxDepth + b.place
    genome[blockGene(space, i) + kernelGene] = indexIn(spec.kernels, submodel.kernels[d] ?? 0)
    genome[blockGene(space, i) + expandGene] = indexIn(spec.expands, submodel.expands[d] ?? 0)
  }
  return canonicalize(space, genome)
}

/** Device indices of the strategy become indices into `devices` by id; unknown ids fall back to the local device. */
export const encodeStrategy = (space: Space, strategy: Strategy, devices: ReadonlyArray<string>): Genome => {
  const genome = localGenome(space, strategy.submodel)
  const slots = strategy.devices.map((id) => Math.max(localDevice, devices.indexOf(id)))
  let active = 0
  for (let i = 0; i < space.blocks.length; i++) {
    if (!isActiveBlock(space, genome, i)) continue
    const plan = strategy.blocks[active++]
    if (plan === undefined) throw new RangeError(`the strategy has no plan for block ${i}`)
    const at = blockGene(space, i)
    genome[at + gridGene] = grids.indexOf(plan.grid)
    genome[at + bitsGene] = bitsChoices.indexOf(plan.bits)
    for (const [t, d] of plan.placement.entries()) genome[at + deviceGene + t] = slots[d] ?? localDevice
  }
  return canonicalize(space, genome)
}

export const submodelOf = (space: Space, genome: Genome): Submodel => {
  const { spec } = space
  const dynamic = space.blocks.flatMap((b, i) => (b.kind === "dynamic" ? [blockGene(space, i)] : []))
  return normalizeSubmodel(spec, {
    resolution: spec.resolutions[genome[0] ?? 0] ?? 0,
    depths: spec.stages.map((_, s) => depthOf(space, genome, s)),
    kernels: dynamic.map((at) => spec.kernels[genome[at + kernelGene] ?? 0] ?? 0),
    expands: dynamic.map((at) => spec.expands[genome[at + expandGene] ?? 0] ?? 0),
  })
}

/** The strategy over the given device ids; devices without a tile are dropped, the first (local) one stays. */
export const decodeGenome = (space: Space, genome: Genome, devices: ReadonlyArray<string>): Strategy => {
  const active = space.blocks.flatMap((_, i) =>
    isActiveBlock(space, genome, i) ? [blockGene(space, i)] : [],
  )
  const gridAt = (at: number): Grid => grids[genome[at + gridGene] ?? 0] ?? "1x1"
  const placementAt = (at: number) =>
    Array.from({ length: tileCount(gridAt(at)) }, (_, t) => genome[at + deviceGene + t] ?? localDevice)
  const used = new Set([localDevice, ...active.flatMap(placementAt)])
  const kept = devices.flatMap((_, i) => (used.has(i) ? [i] : []))
  const renumbered = new Map(kept.map((old, now) => [old, now]))
  return {
    submodel: submodelOf(space, genome),
    devices: kept.map((i) => devices[i] ?? ""),
    blocks: active.map((at) => ({
      grid: gridAt(at),
      bits: bitsChoices[genome[at + bitsGene] ?? 0] ?? 32,
      placement: placementAt(at).map((d) => renumbered.get(d) ?? localDevice),
    })),
  }
}

/** Bit set of the devices that run at least one tile (bit 0 = local). */
export const devicesUsed = (space: Space, genome: Genome): number => {
  let used = 1 << localDevice
  for (let i = 0; i < space.blocks.length; i++) {
    if (!isActiveBlock(space, genome, i)) continue
    const at = blockGene(space, i) + deviceGene
    for (let t = 0; t < maxTiles; t++) used |= 1 << (genome[at + t] ?? 0)
  }
  return used
}

/** The same strategy with work of devices that may not be used done locally. The genome itself where there is none. */
export const confine = (space: Space, genome: Genome, usable: ReadonlyArray<number>): Genome => {
  let allowed = 0
  for (const device of usable) allowed |= 1 << device
  if ((devicesUsed(space, genome) & ~allowed) === 0) return genome
  const confined = genome.slice()
  for (let i = 0; i < space.blocks.length; i++) {
    const at = blockGene(space, i) + deviceGene
    for (let t = 0; t < maxTiles; t++) {
      if (((allowed >> (confined[at + t] ?? 0)) & 1) === 0) confined[at + t] = localDevice
    }
  }
  return canonicalize(space, confined)
}
