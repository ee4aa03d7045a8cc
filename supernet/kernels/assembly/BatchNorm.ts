/**
 * Batch normalisation with its activation, over rows [rows, channels] (rows = images x pixels, a multiple of 4).
 * Activation codes: 0 none, 1 relu, 2 h_swish. Passes: two for the statistics (mean, then squared deviations: float32 sums of
 * squares would cancel), one for the output, two for the gradient.
 */

// @ts-ignore: decorator
@inline
function activate(z: v128, activation: i32): v128 {
  const zero = f32x4.splat(0)
  if (activation == 1) return f32x4.max(z, zero)
  if (activation == 2) {
    const gate = f32x4.min(f32x4.max(f32x4.add(z, f32x4.splat(3)), zero), f32x4.splat(6))
    return f32x4.mul(z, f32x4.mul(gate, f32x4.splat(1.0 / 6.0)))
  }
  return z
}

// @ts-ignore: decorator
@inline
function activationGradient(z: v128, dy: v128, activation: i32): v128 {
  if (activation == 1) return v128.and(dy, f32x4.gt(z, f32x4.splat(0)))
  if (activation == 2) {
    const slope = f32x4.add(f32x4.mul(z, f32x4.splat(1.0 / 3.0)), f32x4.splat(0.5))
    const inside = v128.and(slope, f32x4.gt(z, f32x4.splat(-3)))
    return f32x4.mul(dy, v128.bitselect(f32x4.splat(1), inside, f32x4.ge(z, f32x4.splat(3))))
  }
  return dy
}

/** mean[c] and variance[c] (biased) of x. */
export function moments(x: usize, mean: usize, variance: usize, rows: i32, channels: i32): void {
  const bytes = (<usize>channels) << 2
  const scale = f32x4.splat(1 / <f32>rows)
  memory.fill(mean, 0, bytes)
  memory.fill(variance, 0, bytes)
  let p = x
  for (let r = 0; r < rows; r += 4) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const q = p + c
      const sum = f32x4.add(
        f32x4.add(v128.load(q), v128.load(q + bytes)),
        f32x4.add(v128.load(q + 2 * bytes), v128.load(q + 3 * bytes)),
      )
      v128.store(mean + c, f32x4.add(v128.load(mean + c), sum))
    }
    p += 4 * bytes
  }
  for (let c: usize = 0; c < bytes; c += 16) v128.store(mean + c, f32x4.mul(v128.load(mean + c), scale))
  p = x
  for (let r = 0; r < rows; r += 4) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const q = p + c, m = v128.load(mean + c)
      const d0 = f32x4.sub(v128.load(q), m), d1 = f32x4.sub(v128.load(q + bytes), m)
      const d2 = f32x4.sub(v128.load(q + 2 * bytes), m), d3 = f32x4.sub(v128.load(q + 3 * bytes), m)
      const sum = f32x4.add(
        f32x4.add(f32x4.mul(d0, d0), f32x4.mul(d1, d1)),
        f32x4.add(f32x4.mul(d2, d2), f32x4.mul(d3, d3)),
      )
      v128.store(variance + c, f32x4.add(v128.load(variance + c), sum))
    }
    p += 4 * bytes
  }
  for (let c: usize = 0; c < bytes; c += 16) v128.store(variance + c, f32x4.mul(v128.load(variance + c), scale))
}

// @ts-ignore: decorator
@inline
function affineRows(x: usize, scale: usize, shift: usize, y: usize, rows: i32, channels: i32, activation: i32): void {
  const bytes = (<usize>channels) << 2
  let p = x, q = y
  for (let r = 0; r < rows; r++) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const z = f32x4.add(f32x4.mul(v128.load(p + c), v128.load(scale + c)), v128.load(shift + c))
      v128.store(q + c, activate(z, activation))
    }
    p += bytes
    q += bytes
  }
}

/** y = activation(x * scale[c] + shift[c]); y may be x. */
export function affine(x: usize, scale: usize, shift: usize, y: usize, rows: i32, channels: i32, activation: i32): void {
  if (activation == 1) affineRows(x, scale, shift, y, rows, channels, 1)
  else if (activation == 2) affineRows(x, scale, shift, y, rows, channels, 2)
  else affineRows(x, scale, shift, y, rows, channels, 0)
}

/** y = x * scale[c] + shift[c] + residual; y may be x. */
export function affineAdd(x: usize, scale: usize, shift: usize, residual: usize, y: usize, rows: i32, channels: i32): void {
  const bytes = (<usize>channels) << 2
  let p = x, q = y, s = residual
  for (let r = 0; r < rows; r++) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const z = f32x4.add(f32x4.mul(v128.load(p + c), v128.load(scale + c)), v128.load(shift + c))
      v128.store(q + c, f32x4.add(z, v128.load(s + c)))
    }
    p += bytes
    q += bytes
    s += bytes
  }
}

