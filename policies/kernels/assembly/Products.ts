/**
 * Dense products on row-major float32 matrices, blocked 4 rows x 8 columns with a packed panel: with relaxed SIMD's
 * multiply-add, which Node 22 has. The same bits on one kind of machine, whoever computes; one that has no fused
 * multiply-add rounds once more, so another machine's last bits may differ.
 * Rows and inner sizes are multiples of 4, columns of 8; `scratch` is said with each function.
 */

@inline function add(sum: v128, a: v128, b: v128): v128 {
  return f32x4.relaxed_madd(a, b, sum)
}

/** Eight columns of w[M, N], whose rows are `pitch` bytes apart, without gaps: panel[M, 8]. */
@inline function packPanel(w: usize, panel: usize, inner: i32, pitch: usize): void {
  let to = panel, from = w
  for (let m = 0; m < inner; m++) {
    v128.store(to, v128.load(from))
    v128.store(to, v128.load(from, 16), 16)
    to += 32
    from += pitch
  }
}

/** Eight columns of y[R, N], from `y` on, = (accumulate ? y : 0) + x[R, M] panel[M, 8]. */
@inline function multiplyPanel(
  x: usize, panel: usize, y: usize, rows: i32, xPitch: usize, yPitch: usize, accumulate: i32,
): void {
  const zero = f32x4.splat(0)
  let x0 = x, y0 = y
  for (let r = 0; r < rows; r += 4) {
    const y1 = y0 + yPitch, y2 = y1 + yPitch, y3 = y2 + yPitch
    let a0 = zero, b0 = zero, a1 = zero, b1 = zero, a2 = zero, b2 = zero, a3 = zero, b3 = zero
    if (accumulate) {
      a0 = v128.load(y0); b0 = v128.load(y0, 16)
      a1 = v128.load(y1); b1 = v128.load(y1, 16)
      a2 = v128.load(y2); b2 = v128.load(y2, 16)
      a3 = v128.load(y3); b3 = v128.load(y3, 16)
    }
    let p = panel, q0 = x0, q1 = x0 + xPitch, q2 = q1 + xPitch, q3 = q2 + xPitch
    const end = x0 + xPitch
    while (q0 < end) {
      const u = v128.load(p), v = v128.load(p, 16)
      let s = v128.load32_splat(q0); a0 = add(a0, s, u); b0 = add(b0, s, v)
      s = v128.load32_splat(q1); a1 = add(a1, s, u); b1 = add(b1, s, v)
      s = v128.load32_splat(q2); a2 = add(a2, s, u); b2 = add(b2, s, v)
      s = v128.load32_splat(q3); a3 = add(a3, s, u); b3 = add(b3, s, v)
      q0 += 4; q1 += 4; q2 += 4; q3 += 4
      p += 32
    }
    v128.store(y0, a0); v128.store(y0, b0, 16)
    v128.store(y1, a1); v128.store(y1, b1, 16)
    v128.store(y2, a2); v128.store(y2, b2, 16)
    v128.store(y3, a3); v128.store(y3, b3, 16)
    x0 += xPitch << 2
    y0 += yPitch << 2
  }
}

/** y[R, N] = (accumulate ? y : 0) + x[R, M] w[M, N]; scratch holds 8 M floats. */
export function product(
  x: usize, w: usize, y: usize, rows: i32, inner: i32, columns: i32, scratch: usize, accumulate: i32,
): void {
  const xPitch = (<usize>inner) << 2, yPitch = (<usize>columns) << 2
  for (let n: usize = 0; n < yPitch; n += 32) {
    packPanel(w + n, scratch, inner, yPitch)
    multiplyPanel(x, scratch, y + n, rows, xPitch, yPitch, accumulate)
  }
}

/** packed[N / 8, M, 8]: w[M, N] once for many products with few rows each, of which packing would be a good part. */
export function pack(w: usize, packed: usize, inner: i32, columns: i32): void {
  const pitch = (<usize>columns) << 2
  for (let n: usize = 0; n < pitch; n += 32) packPanel(w + n, packed + n * <usize>inner, inner, pitch)
}

