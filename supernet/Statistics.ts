/** Mean, quantiles and median of a list, for reports and fits. NaN of an empty one. */

export const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((a, b) => a + b, 0) / values.length

/** The member at a share of the sorted list (nearest rank), 0.5 = median. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * share + 0.5)] ?? Number.NaN
}

/** Of an even number of values the larger one in the middle. */
export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)
