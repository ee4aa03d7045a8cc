/**
 * Sessions by what they compute, within a memory budget: the least recently used ones are released first, in each tier.
 *
 * Two tiers. A *block* session runs one block variant; strategies share them freely. A *fused* session runs a whole
 * segment, 13 to 31 % faster, and is worth building when the segment is run again and again.
 */
import type { ActiveBlock } from "../../supernet/Submodel.ts"
import { createSession, type RuntimeOptions, type Session } from "../../supernet/onnx/Runtime.ts"
import type { SegmentBuilder } from "../../supernet/onnx/Segment.ts"

export interface Segment {
  readonly key: string
  readonly blocks: ReadonlyArray<ActiveBlock>
  /** Key of each block alone. */
  readonly blockKeys: ReadonlyArray<string>
  readonly resolution: number
}

interface Entry {
  readonly session: Session
  readonly bytes: number
  readonly fused: boolean
}

/** Part of the budget that belongs to block sessions: a run of new fused ones does not drive them out. */
const blockShare = 0.6

/** What a session holds beside its weights, which it keeps reordered and sometimes twice (docs/engine.md). */
const bytesPerSession = 300_000
const bytesPerWeightByte = 1.6

export interface PoolStats {
  readonly sessions: number
  /** Estimated from model sizes. */
  readonly bytes: number
  readonly hits: number
  readonly built: number
  readonly evicted: number
}

export class SessionPool {
  readonly builder: SegmentBuilder
  readonly #options: RuntimeOptions
  readonly #budgetBytes: number
  readonly #entries = new Map<string, Entry>()
  #bytes = 0
  #fusedBytes = 0
  #hits = 0
  #built = 0
  #evicted = 0

  constructor(builder: SegmentBuilder, options: RuntimeOptions, budgetBytes: number) {
    this.builder = builder
    this.#options = options
    this.#budgetBytes = budgetBytes
  }

  segment(blocks: ReadonlyArray<ActiveBlock>, resolution: number): Segment {
    const blockKeys = blocks.map((b) => this.builder.key(b, resolution))
    return { key: blockKeys.join(" "), blocks, blockKeys, resolution }
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** Whether there is room for one more block session, without releasing anything. */
  get hasRoom(): boolean {
    const blocks = this.#bytes - this.#fusedBytes
    return blocks < this.#budgetBytes * blockShare && this.#bytes < this.#budgetBytes
  }

  #cost(modelBytes: number): number {
    return bytesPerSession + bytesPerWeightByte * modelBytes
  }

  async #get(key: string, blocks: ReadonlyArray<ActiveBlock>, resolution: number): Promise<Session> {
    const known = this.#entries.get(key)
    if (known !== undefined) {
      this.#hits++
      this.#entries.delete(key)
      this.#entries.set(key, known)
      return known.session
    }
    const model = this.builder.build(blocks, resolution)
    const session = await createSession(model, this.#options)
    this.#built++
    const bytes = this.#cost(model.byteLength)
    const fused = blocks.length > 1
    this.#entries.set(key, { session, bytes, fused })
    this.#bytes += bytes
    if (fused) this.#fusedBytes += bytes
    while (this.#bytes > this.#budgetBytes && this.#entries.size > 1) await this.#releaseOldest(key)
    return session
  }

  /** The least recently used session of the tier that has more than its share. */
  async #releaseOldest(keep: string): Promise<void> {
    const fusedFirst = this.#fusedBytes > this.#budgetBytes * (1 - blockShare)
    const candidates = [...this.#entries].filter(([key]) => key !== keep)
    const [key, entry] = candidates.find(([, e]) => e.fused === fusedFirst) ?? candidates[0] ?? []
    if (key === undefined || entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
    if (entry.fused) this.#fusedBytes -= entry.bytes
    this.#evicted++
    await entry.session.release()
  }

  block(segment: Segment, i: number): Promise<Session> {
    const [key, block] = [segment.blockKeys[i], segment.blocks[i]]
    if (key === undefined || block === undefined) throw new RangeError(`segment without block ${i}`)
    return this.#get(key, [block], segment.resolution)
  }

  fused(segment: Segment): Promise<Session> {
    return this.#get(segment.key, segment.blocks, segment.resolution)
  }

  get stats(): PoolStats {
    const [hits, built, evicted] = [this.#hits, this.#built, this.#evicted]
    return { sessions: this.#entries.size, bytes: Math.round(this.#bytes), hits, built, evicted }
  }

  async release(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    this.#bytes = 0
    this.#fusedBytes = 0
    for (const { session } of entries) await session.release()
  }
}