/** As `product`, to the last bit, with w packed. */
export function packedProduct(
  x: usize, packed: usize, y: usize, rows: i32, inner: i32, columns: i32, accumulate: i32,
): void {
  const xPitch = (<usize>inner) << 2, yPitch = (<usize>columns) << 2
  for (let n: usize = 0; n < yPitch; n += 32) {
    multiplyPanel(x, packed + n * <usize>inner, y + n, rows, xPitch, yPitch, accumulate)
  }
}

/** Rows that are packed at once by `transposedProduct`. */
const chunk: i32 = 256

/** out[M, N] = a[R, M]^T b[R, N]; scratch holds 256 (M + 8) floats. */
export function transposedProduct(
  a: usize, b: usize, out: usize, rows: i32, inner: i32, columns: i32, scratch: usize,
): void {
  const aPitch = (<usize>inner) << 2, bPitch = (<usize>columns) << 2
  memory.fill(out, 0, (<usize>inner * columns) << 2)
  const panel = scratch + (<usize>chunk) * aPitch
  for (let r0 = 0; r0 < rows; r0 += chunk) {
    const count = min(chunk, rows - r0)
    const a0 = a + <usize>r0 * aPitch, b0 = b + <usize>r0 * bPitch
    let to = scratch
    for (let m = 0; m < inner; m += 4) {
      let from = a0 + ((<usize>m) << 2)
      for (let r = 0; r < count; r++) {
        v128.store(to, v128.load(from))
        to += 16
        from += aPitch
      }
    }
    for (let n = 0; n < columns; n += 8) {
      to = panel
      let from = b0 + ((<usize>n) << 2)
      for (let r = 0; r < count; r++) {
        v128.store(to, v128.load(from))
        v128.store(to, v128.load(from, 16), 16)
        to += 32
        from += bPitch
      }
      let p = scratch
      for (let m = 0; m < inner; m += 4) {
        const o0 = out + ((<usize>m * columns + n) << 2), o1 = o0 + bPitch, o2 = o1 + bPitch, o3 = o2 + bPitch
        let c0 = v128.load(o0), d0 = v128.load(o0, 16), c1 = v128.load(o1), d1 = v128.load(o1, 16)
        let c2 = v128.load(o2), d2 = v128.load(o2, 16), c3 = v128.load(o3), d3 = v128.load(o3, 16)
        let q = panel
        const end = p + ((<usize>count) << 4)
        while (p < end) {
          const u = v128.load(q), v = v128.load(q, 16)
          let s = v128.load32_splat(p); c0 = add(c0, s, u); d0 = add(d0, s, v)
          s = v128.load32_splat(p, 4); c1 = add(c1, s, u); d1 = add(d1, s, v)
          s = v128.load32_splat(p, 8); c2 = add(c2, s, u); d2 = add(d2, s, v)
          s = v128.load32_splat(p, 12); c3 = add(c3, s, u); d3 = add(d3, s, v)
          p += 16
          q += 32
        }
        v128.store(o0, c0); v128.store(o0, d0, 16)
        v128.store(o1, c1); v128.store(o1, d1, 16)
        v128.store(o2, c2); v128.store(o2, d2, 16)
        v128.store(o3, c3); v128.store(o3, d3, 16)
      }
    }
  }
}

/** to[C, R] = from[R, C]^T. */
export function transpose(from: usize, to: usize, rows: i32, columns: i32): void {
  for (let r0 = 0; r0 < rows; r0 += 8) {
    for (let c = 0; c < columns; c++) {
      for (let r = r0; r < min(rows, r0 + 8); r++) {
        store<f32>(to + ((<usize>c * rows + r) << 2), load<f32>(from + ((<usize>r * columns + c) << 2)))
      }
    }
  }
}
