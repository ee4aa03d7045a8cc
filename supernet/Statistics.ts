/** Mean, quantiles and median of a list, and how two lists agree, for reports and fits. NaN of an empty one. */

export const mean = (values: ReadonlyArray<number>): number => {
  let sum = 0
  for (const v of values) sum += v
  return sum / values.length
}

/** The member at a share of the sorted list (nearest rank), 0.5 = median. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * share + 0.5)] ?? Number.NaN
}

/** Of an even number of values the larger one in the middle. */
export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** Kendall's tau-b: agreement of two rankings, ties allowed. */
export const kendallTau = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  let [agree, tiesA, tiesB, pairs] = [0, 0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      const x = Math.sign((a[i] ?? 0) - (a[j] ?? 0))
      const y = Math.sign((b[i] ?? 0) - (b[j] ?? 0))
      pairs++
      agree += x * y
      if (x === 0) tiesA++
      if (y === 0) tiesB++
    }
  }
  return agree / Math.sqrt((pairs - tiesA) * (pairs - tiesB))
}
