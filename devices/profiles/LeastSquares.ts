/**
 * Non-negative least squares by coordinate descent: fits operator rates to measured times. Costs cannot be negative, and
 * a plain fit of correlated operator counts would make some of them so.
 */

/** minimise sum_i (sum_j rows[i][j] x[j] - targets[i])^2 with x >= 0. Small dense problems; columns are scaled inside. */
export const nonNegativeLeastSquares = (
  rows: ReadonlyArray<ReadonlyArray<number>>,
  targets: ReadonlyArray<number>,
  sweeps = 20_000,
): ReadonlyArray<number> => {
  const n = rows[0]?.length ?? 0
  const gram = Array.from({ length: n }, (_, a) =>
    Array.from({ length: n }, (_, b) => rows.reduce((sum, r) => sum + (r[a] ?? 0) * (r[b] ?? 0), 0)),
  )
  const scale = gram.map((row, j) => Math.sqrt(row[j] ?? 0) || 1)
  const correlation = rows.reduce<Array<number>>(
    (sums, row, i) => sums.map((s, j) => s + ((row[j] ?? 0) * (targets[i] ?? 0)) / (scale[j] ?? 1)),
    Array.from({ length: n }, () => 0),
  )
  const x = Array.from({ length: n }, () => 0)
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let moved = 0
    for (let j = 0; j < n; j++) {
      if ((gram[j]?.[j] ?? 0) === 0) continue
      let slope = correlation[j] ?? 0
      for (let k = 0; k < n; k++) {
        if (k !== j) slope -= ((gram[j]?.[k] ?? 0) / ((scale[j] ?? 1) * (scale[k] ?? 1))) * (x[k] ?? 0)
      }
      const next = Math.max(0, slope)
      moved = Math.max(moved, Math.abs(next - (x[j] ?? 0)))
      x[j] = next
    }
    if (moved < 1e-12) break
  }
  return x.map((v, j) => v / (scale[j] ?? 1))
}

/** The same, minimising relative errors: each row and its target are divided by the target (> 0). */
export const nonNegativeRelativeFit = (
  rows: ReadonlyArray<ReadonlyArray<number>>,
  targets: ReadonlyArray<number>,
): ReadonlyArray<number> =>
  nonNegativeLeastSquares(
    rows.map((row, i) => row.map((v) => v / (targets[i] ?? 1))),
    targets.map(() => 1),
  )
