/**
 * Grids as integers, for code that has no time for names: 0 = 1x1, 1 = 1x2 (two columns), 2 = 2x1 (two rows), 3 = 2x2. Tiles go
 * row by row.
 */
import { halfSide, largerSide, smallerSide, wholeSide } from "./CostTables.ts"

export const tilesOf = Int32Array.of(1, 2, 2, 4)
export const isCutInRows = (grid: number): boolean => grid >= 2
export const isCutInColumns = (grid: number): boolean => (grid & 1) === 1
export const rowOf = (grid: number, tile: number): number => (grid === 3 ? tile >> 1 : grid === 2 ? tile : 0)
export const columnOf = (grid: number, tile: number): number => (isCutInColumns(grid) ? tile & 1 : 0)

export const kindOf = (isCut: boolean, second: number, odd: boolean): number =>
  isCut ? (odd ? (second === 1 ? smallerSide : largerSide) : halfSide) : wholeSide

/**
 * Pixels that the parts of a cut share with the parts of an older one, at 2 * part + older part. No cut is a cut at the
 * far side: its second part is empty. (A grid of `none` counts as cut; nobody reads its overlaps.)
 */
export const overlaps = (out: Int32Array, cut: number, olderCut: number, side: number) => {
  const first = cut < olderCut ? cut : olderCut
  out[0] = first
  out[1] = cut - first
  out[2] = olderCut - first
  out[3] = side - cut - olderCut + first
}