// @ts-ignore: decorator
@inline
function gradientSumRows(
  x: usize, dy: usize, scale: usize, shift: usize, mean: usize, dShift: usize, dScale: usize,
  rows: i32, channels: i32, activation: i32,
): void {
  const bytes = (<usize>channels) << 2
  memory.fill(dShift, 0, bytes)
  memory.fill(dScale, 0, bytes)
  let p = x, q = dy
  for (let r = 0; r < rows; r += 4) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const s = v128.load(scale + c), t = v128.load(shift + c), m = v128.load(mean + c)
      let pp = p + c, qq = q + c
      const x0 = v128.load(pp), d0 = activationGradient(f32x4.add(f32x4.mul(x0, s), t), v128.load(qq), activation)
      pp += bytes
      qq += bytes
      const x1 = v128.load(pp), d1 = activationGradient(f32x4.add(f32x4.mul(x1, s), t), v128.load(qq), activation)
      pp += bytes
      qq += bytes
      const x2 = v128.load(pp), d2 = activationGradient(f32x4.add(f32x4.mul(x2, s), t), v128.load(qq), activation)
      pp += bytes
      qq += bytes
      const x3 = v128.load(pp), d3 = activationGradient(f32x4.add(f32x4.mul(x3, s), t), v128.load(qq), activation)
      const sum = f32x4.add(f32x4.add(d0, d1), f32x4.add(d2, d3))
      v128.store(dShift + c, f32x4.add(v128.load(dShift + c), sum))
      const dot = f32x4.add(
        f32x4.add(f32x4.mul(d0, f32x4.sub(x0, m)), f32x4.mul(d1, f32x4.sub(x1, m))),
        f32x4.add(f32x4.mul(d2, f32x4.sub(x2, m)), f32x4.mul(d3, f32x4.sub(x3, m))),
      )
      v128.store(dScale + c, f32x4.add(v128.load(dScale + c), dot))
    }
    p += 4 * bytes
    q += 4 * bytes
  }
}

/** dShift[c] = sum of dz, dScale[c] = sum of dz (x - mean), with dz the gradient before the activation. */
export function gradientSums(
  x: usize, dy: usize, scale: usize, shift: usize, mean: usize, dShift: usize, dScale: usize,
  rows: i32, channels: i32, activation: i32,
): void {
  if (activation == 1) gradientSumRows(x, dy, scale, shift, mean, dShift, dScale, rows, channels, 1)
  else if (activation == 2) gradientSumRows(x, dy, scale, shift, mean, dShift, dScale, rows, channels, 2)
  else gradientSumRows(x, dy, scale, shift, mean, dShift, dScale, rows, channels, 0)
}

// @ts-ignore: decorator
@inline
function gradientInputRows(
  x: usize, dy: usize, scale: usize, shift: usize, a: usize, b: usize, dx: usize, rows: i32, channels: i32, activation: i32,
): void {
  const bytes = (<usize>channels) << 2
  let p = x, q = dy, o = dx
  for (let r = 0; r < rows; r++) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const v = v128.load(p + c), s = v128.load(scale + c)
      const dz = activationGradient(f32x4.add(f32x4.mul(v, s), v128.load(shift + c)), v128.load(q + c), activation)
      const affine = f32x4.add(f32x4.mul(v, v128.load(a + c)), v128.load(b + c))
      v128.store(o + c, f32x4.add(f32x4.mul(dz, s), affine))
    }
    p += bytes
    q += bytes
    o += bytes
  }
}

/** dx = scale dz + a x + b per channel; a and b carry the gradient through mean and variance. dx may be dy. */
export function gradientInput(
  x: usize, dy: usize, scale: usize, shift: usize, a: usize, b: usize, dx: usize, rows: i32, channels: i32, activation: i32,
): void {
  if (activation == 1) gradientInputRows(x, dy, scale, shift, a, b, dx, rows, channels, 1)
  else if (activation == 2) gradientInputRows(x, dy, scale, shift, a, b, dx, rows, channels, 2)
  else gradientInputRows(x, dy, scale, shift, a, b, dx, rows, channels, 0)
}

/** y += x. */
export function addTo(x: usize, y: usize, count: i32): void {
  for (let i: usize = 0; i < ((<usize>count) << 2); i += 16) v128.store(y + i, f32x4.add(v128.load(y + i), v128.load(x + i)))
}
