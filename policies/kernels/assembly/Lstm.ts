/** The pointwise half of an LSTM cell, forward and backward, and Adam. Gates lie in the order input, forget, cell, output. */

@inline function exp(value: v128): v128 {
  // Cephes' expf: range reduction by ln 2 in two parts, then a polynomial; relative error below 2e-7.
  const x = f32x4.min(f32x4.max(value, f32x4.splat(-87)), f32x4.splat(88))
  const n = f32x4.floor(f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504)), f32x4.splat(0.5)))
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)))
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)))
  let p = f32x4.splat(1.9875691500e-4)
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1))
  p = f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(r, r), p), r), f32x4.splat(1))
  const scale = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23)
  return f32x4.mul(p, scale)
}

@inline function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1)
  return f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x))))
}

@inline function tanh(x: v128): v128 {
  const one = f32x4.splat(1)
  return f32x4.sub(one, f32x4.div(f32x4.splat(2), f32x4.add(one, exp(f32x4.add(x, x)))))
}

/**
 * gates[R, 4H]: pre-activations, overwritten by activations; before[R, H] -> cell[R, H]; squashed = tanh(cell); hidden[R, H].
 */
export function cellForward(
  gates: usize, before: usize, cell: usize, squashed: usize, hidden: usize, rows: i32, size: i32,
): void {
  const width = (<usize>size) << 2
  for (let r = 0; r < rows; r++) {
    let g = gates + ((<usize>r * width) << 2)
    const row = <usize>r * width
    for (let j: usize = 0; j < width; j += 16) {
      const i = sigmoid(v128.load(g)), f = sigmoid(v128.load(g + width))
      const q = tanh(v128.load(g + 2 * width)), o = sigmoid(v128.load(g + 3 * width))
      v128.store(g, i)
      v128.store(g + width, f)
      v128.store(g + 2 * width, q)
      v128.store(g + 3 * width, o)
      const c = f32x4.add(f32x4.mul(f, v128.load(before + row + j)), f32x4.mul(i, q))
      const t = tanh(c)
      v128.store(cell + row + j, c)
      v128.store(squashed + row + j, t)
      v128.store(hidden + row + j, f32x4.mul(o, t))
      g += 16
    }
  }
}

/** dHidden[R, H] in; dCell[R, H] in and out; gates' activations are overwritten by the gradient of the pre-activations. */
export function cellBackward(
  gates: usize, before: usize, squashed: usize, dHidden: usize, dCell: usize, rows: i32, size: i32,
): void {
  const width = (<usize>size) << 2
  const one = f32x4.splat(1)
  for (let r = 0; r < rows; r++) {
    let g = gates + ((<usize>r * width) << 2)
    const row = <usize>r * width
    for (let j: usize = 0; j < width; j += 16) {
      const i = v128.load(g), f = v128.load(g + width), q = v128.load(g + 2 * width), o = v128.load(g + 3 * width)
      const t = v128.load(squashed + row + j), dh = v128.load(dHidden + row + j)
      const dTanh = f32x4.mul(f32x4.mul(dh, o), f32x4.sub(one, f32x4.mul(t, t)))
      const dc = f32x4.add(v128.load(dCell + row + j), dTanh)
      v128.store(g, f32x4.mul(f32x4.mul(dc, q), f32x4.mul(i, f32x4.sub(one, i))))
      const c = v128.load(before + row + j)
      v128.store(g + width, f32x4.mul(f32x4.mul(dc, c), f32x4.mul(f, f32x4.sub(one, f))))
      v128.store(g + 2 * width, f32x4.mul(f32x4.mul(dc, i), f32x4.sub(one, f32x4.mul(q, q))))
      v128.store(g + 3 * width, f32x4.mul(f32x4.mul(dh, t), f32x4.mul(o, f32x4.sub(one, o))))
      v128.store(dCell + row + j, f32x4.mul(dc, f))
      g += 16
    }
  }
}

/** Sum of squares, in double precision. */
export function sumOfSquares(x: usize, count: i32): f64 {
  let sum: f64 = 0
  for (let i: usize = 0; i < (<usize>count) << 2; i += 4) {
    const v = <f64>load<f32>(x + i)
    sum += v * v
  }
  return sum
}

/** Adam with the bias correction folded into `rate`; the gradient is scaled by `scale` first (clipping). */
export function adam(
  w: usize, g: usize, m: usize, v: usize, count: i32, rate: f32, beta1: f32, beta2: f32, epsilon: f32, scale: f32,
): void {
  const b1 = f32x4.splat(beta1), b2 = f32x4.splat(beta2), c1 = f32x4.splat(1 - beta1), c2 = f32x4.splat(1 - beta2)
  const lr = f32x4.splat(rate), eps = f32x4.splat(epsilon), s = f32x4.splat(scale)
  for (let i: usize = 0; i < (<usize>count) << 2; i += 16) {
    const d = f32x4.mul(v128.load(g + i), s)
    const mean = f32x4.add(f32x4.mul(b1, v128.load(m + i)), f32x4.mul(c1, d))
    const square = f32x4.add(f32x4.mul(b2, v128.load(v + i)), f32x4.mul(c2, f32x4.mul(d, d)))
    v128.store(m + i, mean)
    v128.store(v + i, square)
    const step = f32x4.div(f32x4.mul(lr, mean), f32x4.add(f32x4.sqrt(square), eps))
    v128.store(w + i, f32x4.sub(v128.load(w + i), step))
  }
}
