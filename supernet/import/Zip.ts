/**
 * Reads the entries of a zip archive from its central directory: what `torch.save` writes since PyTorch 1.6.
 * Torch stores entries uncompressed (method 0); deflated ones (a checkpoint that somebody zipped again) work as well.
 * Format: PKWARE APPNOTE 6.3.9, sections 4.3.7 to 4.3.16 (zip64 included, torch writes its end record).
 */
import { Schema } from "effect"
import { crc32, inflateRawSync } from "node:zlib"

export class MalformedZip extends Schema.TaggedError<MalformedZip>()("MalformedZip", {
  problem: Schema.String,
  retryable: Schema.Boolean,
}) {
  override get message() {
    return `the zip archive cannot be read: ${this.problem}`
  }
}

const fail = (problem: string): never => {
  throw new MalformedZip({ problem, retryable: false })
}

interface Entry {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly packedBytes: number
  readonly bytes: number
  readonly headerAt: number
}

const endOfDirectory = 0x06054b50
const endOfDirectory64 = 0x06064b50
const locator64 = 0x07064b50
const directoryEntry = 0x02014b50
const localHeader = 0x04034b50

const big = (view: DataView, at: number): number => Number(view.getBigUint64(at, true))

/** Number of entries and start of the central directory. */
const directory = (view: DataView): { readonly count: number; readonly at: number } => {
  for (let at = view.byteLength - 22; at >= Math.max(0, view.byteLength - 22 - 65_535); at--) {
    if (view.getUint32(at, true) !== endOfDirectory) continue
    if (at >= 20 && view.getUint32(at - 20, true) === locator64) {
      const at64 = big(view, at - 12)
      if (at64 + 56 > view.byteLength || view.getUint32(at64, true) !== endOfDirectory64)
        return fail("its zip64 end record is missing")
      return { count: big(view, at64 + 32), at: big(view, at64 + 48) }
    }
    return { count: view.getUint16(at + 10, true), at: view.getUint32(at + 16, true) }
  }
  return fail("it has no end record; the file is cut short")
}

/** Sizes and offset that do not fit in 32 bits stand in the extra field with id 1, in this order. */
const wide = (view: DataView, extraAt: number, extraBytes: number, short: ReadonlyArray<number>) => {
  let at = extraAt
  while (at + 4 <= extraAt + extraBytes && view.getUint16(at, true) !== 1)
    at += 4 + view.getUint16(at + 2, true)
  at += 4
  return short.map((value) => {
    if (value !== 0xffffffff) return value
    if (at + 8 > extraAt + extraBytes) return fail("a zip64 size is missing")
    at += 8
    return big(view, at - 8)
  })
}

const readDirectory = (bytes: Uint8Array, view: DataView): ReadonlyArray<Entry> => {
  const { count, at: start } = directory(view)
  const entries: Array<Entry> = []
  let at = start
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== directoryEntry) fail(`entry ${i} is damaged`)
    const [nameBytes, extraBytes] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)]
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameBytes))
    const short = [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ]
    const [size = 0, packedBytes = 0, headerAt = 0] = wide(view, at + 46 + nameBytes, extraBytes, short)
    const [method, crc] = [view.getUint16(at + 10, true), view.getUint32(at + 16, true)]
    entries.push({ name, method, crc, packedBytes, bytes: size, headerAt })
    at += 46 + nameBytes + extraBytes + view.getUint16(at + 32, true)
  }
  return entries
}

const contents = (bytes: Uint8Array, view: DataView, entry: Entry): Uint8Array => {
  const at = entry.headerAt
  if (at + 30 > bytes.length || view.getUint32(at, true) !== localHeader) fail(`${entry.name} is damaged`)
  const start = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true)
  const packed = bytes.subarray(start, start + entry.packedBytes)
  if (packed.length !== entry.packedBytes) fail(`${entry.name} is cut short`)
  if (entry.method !== 0 && entry.method !== 8) fail(`${entry.name} has compression method ${entry.method}`)
  // The limit keeps a crafted archive from unpacking to more than it declares.
  const data =
    entry.method === 0 ? packed : inflateRawSync(packed, { maxOutputLength: Math.max(1, entry.bytes) })
  if (data.length !== entry.bytes || crc32(data) !== entry.crc) fail(`${entry.name} has a wrong checksum`)
  return data
}

export const isZip = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 0x03 && bytes[3] === 0x04

/** Readers of an archive's entries by name; an entry is checked (size, CRC-32) when it is read. Throws `MalformedZip`. */
export const readZip = (bytes: Uint8Array): ReadonlyMap<string, () => Uint8Array> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return new Map(readDirectory(bytes, view).map((e) => [e.name, () => contents(bytes, view, e)]))
}
