/**
 * Pieces of feature maps: cut out of a producer's output, narrowed for the bus, widened and put in their place in the
 * consumer's input. A map or piece is [channels, height, width], row by row; image pieces are bytes [height, width, 3].
 */
import { type Region, regionArea, regionHeight, regionWidth, sameRegion } from "../../supernet/Partition.ts"
import type { Bits } from "../../supernet/Strategy.ts"
import { narrowModel, widenModel } from "../../supernet/onnx/Boundary.ts"
import {
  byteTensor,
  createSession,
  floats,
  floatTensor,
  halfTensor,
  longTensor,
  type OrtTensor,
  output,
  type RuntimeOptions,
  type Session,
} from "../../supernet/onnx/Runtime.ts"

/** A region of a feature map as it travels. `scale` and `zeroPoint` apply to 8 bits. */
export interface Piece {
  /** Index in `TaskGraph.edges`. */
  readonly edge: number
  readonly bits: Bits
  readonly scale: number
  readonly zeroPoint: number
  readonly data: ArrayBuffer
}

export interface Map3 {
  readonly data: Float32Array
  readonly channels: number
  /** Where these values lie in the whole map. */
  readonly region: Region
}

/** Copies the part `region` of `from` into `to`, both placed in the same whole map. */
export const copyRegion = (from: Map3, to: Map3, region: Region): void => {
  const [width, rows] = [regionWidth(region), regionHeight(region)]
  const [fromWidth, toWidth] = [regionWidth(from.region), regionWidth(to.region)]
  const [fromPlane, toPlane] = [regionArea(from.region), regionArea(to.region)]
  const fromStart = (region.y0 - from.region.y0) * fromWidth + region.x0 - from.region.x0
  const toStart = (region.y0 - to.region.y0) * toWidth + region.x0 - to.region.x0
  const contiguous = width === fromWidth && width === toWidth
  const [runs, length] = contiguous ? [1, width * rows] : [rows, width]
  for (let c = 0; c < from.channels; c++) {
    for (let y = 0; y < runs; y++) {
      const start = c * fromPlane + fromStart + y * fromWidth
      to.data.set(from.data.subarray(start, start + length), c * toPlane + toStart + y * toWidth)
    }
  }
}

/** The bytes of an image region, ready to be handed over: pixels are uint8 RGB, [height, width, 3]. */
export const imagePiece = (edge: number, image: Uint8Array, size: number, region: Region): Piece => {
  const width = regionWidth(region) * 3
  const out = new Uint8Array(regionHeight(region) * width)
  for (let y = region.y0; y < region.y1; y++) {
    const start = (y * size + region.x0) * 3
    out.set(image.subarray(start, start + width), (y - region.y0) * width)
  }
  return { edge, bits: 8, scale: 1, zeroPoint: 0, data: out.buffer }
}

/** Bytes that a piece must have. */
export const pieceBytes = (region: Region, channels: number, bits: Bits): number =>
  (regionArea(region) * channels * bits) / 8

/** The buffer of values that fill it, ready to be handed over; where they are part of a larger one, a copy of their own. */
export const ownBuffer = (data: OrtTensor["data"]): ArrayBuffer => {
  if (!ArrayBuffer.isView(data)) throw new TypeError("not a numeric tensor")
  const { buffer, byteOffset, byteLength } = data
  return buffer instanceof ArrayBuffer && byteLength === buffer.byteLength
    ? buffer
    : new Uint8Array(new Uint8Array(buffer, byteOffset, byteLength)).buffer
}

/** The sessions that narrow and widen; made on first use, five small ones at most. */
export class Boundary {
  readonly #options: RuntimeOptions
  readonly #sessions = new Map<string, Promise<Session>>()

  constructor(options: RuntimeOptions) {
    this.#options = options
  }

  #session(name: string, model: () => Uint8Array): Promise<Session> {
    const known = this.#sessions.get(name) ?? createSession(model(), this.#options)
    this.#sessions.set(name, known)
    return known
  }

  /** The part `region` of a map at the given bits, in a buffer of its own that may be transferred. */
  async narrow(map: Map3, region: Region, bits: Bits): Promise<Omit<Piece, "edge">> {
    if (bits === 32) {
      const data = new Float32Array(regionArea(region) * map.channels)
      copyRegion(map, { data, channels: map.channels, region }, region)
      return { bits, scale: 1, zeroPoint: 0, data: data.buffer }
    }
    const whole = sameRegion(map.region, region)
    const session = await this.#session(`narrow${bits}${whole ? "" : "region"}`, () =>
      narrowModel({ bits, region: !whole }),
    )
    const shape = [1, map.channels, regionHeight(map.region), regionWidth(map.region)]
    const x = floatTensor(map.data, shape)
    const [top, left] = [map.region.y0, map.region.x0]
    const bounds = {
      starts: longTensor(region.y0 - top, region.x0 - left),
      ends: longTensor(region.y1 - top, region.x1 - left),
    }
    const result = await session.run(whole ? { x } : { x, ...bounds })
    const data = ownBuffer(output(result, "q").data)
    if (bits === 16) return { bits, scale: 1, zeroPoint: 0, data }
    const [scale, zero] = [output(result, "scale").data[0], output(result, "zero").data[0]]
    return { bits, scale: Number(scale), zeroPoint: Number(zero), data }
  }

  /** The float32 values of a piece. */
  async widen(piece: Omit<Piece, "edge">, region: Region, channels: number): Promise<Float32Array> {
    if (piece.bits === 32) return new Float32Array(piece.data)
    const { bits } = piece
    const session = await this.#session(`widen${bits}`, () => widenModel(bits))
    const shape = [1, channels, regionHeight(region), regionWidth(region)]
    const feeds =
      bits === 16
        ? { q: halfTensor(new Uint16Array(piece.data), shape) }
        : {
            q: byteTensor(new Uint8Array(piece.data), shape),
            scale: floatTensor(Float32Array.of(piece.scale), []),
            zero: byteTensor(Uint8Array.of(piece.zeroPoint), []),
          }
    return floats(output(await session.run(feeds), "x"))
  }

  /** Builds all sessions, so that no request waits for one. */
  async warmUp(): Promise<void> {
    const region = { y0: 0, y1: 2, x0: 0, x1: 2 }
    const map = { data: new Float32Array(4), channels: 1, region }
    for (const bits of [8, 16] as const) {
      await this.narrow(map, { ...region, y1: 1 }, bits)
      await this.widen(await this.narrow(map, region, bits), region, 1)
    }
  }

  async release(): Promise<void> {
    const sessions = await Promise.all(this.#sessions.values())
    this.#sessions.clear()
    for (const session of sessions) await session.release()
  }
}
