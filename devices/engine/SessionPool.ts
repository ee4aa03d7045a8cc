/**
 * Sessions by what they compute, within a memory budget: the coldest are released first, in each tier.
 *
 * Two tiers. A *block* session runs one block variant; strategies share them freely. A *fused* session runs a whole
 * segment, 13 to 31 % faster, and is worth building when the segment is run again and again.
 *
 * Heat is how often a session was used lately (uses, halved again and again), so that a run of strategies that are used once
 * does not drive out what is used all the time: they take each other's place.
 */
import type { ActiveBlock } from "../../supernet/Submodel.ts"
import { createSession, discard, type RuntimeOptions, type Session } from "../../supernet/onnx/Runtime.ts"
import type { SegmentBuilder } from "../../supernet/onnx/Segment.ts"
import { Heats } from "./Heats.ts"

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
}

/** What a session holds beside its weights, which it keeps reordered and sometimes twice (docs/engine.md). */
const bytesPerSession = 300_000
const bytesPerWeightByte = 1.6

/** Part of the budget that belongs to block sessions; the rest is for fused ones. */
const blockShare = 0.6
/** Uses until older ones count half: three hundred runs of segments, of some twenty blocks each. */
const halfLives = { block: 6000, fused: 300 }

/** So much hotter than the coldest must be what takes its place: two that are used alike do not change places for ever. */
const margin = 1.5

export interface PoolStats {
  readonly sessions: number
  /** Estimated from model sizes. */
  readonly bytes: number
  readonly hits: number
  readonly built: number
  readonly evicted: number
}

/** The sessions of one tier. */
class Tier {
  readonly entries = new Map<string, Entry>()
  readonly heats: Heats
  readonly budgetBytes: number
  bytes = 0

  constructor(budgetBytes: number, halfLife: number) {
    this.budgetBytes = budgetBytes
    this.heats = new Heats(halfLife)
  }

  /** The coldest session but one; of equally cold ones, that which was built first. */
  coldest(except?: string): string | undefined {
    const others = [...this.entries.keys()].filter((key) => key !== except)
    const heat = (key: string) => this.heats.of(key)
    return others.length === 0 ? undefined : others.reduce((a, b) => (heat(b) < heat(a) ? b : a))
  }

  /** Of a session as they are here, bytes. */
  get usual(): number {
    return this.bytes / Math.max(1, this.entries.size)
  }

  add(key: string, entry: Entry): void {
    this.entries.set(key, entry)
    this.bytes += entry.bytes
  }

  remove(key: string): Entry | undefined {
    const entry = this.entries.get(key)
    this.entries.delete(key)
    this.bytes -= entry?.bytes ?? 0
    return entry
  }
}

export class SessionPool {
  readonly builder: SegmentBuilder
  readonly #options: RuntimeOptions
  readonly #budgetBytes: number
  readonly #blocks: Tier
  readonly #fused: Tier
  #hits = 0
  #built = 0
  #evicted = 0

  constructor(builder: SegmentBuilder, options: RuntimeOptions, budgetBytes: number) {
    this.builder = builder
    this.#options = options
    this.#budgetBytes = budgetBytes
    this.#blocks = new Tier(budgetBytes * blockShare, halfLives.block)
    this.#fused = new Tier(budgetBytes * (1 - blockShare), halfLives.fused)
  }

  segment(blocks: ReadonlyArray<ActiveBlock>, resolution: number): Segment {
    const blockKeys = blocks.map((b) => this.builder.key(b, resolution))
    return { key: blockKeys.join(" "), blocks, blockKeys, resolution }
  }

  has(key: string): boolean {
    return this.#blocks.entries.has(key) || this.#fused.entries.has(key)
  }

  /** Whether there is room for one more block session of usual size, without releasing anything. */
  get hasRoom(): boolean {
    return this.#fits(this.#blocks)
  }

  #fits({ bytes, usual, budgetBytes }: Tier): boolean {
    return bytes + usual <= budgetBytes && this.#bytes + usual <= this.#budgetBytes
  }

  /** A segment was run, on its fused session or on those of its blocks. */
  ran(segment: Segment, tier: "block" | "fused"): void {
    this.#fused.heats.warm(segment.key)
    if (tier === "block") for (const key of segment.blockKeys) this.#blocks.heats.warm(key)
  }

  /** How often a segment was run lately. */
  heat(segment: Segment): number {
    return this.#fused.heats.of(segment.key)
  }

  /** Heat from which on a segment finds room for a fused session, if need be in place of the coldest. */
  get fusedFrom(): number {
    if (this.#fits(this.#fused)) return 0
    const coldest = this.#fused.coldest()
    return coldest === undefined ? 0 : margin * this.#fused.heats.of(coldest)
  }

  get #bytes(): number {
    return this.#blocks.bytes + this.#fused.bytes
  }

  async #get(key: string, blocks: ReadonlyArray<ActiveBlock>, resolution: number): Promise<Session> {
    const tier = blocks.length > 1 ? this.#fused : this.#blocks
    const known = tier.entries.get(key)
    if (known !== undefined) {
      this.#hits++
      return known.session
    }
    const model = this.builder.build(blocks, resolution)
    const bytes = bytesPerSession + bytesPerWeightByte * model.byteLength
    const session = await createSession(model, this.#options)
    discard(model)
    this.#built++
    tier.add(key, { session, bytes })
    while (this.#bytes > this.#budgetBytes && (await this.#releaseColdest(key)));
    return session
  }

  /** The coldest session of the tier that has more than its share; false where there is none but the one to keep. */
  async #releaseColdest(keep: string): Promise<boolean> {
    const fusedFirst = this.#fused.bytes > this.#fused.budgetBytes
    for (const tier of fusedFirst ? [this.#fused, this.#blocks] : [this.#blocks, this.#fused]) {
      const key = tier.coldest(keep)
      if (key === undefined) continue
      this.#evicted++
      await tier.remove(key)?.session.release()
      return true
    }
    return false
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
    const sessions = this.#blocks.entries.size + this.#fused.entries.size
    return { sessions, bytes: Math.round(this.#bytes), hits, built, evicted }
  }

  async release(): Promise<void> {
    for (const tier of [this.#blocks, this.#fused])
      for (const key of tier.entries.keys()) await tier.remove(key)?.session.release()
  }
}
