/** Statistics of short noisy series in which single values may be anything: medians, weighted quantiles, slopes. Pure. */

/**
 * Of an even number of values the mean of the two in the middle, as a few samples are all there is; `median` of
 * `supernet/Statistics.ts` is always one of the values. NaN of nothing.
 */
export const medianOfFew = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

export interface Weighted {
  readonly value: number
  readonly weight: number
}

/** The value below which `share` of the weight lies. NaN of nothing. */
export const weightedQuantile = (values: ReadonlyArray<Weighted>, share: number): number => {
  const sorted = [...values].sort((a, b) => a.value - b.value)
  const wanted = share * sorted.reduce((sum, v) => sum + v.weight, 0)
  let passed = 0
  for (const { value, weight } of sorted) {
    passed += weight
    if (passed >= wanted) return value
  }
  return Number.NaN
}

/** Relative spread: median distance from the median, over the median. */
export const spread = (values: ReadonlyArray<number>): number => {
  const middle = medianOfFew(values)
  return medianOfFew(values.map((v) => Math.abs(v - middle))) / Math.max(1e-9, Math.abs(middle))
}

/**
 * Time per byte between transfers of different sizes (Theil-Sen), ms per byte: needs no ping, but a variety of sizes.
 * Undefined when sizes are too alike to tell.
 */
export const regressionSlope = (
  transfers: ReadonlyArray<{ readonly bytes: number; readonly ms: number }>,
): number | undefined => {
  const slopes: Array<number> = []
  for (const [i, a] of transfers.entries()) {
    for (const b of transfers.slice(i + 1)) {
      const bytes = b.bytes - a.bytes
      if (Math.abs(bytes) > 0.3 * Math.max(a.bytes, b.bytes)) slopes.push((b.ms - a.ms) / bytes)
    }
  }
  if (slopes.length < 6) return undefined
  const middle = medianOfFew(slopes)
  return middle > 0 ? middle : undefined
}

/** Which side of `level` values lie on, all of them and beyond the margin: 1 above, -1 below, 0 neither. */
export const side = (values: ReadonlyArray<number>, level: number, margin: number): -1 | 0 | 1 => {
  if (values.length === 0) return 0
  if (values.every((v) => v > level + margin)) return 1
  return values.every((v) => v < level - margin) ? -1 : 0
}

/** Whether values differ by no more than the margin. */
export const agree = (values: ReadonlyArray<number>, margin: number): boolean =>
  Math.max(...values) - Math.min(...values) <= margin
