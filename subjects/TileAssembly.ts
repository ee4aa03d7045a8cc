/**
 * Puts chunks together again. Bounded in regions, bytes and time: a sender that never finishes what it began costs at
 * most `maxOpenBytes` for `openMs`. A region of one chunk is passed through without a copy.
 *
 * What was acknowledged of a region that was dropped is gone, though its sender counts it as delivered (deadlines may be longer
 * than `openMs`, and a connection away for as long): the rest is refused when it comes after all, so that the sender does
 * not wait for a region that never completes.
 */
import { BadTile, type Tile, type TileChunk, type TileHead } from "./TileCodec.ts"

export interface AssemblyLimits {
  readonly maxOpenRegions: number
  readonly maxOpenBytes: number
  /** An open region to which nothing was added for so long is dropped. */
  readonly openMs: number
  /** Finished regions that are remembered, to recognise resent chunks, and as many dropped ones. */
  readonly remembered: number
}

export const defaultAssemblyLimits: AssemblyLimits = {
  maxOpenRegions: 256,
  maxOpenBytes: 64 * 1024 * 1024,
  openMs: 10_000,
  remembered: 2048,
}

export type Assembled =
  | { readonly _tag: "Complete"; readonly tile: Tile }
  | { readonly _tag: "Partial" }
  /** This chunk, or its whole region, was here before: acknowledge it and do nothing. */
  | { readonly _tag: "Duplicate" }
  | { readonly _tag: "Refused"; readonly error: BadTile }
  /** A part of its region was here and was dropped: it cannot be completed any more. */
  | { readonly _tag: "Stalled" }
  | { readonly _tag: "Full" }

interface Open {
  readonly first: TileChunk
  readonly buffer: Uint8Array
  /** offset -> length of what has arrived */
  readonly parts: Map<number, number>
  received: number
  touchedMs: number
}

const sameHead = (a: TileChunk, b: TileChunk): boolean =>
  a.total === b.total &&
  a.bits === b.bits &&
  a.shape.every((n, i) => n === b.shape[i]) &&
  a.scale === b.scale &&
  a.zeroPoint === b.zeroPoint

const overlaps = (parts: ReadonlyMap<number, number>, offset: number, length: number): boolean => {
  for (const [start, size] of parts) if (offset < start + size && start < offset + length) return true
  return false
}

const keyOf = (from: string, t: TileHead): string =>
  `${from} ${t.requestId} ${t.attempt} ${t.strategyId} ${t.edge}`

const tileOf = (c: TileChunk, bytes: Uint8Array): Tile => ({
  requestId: c.requestId,
  attempt: c.attempt,
  strategyId: c.strategyId,
  edge: c.edge,
  shape: c.shape,
  bits: c.bits,
  scale: c.scale,
  zeroPoint: c.zeroPoint,
  budgetMs: c.budgetMs,
  bytes,
})

/** Regions under way from any number of senders. Times are of one monotonic clock, ms. */
export class TileAssembly {
  private readonly open = new Map<string, Open>()
  private readonly finished = new Set<string>()
  private readonly stalled = new Set<string>()
  private openBytes = 0
  private readonly limits: AssemblyLimits

  constructor(limits: AssemblyLimits = defaultAssemblyLimits) {
    this.limits = limits
  }

  get openRegions(): number {
    return this.open.size
  }

  /** Takes one chunk from `from`. Never throws. */
  accept(from: string, chunk: TileChunk, nowMs: number): Assembled {
    const key = keyOf(from, chunk)
    if (this.finished.has(key)) return { _tag: "Duplicate" }
    if (chunk.bytes.length === chunk.total) {
      this.close(key)
      this.remember(this.finished, key)
      return { _tag: "Complete", tile: tileOf(chunk, chunk.bytes) }
    }
    if (this.stalled.has(key)) return { _tag: "Stalled" }
    const region = this.open.get(key) ?? this.begin(key, chunk, nowMs)
    if (region === undefined) return { _tag: "Full" }
    if (region.parts.get(chunk.offset) === chunk.bytes.length) return { _tag: "Duplicate" }
    const wrong = !sameHead(region.first, chunk)
      ? "chunks of one region disagree about it"
      : overlaps(region.parts, chunk.offset, chunk.bytes.length)
        ? "chunks of one region overlap"
        : ""
    if (wrong !== "") return { _tag: "Refused", error: new BadTile({ detail: wrong }) }
    region.buffer.set(chunk.bytes, chunk.offset)
    region.parts.set(chunk.offset, chunk.bytes.length)
    region.received += chunk.bytes.length
    region.touchedMs = nowMs
    if (region.received < chunk.total) return { _tag: "Partial" }
    this.close(key)
    this.remember(this.finished, key)
    return { _tag: "Complete", tile: tileOf(chunk, region.buffer) }
  }

  /** A finished region was refused after all: let the sender try it again. */
  forget(from: string, tile: TileHead): void {
    this.finished.delete(keyOf(from, tile))
  }

  /** Drops regions that stalled; gives their number. Call it every second or so. */
  sweep(nowMs: number): number {
    let dropped = 0
    for (const [key, region] of this.open) {
      if (nowMs - region.touchedMs < this.limits.openMs) continue
      this.close(key)
      this.remember(this.stalled, key)
      dropped++
    }
    return dropped
  }

  private begin(key: string, chunk: TileChunk, nowMs: number): Open | undefined {
    if (this.open.size >= this.limits.maxOpenRegions) return undefined
    if (this.openBytes + chunk.total > this.limits.maxOpenBytes) return undefined
    const buffer = new Uint8Array(chunk.total)
    // Without its bytes: they would hold on to the network's buffer for as long as the region is open.
    const first = { ...chunk, bytes: new Uint8Array() }
    const region: Open = { first, buffer, parts: new Map(), received: 0, touchedMs: nowMs }
    this.open.set(key, region)
    this.openBytes += chunk.total
    return region
  }

  private close(key: string): void {
    const region = this.open.get(key)
    if (region === undefined) return
    this.open.delete(key)
    this.openBytes -= region.first.total
  }

  private remember(keys: Set<string>, key: string): void {
    keys.add(key)
    if (keys.size <= this.limits.remembered) return
    const oldest = keys.values().next()
    if (oldest.done !== true) keys.delete(oldest.value)
  }
}
