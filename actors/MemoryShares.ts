/**
 * What a device's memory budget (`--memory-mb`) allows beside the models: most of it is for their sessions, and what comes and
 * goes with requests is bounded by it, so that a small device refuses before it runs out of memory.
 */

export interface MemoryShares {
  /** Sessions of the inference runtime. */
  readonly sessionBytes: number
  /** Tiles of other devices, until the tasks that they are for have run. */
  readonly tileBytes: number
  /** Regions of such tiles that are half received. */
  readonly regionBytes: number
  /** Pictures while they are decoded: for moments, so it is not taken from the others. */
  readonly decodingBytes: number
}

/** Bytes, as `--memory-mb` has them where a machine has plenty. */
export const defaultMemoryBytes = 512e6

/** Some requests must fit however small the budget is: a tile has a megabyte at most, a picture of two megapixels six. */
const leastBytes = 8e6

export const memoryShares = (budgetBytes = defaultMemoryBytes): MemoryShares => {
  const share = (part: number) => Math.max(leastBytes, part * budgetBytes)
  return {
    // The rest is for waiting feature maps, the runtime and the system.
    sessionBytes: 0.6 * budgetBytes,
    tileBytes: share(0.25),
    regionBytes: share(0.125),
    decodingBytes: 2 * share(0.25),
  }
}
