/**
 * The hot path's wire form: one chunk of one region of a feature map, as a CBOR array of fixed layout
 *
 *   [1, requestId, attempt, strategyId, edge, channels, height, width, bits, scale, zeroPoint, total, offset, budgetMs, bytes]
 *
 * The envelope is about 70 bytes. Decoding copies no payload byte: `bytes` is a view of the received message. No Schema
 * here: a handful of explicit checks costs a microsecond and refuses everything that is not exactly this.
 */
import { Encoder } from "cbor-x"
import { Result, Schema } from "effect"
import type { Bits } from "../supernet/Strategy.ts"
import { type RequestId, requestIdPattern, strategyIdPattern } from "./DeviceId.ts"

const layout = 1
const fields = 15

/** Largest region: twice the largest map of an OFA supernet at width 1.2 and float32. */
const maxRegionBytes = 16 * 1024 * 1024
const maxSide = 4096
const maxChannels = 8192

const cbor = new Encoder({ useRecords: false, tagUint8Array: false })

/** Values of one region, as they cross the bus. value = scale * (q - zeroPoint) at 8 bits; scale 1, zero point 0 else. */
export interface TileHead {
  readonly requestId: RequestId
  /** Counts the plans of a request; an older attempt's tiles are dropped. 0..65535 */
  readonly attempt: number
  readonly strategyId: string
  /** Index of the edge in the strategy's task graph: says which region, from which task, for which task. */
  readonly edge: number
  /** channels, height, width */
  readonly shape: readonly [number, number, number]
  readonly bits: Bits
  readonly scale: number
  readonly zeroPoint: number
  /** Time that the request has left when this is sent; 0 = no deadline. No clocks are compared. */
  readonly budgetMs: number
}

export interface Tile extends TileHead {
  readonly bytes: Uint8Array
}

/** Part of a tile: bytes [offset, offset + bytes.length) of `total`. */
export interface TileChunk extends Tile {
  readonly total: number
  readonly offset: number
}

export class BadTile extends Schema.TaggedError<BadTile>()("BadTile", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

/** Bytes that a shape takes at a width. */
export const tileBytes = (shape: readonly [number, number, number], bits: Bits): number =>
  (shape[0] * shape[1] * shape[2] * bits) / 8

type Num = number
type Wire = readonly [
  Num,
  RequestId,
  Num,
  string,
  Num,
  Num,
  Num,
  Num,
  Bits,
  Num,
  Num,
  Num,
  Num,
  Num,
  Uint8Array,
]

export const encodeTileChunk = (c: TileChunk): Uint8Array => {
  const [channels, height, width] = c.shape
  // prettier-ignore
  const wire: Wire = [
    layout, c.requestId, c.attempt, c.strategyId, c.edge, channels, height, width,
    c.bits, c.scale, c.zeroPoint, c.total, c.offset, c.budgetMs, c.bytes,
  ]
  return cbor.encode(wire)
}

const int = (v: unknown, min: number, max: number): v is number =>
  typeof v === "number" && Number.isInteger(v) && v >= min && v <= max

const isRequestId = (v: unknown): v is RequestId => typeof v === "string" && requestIdPattern.test(v)
const isBits = (v: unknown): v is Bits => v === 8 || v === 16 || v === 32

/** What is wrong with the fields of a decoded array; empty when nothing is. First things first, cheapest first. */
const problem = (a: ReadonlyArray<unknown>): string => {
  if (a.length !== fields) return `${a.length} fields instead of ${fields}`
  if (a[0] !== layout) return `tile layout ${String(a[0])}; this device knows layout ${layout}`
  if (!isRequestId(a[1])) return "malformed request id"
  if (!int(a[2], 0, 65_535)) return "attempt is not an integer in 0..65535"
  if (typeof a[3] !== "string" || !strategyIdPattern.test(a[3])) return "malformed strategy id"
  if (!int(a[4], 0, 65_535)) return "edge is not an integer in 0..65535"
  if (!int(a[5], 1, maxChannels)) return `channels are not an integer in 1..${maxChannels}`
  if (!int(a[6], 1, maxSide) || !int(a[7], 1, maxSide)) return `a side is not an integer in 1..${maxSide}`
  if (!isBits(a[8])) return "bits are not 8, 16 or 32"
  if (typeof a[9] !== "number" || !Number.isFinite(a[9]) || a[9] <= 0) return "scale is not a positive number"
  if (!int(a[10], 0, 255)) return "zero point is not an integer in 0..255"
  const total = tileBytes([a[5], a[6], a[7]], a[8])
  if (a[11] !== total) return `total ${String(a[11])} bytes; shape and bits make ${total}`
  if (total > maxRegionBytes) return `region of ${total} bytes; at most ${maxRegionBytes}`
  if (typeof a[13] !== "number" || !(a[13] >= 0) || !Number.isFinite(a[13])) return "budget is not a time"
  if (!(a[14] instanceof Uint8Array) || a[14].length === 0) return "no bytes"
  if (!int(a[12], 0, total - 1) || a[12] + a[14].length > total) return "chunk lies outside of its region"
  const unit = a[8] / 8
  return a[12] % unit === 0 && a[14].length % unit === 0 ? "" : "chunk cuts a value in two"
}

/** The chunk, or why it is not one. Never throws; `bytes` is a view of the message. */
export const decodeTileChunk = (message: Uint8Array): Result.Result<TileChunk, BadTile> => {
  let raw: unknown
  try {
    raw = cbor.decode(message)
  } catch (cause) {
    return Result.fail(new BadTile({ detail: `not CBOR: ${cause instanceof Error ? cause.message : ""}` }))
  }
  if (!Array.isArray(raw)) return Result.fail(new BadTile({ detail: "not a CBOR array" }))
  const detail = problem(raw)
  if (detail !== "") return Result.fail(new BadTile({ detail }))
  const w = raw as unknown as Wire
  return Result.succeed({
    requestId: w[1],
    attempt: w[2],
    strategyId: w[3],
    edge: w[4],
    shape: [w[5], w[6], w[7]],
    bits: w[8],
    scale: w[9],
    zeroPoint: w[10],
    total: w[11],
    offset: w[12],
    budgetMs: w[13],
    bytes: w[14],
  })
}

/** Cuts a tile into chunks of at most `limit` bytes (a multiple of 4); the bytes are views of the tile's. */
export const chunksOf = (tile: Tile, limit: number): ReadonlyArray<TileChunk> => {
  const total = tile.bytes.length
  const chunks: Array<TileChunk> = []
  for (let offset = 0; offset < total; offset += limit) {
    chunks.push({ ...tile, total, offset, bytes: tile.bytes.subarray(offset, offset + limit) })
  }
  return chunks
}
