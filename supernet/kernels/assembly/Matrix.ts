/** Small matrix helpers: weights are a few kilobytes, so these favour clarity; the large products are generated (see ProductSource.ts). */

/** to[c, r] = from[r, c], for pitches (elements per row) of both. */
export function transpose(from: usize, to: usize, rows: i32, columns: i32, fromPitch: i32, toPitch: i32): void {
  for (let r0 = 0; r0 < rows; r0 += 8) {
    for (let c = 0; c < columns; c++) {
      for (let r = r0; r < min(rows, r0 + 8); r++) {
        store<f32>(to + ((<usize>c * toPitch + r) << 2), load<f32>(from + ((<usize>r * fromPitch + c) << 2)))
      }
    }
  }
}

/** to[c, r] += from[r, c]. */
export function addTransposed(from: usize, to: usize, rows: i32, columns: i32, fromPitch: i32, toPitch: i32): void {
  for (let r0 = 0; r0 < rows; r0 += 8) {
    for (let c = 0; c < columns; c++) {
      for (let r = r0; r < min(rows, r0 + 8); r++) {
        const at = to + ((<usize>c * toPitch + r) << 2)
        store<f32>(at, load<f32>(at) + load<f32>(from + ((<usize>r * fromPitch + c) << 2)))
      }
    }
  }
}

/** to[r, c] = from[r, c], for pitches of both. */
export function copyRows(from: usize, to: usize, rows: i32, columns: i32, fromPitch: i32, toPitch: i32): void {
  for (let r = 0; r < rows; r++) {
    memory.copy(to + ((<usize>r * toPitch) << 2), from + ((<usize>r * fromPitch) << 2), (<usize>columns) << 2)
  }
}

/** to[r, c] += from[r, c], for pitches of both. */
export function addRows(from: usize, to: usize, rows: i32, columns: i32, fromPitch: i32, toPitch: i32): void {
  for (let r = 0; r < rows; r++) {
    const p = from + ((<usize>r * fromPitch) << 2), q = to + ((<usize>r * toPitch) << 2)
    for (let c: usize = 0; c < ((<usize>columns) << 2); c += 4) store<f32>(q + c, load<f32>(q + c) + load<f32>(p + c))
  }
}

/** out[p, q] += sum over m of a[p, m] b[q, m]; m a multiple of 4. */
export function addOuterDots(a: usize, b: usize, out: usize, p: i32, q: i32, m: i32): void {
  const bytes = (<usize>m) << 2
  for (let i = 0; i < p; i++) {
    for (let j = 0; j < q; j++) {
      const u = a + <usize>i * bytes, v = b + <usize>j * bytes
      let sum = f32x4.splat(0)
      for (let k: usize = 0; k < bytes; k += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(u + k), v128.load(v + k)))
      const at = out + ((<usize>i * q + j) << 2)
      store<f32>(at, load<f32>(at) + f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1)
        + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
    }
  }
}
