/**
 * Spatial partition after FDSP (Zhang et al., ADCNN, ICPP 2020): pure geometry, no tensors.
 *
 * A tile is computed as if it were a whole map: zero padding at its edges, squeeze-excite over its own pixels. So tiles
 * need no neighbours while the grid stays the same, and a cut must stay a whole pixel through every stride until then.
 * A *run* is a maximal sequence of blocks with the same grid. The cut is made in the middle of the run's last output
 * map, rounded up (7 = 4 + 3), and every earlier map of the run is cut at the multiple of it (14 = 8 + 6, 28 = 16 + 12).
 */
import type { Grid } from "./Schemas.ts"
import type { ActiveBlock } from "./Submodel.ts"

export type { Grid }

export const grids: ReadonlyArray<Grid> = ["1x1", "1x2", "2x1", "2x2"]

const gridRows = (grid: Grid): 1 | 2 => (grid === "2x1" || grid === "2x2" ? 2 : 1)
const gridColumns = (grid: Grid): 1 | 2 => (grid === "1x2" || grid === "2x2" ? 2 : 1)
export const tileCount = (grid: Grid): number => gridRows(grid) * gridColumns(grid)

/** Half-open pixel rectangle of a feature map: rows [y0, y1), columns [x0, x1). */
export interface Region {
  readonly y0: number
  readonly y1: number
  readonly x0: number
  readonly x1: number
}

export const regionHeight = (r: Region): number => r.y1 - r.y0
export const regionWidth = (r: Region): number => r.x1 - r.x0
export const regionArea = (r: Region): number => regionHeight(r) * regionWidth(r)
export const sameRegion = (a: Region, b: Region): boolean =>
  a.y0 === b.y0 && a.y1 === b.y1 && a.x0 === b.x0 && a.x1 === b.x1

export const intersect = (a: Region, b: Region): Region | undefined => {
  const region = {
    y0: Math.max(a.y0, b.y0),
    y1: Math.min(a.y1, b.y1),
    x0: Math.max(a.x0, b.x0),
    x1: Math.min(a.x1, b.x1),
  }
  if (region.y0 >= region.y1 || region.x0 >= region.x1) return undefined
  // Mostly one lies in the other: task graphs are kept, and need not hold it twice.
  return sameRegion(region, a) ? a : sameRegion(region, b) ? b : region
}

/** Geometry of one active block under a grid choice. Regions are in tile order: row by row. */
export interface BlockGeometry {
  readonly grid: Grid
  /** Side of the block's input and output maps, pixels (the head's output is 1). */
  readonly inputSize: number
  readonly outputSize: number
  readonly inputTiles: ReadonlyArray<Region>
  readonly outputTiles: ReadonlyArray<Region>
  /** Blocks of the same run have the same number; tile t of one is tile t of the next. */
  readonly run: number
}

/** A spec has few sizes and cuts, and hundreds of task graphs that are kept have the same tiles. */
const knownTiles = new Map<string, ReadonlyArray<Region>>()
const mostKnown = 4096

const tilesAt = (grid: Grid, size: number, cut: number): ReadonlyArray<Region> => {
  const key = `${grid} ${size} ${cut}`
  const tiles = knownTiles.get(key) ?? makeTiles(grid, size, cut)
  if (knownTiles.size < mostKnown) knownTiles.set(key, tiles)
  return tiles
}

const makeTiles = (grid: Grid, size: number, cut: number): ReadonlyArray<Region> => {
  const rows: ReadonlyArray<readonly [number, number]> =
    gridRows(grid) === 2
      ? [
          [0, cut],
          [cut, size],
        ]
      : [[0, size]]
  const columns: ReadonlyArray<readonly [number, number]> =
    gridColumns(grid) === 2
      ? [
          [0, cut],
          [cut, size],
        ]
      : [[0, size]]
  return rows.flatMap(([y0, y1]) => columns.map(([x0, x1]) => ({ y0, y1, x0, x1 })))
}

/** Side of each block's input map, then of the last map before pooling. */
export const mapSizes = (blocks: ReadonlyArray<ActiveBlock>, resolution: number): ReadonlyArray<number> => {
  const sizes = [resolution]
  for (const b of blocks) sizes.push((sizes.at(-1) ?? 0) / b.stride)
  return sizes
}

/**
 * Regions of every block's tiles for one choice of grids. `grids[i]` belongs to `blocks[i]`; the head must be "1x1".
 * The resolution must be a multiple of the product of all strides (32), so that all maps have whole sides.
 */
export const geometry = (
  blocks: ReadonlyArray<ActiveBlock>,
  resolution: number,
  gridOf: ReadonlyArray<Grid>,
): ReadonlyArray<BlockGeometry> => {
  const sizes = mapSizes(blocks, resolution)
  const out: Array<BlockGeometry> = []
  let first = 0
  for (let run = 0; first < blocks.length; run++) {
    const grid = gridOf[first] ?? "1x1"
    let end = first + 1
    while (end < blocks.length && gridOf[end] === grid) end++
    const endSize = sizes[end] ?? 1
    const endCut = Math.ceil(endSize / 2)
    for (let i = first; i < end; i++) {
      const [inputSize, mapSize] = [sizes[i] ?? 1, sizes[i + 1] ?? 1]
      const outputSize = blocks[i]?.kind === "head" ? 1 : mapSize
      out.push({
        grid,
        inputSize,
        outputSize,
        inputTiles: tilesAt(grid, inputSize, (endCut * inputSize) / endSize),
        outputTiles: tilesAt(grid, outputSize, (endCut * outputSize) / endSize),
        run,
      })
    }
    first = end
  }
  return out
}
