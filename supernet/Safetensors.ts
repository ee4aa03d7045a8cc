/**
 * The safetensors format (huggingface/safetensors): 8 bytes little-endian header length, a JSON header
 * `{ name: { dtype, shape, data_offsets } }`, then the tensors' bytes back to back. Read and written as float32 or
 * float16; in memory a tensor is always float32.
 */
import * as Schema from "effect/Schema"
import { decodeHalf, encodeHalf } from "./Float16.ts"
import type { Tensor, Weights } from "./Weights.ts"

export const WeightFormat = Schema.Literals(["float32", "float16"])
export type WeightFormat = typeof WeightFormat.Type

/** What is wrong with the bytes, in words. Thrown by `decodeSafetensors`; `readArtifact` turns it into a typed failure. */
export class SafetensorsProblem extends Error {}

const Entry = Schema.Struct({
  dtype: Schema.String,
  shape: Schema.Array(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  data_offsets: Schema.Tuple([Schema.Int, Schema.Int]),
})
const isEntry = Schema.is(Entry)

const bytesPerValue: Readonly<Record<string, number>> = { F32: 4, F16: 2 }

/** Tensors are written in name order, so that equal weights are equal bytes. */
export const encodeSafetensors = (weights: Weights, format: WeightFormat): Uint8Array => {
  const names = [...weights.keys()].sort()
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } }
  const parts: Array<Uint8Array> = []
  let offset = 0
  for (const name of names) {
    const found = weights.get(name)
    if (found === undefined) continue
    const values = format === "float16" ? encodeHalf(found.data) : found.data
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    header[name] = {
      dtype: format === "float16" ? "F16" : "F32",
      shape: found.shape,
      data_offsets: [offset, offset + bytes.byteLength],
    }
    parts.push(bytes)
    offset += bytes.byteLength
  }
  // Spaces after the JSON keep the data section aligned to 8 bytes, as the reference writer does.
  const json = new TextEncoder().encode(JSON.stringify(header))
  const headerBytes = Math.ceil(json.length / 8) * 8
  const out = new Uint8Array(8 + headerBytes + offset)
  new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes), true)
  out.fill(0x20, 8, 8 + headerBytes)
  out.set(json, 8)
  let at = 8 + headerBytes
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

const headerOf = (file: Uint8Array): { readonly header: object; readonly dataStart: number } => {
  if (file.byteLength < 8) throw new SafetensorsProblem(`${file.byteLength} bytes, less than a header`)
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  if (length > file.byteLength - 8) {
    throw new SafetensorsProblem(`header of ${length} bytes in a file of ${file.byteLength}`)
  }
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))
  } catch {
    throw new SafetensorsProblem("the header is not JSON")
  }
  if (typeof header !== "object" || header === null) throw new SafetensorsProblem("the header is no object")
  return { header, dataStart: 8 + length }
}

/**
 * Float32 tensors in shared memory: worker threads read the same copy.
 * Throws `SafetensorsProblem` where sizes, offsets or types do not fit.
 */
export const decodeSafetensors = (file: Uint8Array): Map<string, Tensor> => {
  const { header, dataStart } = headerOf(file)
  // A plain Uint8Array: `slice` of a Buffer would be a view, with whatever alignment.
  const data = new Uint8Array(file.buffer, file.byteOffset + dataStart, file.byteLength - dataStart)
  const weights = new Map<string, Tensor>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue
    if (!isEntry(entry)) throw new SafetensorsProblem(`tensor ${name} is not described as the format asks`)
    const size = bytesPerValue[entry.dtype]
    if (size === undefined)
      throw new SafetensorsProblem(`tensor ${name} has type ${entry.dtype}, not F32 or F16`)
    const count = entry.shape.reduce((a: number, b: number) => a * b, 1)
    const [start, end] = entry.data_offsets
    if (start < 0 || end > data.byteLength || end - start !== count * size) {
      throw new SafetensorsProblem(
        `tensor ${name}: bytes ${start}..${end} for ${count} values of ${size} bytes`,
      )
    }
    const values = new Float32Array(new SharedArrayBuffer(count * 4))
    const bytes = data.slice(start, end)
    if (size === 4) values.set(new Float32Array(bytes.buffer))
    else decodeHalf(new Uint16Array(bytes.buffer), values)
    weights.set(name, { shape: entry.shape, data: values })
  }
  return weights
}

/** The same weights in shared memory, so that handing them to a worker copies nothing. */
export const shareWeights = (weights: Weights): Map<string, Tensor> =>
  new Map(
    [...weights].map(([name, { shape, data }]) => {
      if (data.buffer instanceof SharedArrayBuffer) return [name, { shape, data }]
      const shared = new Float32Array(new SharedArrayBuffer(data.byteLength))
      shared.set(data)
      return [name, { shape, data: shared }]
    }),
  )
