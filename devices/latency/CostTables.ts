/**
 * Times of every block variant on every tile shape, computed once: `FastLatency` only looks them up.
 *
 * A cut leaves few distinct sides: the whole map, half of it, or, where the last map of a run has an odd side m, its
 * ceil(m/2)/m and floor(m/2)/m shares. So a tile's shape is a pair of side kinds, and the table is small.
 */
import { blockMs } from "../profiles/BlockTime.ts"
import type { DeviceProfile } from "../profiles/DeviceProfile.ts"
import { blocksOf, type BlockSpec, type SupernetSpec } from "../../supernet/Spec.ts"

/** Kinds of a tile's side: whole map, half, larger and smaller part of an odd cut. */
export const wholeSide = 0
export const halfSide = 1
export const largerSide = 2
export const smallerSide = 3
export const sideKinds = 4

/** Times of one block variant: one for every pair of side kinds. */
export const shapes = sideKinds * sideKinds

export interface CostTables {
  readonly spec: SupernetSpec
  readonly blocks: ReadonlyArray<BlockSpec>
  readonly profiles: ReadonlyArray<DeviceProfile>
  /** ms, at ((((profile * resolutions + resolution) * blocks + block) * variants + variant) * 4 + rows) * 4 + columns. */
  readonly blockMs: Float64Array
  /** Kernel index * expands + expand index; 0 for blocks without a choice. */
  readonly variants: number
  /** Side of each block's input map, at resolution * (blocks + 1) + block; the last entry is the map before pooling. */
  readonly mapSides: Int32Array
}

const ceilHalf = (side: number) => Math.ceil(side / 2)

/** Length of a side kind when the whole is `side` and the final map's side is `last`. */
const sideLength = (kind: number, side: number, last: number): number => {
  if (kind === wholeSide) return side
  if (kind === halfSide) return side / 2
  const larger = (ceilHalf(last) * side) / last
  return kind === largerSide ? larger : side - larger
}

/** Input sides of every block at full depth (depth never changes them: strides are in the first block of a stage). */
const sidesAt = (blocks: ReadonlyArray<BlockSpec>, resolution: number): ReadonlyArray<number> => {
  const sides = [resolution]
  for (const b of blocks) sides.push((sides.at(-1) ?? 0) / b.stride)
  return sides
}

const variantsOf = (spec: SupernetSpec, block: BlockSpec) =>
  block.kind === "dynamic"
    ? spec.kernels.flatMap((kernel) => spec.expands.map((expand) => ({ kernel, expand })))
    : [{ kernel: block.kind === "head" ? 1 : 3, expand: 1 }]

export const costTables = (spec: SupernetSpec, profiles: ReadonlyArray<DeviceProfile>): CostTables => {
  const blocks = blocksOf(spec)
  const variants = spec.kernels.length * spec.expands.length
  const sides = spec.resolutions.map((resolution) => sidesAt(blocks, resolution))
  const table = new Float64Array(profiles.length * sides.length * blocks.length * variants * shapes)
  for (const [p, profile] of profiles.entries()) {
    for (const [r, mapSides] of sides.entries()) {
      const last = mapSides.at(-1) ?? 1
      for (const [b, block] of blocks.entries()) {
        const side = mapSides[b] ?? 1
        for (const [v, variant] of variantsOf(spec, block).entries()) {
          const at = (((p * sides.length + r) * blocks.length + b) * variants + v) * shapes
          for (let shape = 0; shape < shapes; shape++) {
            const height = sideLength(Math.floor(shape / sideKinds), side, last)
            const width = sideLength(shape % sideKinds, side, last)
            table[at + shape] = blockMs(profile, spec, { ...block, ...variant }, height, width)
          }
        }
      }
    }
  }
  const mapSides = Int32Array.from(sides.flat())
  return { spec, blocks, profiles, blockMs: table, variants, mapSides }
}
