/**
 * A strategy as a few bytes, for search and training: hundreds of thousands of them are made, changed and evaluated a
 * second, so they live in `Int8Array`s and become `Strategy` objects only when one is chosen.
 *
 * Layout: a header (resolution index, depth of each stage, padded to a multiple of 8), then 8 bytes for every block of
 * the supernet at full depth, stem first, head last: kernel index, expand index, grid index, bits index, and the device
 * of up to 4 tiles as an index into the condition's devices. Bytes of blocks that do not run and of tiles that do not
 * exist are ignored by readers and zero when encoded from a `Strategy`.
 */
import { grids, tileCount } from "../../supernet/Partition.ts"
import { blocksOf, dynamicBlocks, type SupernetSpec } from "../../supernet/Spec.ts"
import { bitsChoices, type BlockPlan, normalizeStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { normalizeSubmodel, type Submodel } from "../../supernet/Submodel.ts"

/** Offsets inside a block's 8 bytes. */
export const kernelAt = 0
export const expandAt = 1
export const gridAt = 2
export const bitsAt = 3
export const deviceAt = 4
export const blockStride = 8
export const maxTiles = 4

export interface StrategyEncoding {
  readonly spec: SupernetSpec
  /** Blocks at full depth. */
  readonly blockCount: number
  readonly headerBytes: number
  /** Length of one encoded strategy. */
  readonly bytes: number
}

export const strategyEncoding = (spec: SupernetSpec): StrategyEncoding => {
  const blockCount = blocksOf(spec).length
  const headerBytes = Math.ceil((1 + spec.stages.length) / 8) * 8
  return { spec, blockCount, headerBytes, bytes: headerBytes + blockCount * blockStride }
}

/** Where block `index` (of the supernet at full depth) begins. */
export const blockOffset = (encoding: StrategyEncoding, index: number): number =>
  encoding.headerBytes + index * blockStride

const indexIn = (values: ReadonlyArray<number>, value: number): number => Math.max(0, values.indexOf(value))

/** Indices in the supernet of the blocks that run: stem, first, the first d of each stage, head. */
const activeIndices = (spec: SupernetSpec, depths: ReadonlyArray<number>): ReadonlyArray<number> => [
  0,
  1,
  ...spec.stages.flatMap((_, stage) =>
    Array.from({ length: depths[stage] ?? 0 }, (_, place) => 2 + stage * spec.maxDepth + place),
  ),
  2 + dynamicBlocks(spec),
]

/**
 * Writes a valid strategy into `out` at `offset`. Devices are looked up in `deviceIds`, the condition's order.
 * Throws a RangeError for a device that is not there.
 */
export const encodeStrategy = (
  encoding: StrategyEncoding,
  strategy: Strategy,
  deviceIds: ReadonlyArray<string>,
  out: Int8Array = new Int8Array(encoding.bytes),
  offset = 0,
): Int8Array => {
  const { spec } = encoding
  const { submodel } = strategy
  out.fill(0, offset, offset + encoding.bytes)
  out[offset] = indexIn(spec.resolutions, submodel.resolution)
  for (const [stage, depth] of submodel.depths.entries()) out[offset + 1 + stage] = depth
  const device = strategy.devices.map((id) => {
    const index = deviceIds.indexOf(id)
    if (index < 0) throw new RangeError(`device ${id} is not among ${deviceIds.join(", ")}`)
    return index
  })
  for (const [position, index] of activeIndices(spec, submodel.depths).entries()) {
    const plan = strategy.blocks[position]
    if (plan === undefined) throw new RangeError(`no plan for active block ${position}`)
    const at = offset + blockOffset(encoding, index)
    const dynamic = index - 2
    out[at + kernelAt] = indexIn(spec.kernels, submodel.kernels[dynamic] ?? 0)
    out[at + expandAt] = indexIn(spec.expands, submodel.expands[dynamic] ?? 0)
    out[at + gridAt] = grids.indexOf(plan.grid)
    out[at + bitsAt] = bitsChoices.indexOf(plan.bits)
    for (const [tile, d] of plan.placement.entries()) out[at + deviceAt + tile] = device[d] ?? 0
  }
  return out
}

const decodeSubmodel = (encoding: StrategyEncoding, encoded: Int8Array, offset: number): Submodel => {
  const { spec } = encoding
  const choice = (values: ReadonlyArray<number>, at: number) =>
    Array.from(
      { length: dynamicBlocks(spec) },
      (_, i) => values[encoded[offset + blockOffset(encoding, 2 + i) + at] ?? 0] ?? 0,
    )
  return normalizeSubmodel(spec, {
    resolution: spec.resolutions[encoded[offset] ?? 0] ?? 0,
    depths: spec.stages.map((_, stage) => encoded[offset + 1 + stage] ?? 0),
    kernels: choice(spec.kernels, kernelAt),
    expands: choice(spec.expands, expandAt),
  })
}

/** The normalised strategy that was encoded. */
export const decodeStrategy = (
  encoding: StrategyEncoding,
  encoded: Int8Array,
  deviceIds: ReadonlyArray<string>,
  offset = 0,
): Strategy => {
  const submodel = decodeSubmodel(encoding, encoded, offset)
  const blocks = activeIndices(encoding.spec, submodel.depths).map((index): BlockPlan => {
    const at = offset + blockOffset(encoding, index)
    const grid = grids[encoded[at + gridAt] ?? 0] ?? "1x1"
    return {
      grid,
      bits: bitsChoices[encoded[at + bitsAt] ?? 0] ?? 32,
      placement: Array.from({ length: tileCount(grid) }, (_, tile) => encoded[at + deviceAt + tile] ?? 0),
    }
  })
  return normalizeStrategy(encoding.spec, { submodel, devices: deviceIds, blocks })
}
