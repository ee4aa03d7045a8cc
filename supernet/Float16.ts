/**
 * IEEE half precision for arrays. Node 22 has no Float16Array, so half floats live in a Uint16Array.
 * Encoding rounds to nearest even, as ONNX Runtime's Cast does; decoding reads a table of all 65,536 values.
 */

const bitsView = new DataView(new ArrayBuffer(4))

/** The number that half-float bits stand for. */
export const fromHalf = (half: number): number => {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

let table: Float32Array | undefined
/** All half floats by their bits; 256 KB, made on first use. */
export const halfTable = (): Float32Array => {
  table ??= Float32Array.from({ length: 65536 }, (_, half) => fromHalf(half))
  return table
}

/** Bits of the half float nearest to a number. */
const toHalf = (value: number): number => {
  bitsView.setFloat32(0, value)
  const bits = bitsView.getUint32(0)
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude >= 0x38800000)
    return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13)
  // Below the smallest normal half: a multiple of 2^-24, rounded to even by the addition.
  bitsView.setUint32(0, magnitude)
  const shifted = bitsView.getFloat32(0) + 0.5
  bitsView.setFloat32(0, shifted)
  return sign | (bitsView.getUint32(0) - 0x3f000000)
}

export const encodeHalf = (values: Float32Array): Uint16Array => {
  const out = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) out[i] = toHalf(values[i] ?? 0)
  return out
}

export const decodeHalf = (
  halves: Uint16Array,
  out: Float32Array = new Float32Array(halves.length),
): Float32Array => {
  const values = halfTable()
  for (let i = 0; i < halves.length; i++) out[i] = values[halves[i] ?? 0] ?? 0
  return out
}
