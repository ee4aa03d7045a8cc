/** Elements of a torch storage as float32: little-endian integers and floats of every width that torch saves. */
import { fromHalf } from "../Float16.ts"
import type { StorageType } from "./PickleData.ts"

export const elementBytes: Readonly<Record<StorageType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
}

const readers: Readonly<Record<StorageType, (view: DataView, at: number) => number>> = {
  float32: (v, at) => v.getFloat32(at, true),
  float64: (v, at) => v.getFloat64(at, true),
  float16: (v, at) => fromHalf(v.getUint16(at, true)),
  // bfloat16 is the upper half of a float32.
  bfloat16: (v, at) => {
    const word = new DataView(new ArrayBuffer(4))
    word.setUint16(2, v.getUint16(at, true), true)
    return word.getFloat32(0, true)
  },
  int64: (v, at) => Number(v.getBigInt64(at, true)),
  int32: (v, at) => v.getInt32(at, true),
  int16: (v, at) => v.getInt16(at, true),
  int8: (v, at) => v.getInt8(at),
  uint8: (v, at) => v.getUint8(at),
  bool: (v, at) => (v.getUint8(at) === 0 ? 0 : 1),
}

/** `count` elements from element `start`. The caller has checked that they are there. */
export const readElements = (
  bytes: Uint8Array,
  type: StorageType,
  start: number,
  count: number,
): Float32Array => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [size, get] = [elementBytes[type], readers[type]]
  const out = new Float32Array(count)
  for (let i = 0; i < count; i++) out[i] = get(view, (start + i) * size)
  return out
}
