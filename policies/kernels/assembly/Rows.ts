/** Products with one-hot rows, as sums of table rows: an index list per row stands for its ones; -1 is no entry. */

/** out[R, N] += sum over k of table[indices[R, K], N]. */
export function gatherRows(table: usize, indices: usize, perRow: i32, out: usize, rows: i32, columns: i32): void {
  const pitch = (<usize>columns) << 2
  for (let r = 0; r < rows; r++) {
    const to = out + <usize>r * pitch
    for (let k = 0; k < perRow; k++) {
      const index = load<i32>(indices + ((<usize>(r * perRow + k)) << 2))
      if (index < 0) continue
      const from = table + <usize>index * pitch
      for (let i: usize = 0; i < pitch; i += 16) {
        v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(from + i)))
      }
    }
  }
}

/** table[indices[R, K], N] += from[R, N]: the gradient of `gatherRows`. */
export function scatterRows(from: usize, indices: usize, perRow: i32, table: usize, rows: i32, columns: i32): void {
  const pitch = (<usize>columns) << 2
  for (let r = 0; r < rows; r++) {
    const row = from + <usize>r * pitch
    for (let k = 0; k < perRow; k++) {
      const index = load<i32>(indices + ((<usize>(r * perRow + k)) << 2))
      if (index < 0) continue
      const to = table + <usize>index * pitch
      for (let i: usize = 0; i < pitch; i += 16) {
        v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(row + i)))
      }
    }
  }
}

/** to[N] += from[N]. */
export function accumulate(from: usize, to: usize, count: i32): void {
  for (let i: usize = 0; i < (<usize>count) << 2; i += 16) {
    v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(from + i)))
  }
}

/** x[N] = max(x, 0). */
export function rectify(x: usize, count: i32): void {
  for (let i: usize = 0; i < (<usize>count) << 2; i += 16) v128.store(x + i, f32x4.max(v128.load(x + i), f32x4.splat(0)))
}

/** d[N] = 0 where the rectified x[N] is 0. */
export function rectifyBackward(x: usize, d: usize, count: i32): void {
  for (let i: usize = 0; i < (<usize>count) << 2; i += 16) {
    v128.store(d + i, v128.and(v128.load(d + i), f32x4.gt(v128.load(x + i), f32x4.splat(0))))
  }
}
