/**
 * Where things lie in a strategy's row of bytes, the form in which search and training make, change and evaluate hundreds
 * of thousands of strategies a second. `FastLatency` reads such rows, `policies/Genome.ts` writes and changes them.
 *
 * Layout: resolution, depth of each stage, then 8 bytes for every block of the supernet at full depth, stem first, head
 * last: kernel, expand, grid, bits, and the device of up to 4 tiles. Every byte is an index into the choices of its kind; a
 * device is an index into those of the condition. Bytes of blocks that do not run and of tiles that do not exist are not read.
 */
import { blocksOf, type SupernetSpec } from "../../supernet/Spec.ts"

/** Offsets inside a block's 8 bytes. */
export const kernelAt = 0
export const expandAt = 1
export const gridAt = 2
export const bitsAt = 3
export const deviceAt = 4
export const blockStride = 8
export const maxTiles = 4

/** Offset of the depth of stage 0; the resolution is before it. */
export const depthAt = 1

export interface StrategyEncoding {
  /** Blocks at full depth. */
  readonly blockCount: number
  /** Offset of block 0. */
  readonly firstBlock: number
  /** Bytes of one row. */
  readonly length: number
}

export const strategyEncoding = (spec: SupernetSpec): StrategyEncoding => {
  const blockCount = blocksOf(spec).length
  const firstBlock = depthAt + spec.stages.length
  return { blockCount, firstBlock, length: firstBlock + blockCount * blockStride }
}
