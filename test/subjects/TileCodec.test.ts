import { Result } from "effect"
import { assert, describe, it } from "vitest"
import { below, pick, type Random, seededRandom, shuffled } from "../../supernet/Random.ts"
import { RequestId } from "../../subjects/DeviceId.ts"
import { TileAssembly } from "../../subjects/TileAssembly.ts"
import {
  BadTile,
  chunksOf,
  decodeTileChunk,
  encodeTileChunk,
  type Tile,
  tileBytes,
  type TileChunk,
} from "../../subjects/TileCodec.ts"

const randomTile = (random: Random): Tile => {
  const shape = [1 + below(random, 40), 1 + below(random, 60), 1 + below(random, 60)] as const
  const bits = pick(random, [8, 16, 32] as const)
  return {
    requestId: RequestId.make(`r-${below(random, 1e9)}`),
    attempt: below(random, 10),
    strategyId: "0123456789abcdef",
    edge: below(random, 300),
    shape,
    bits,
    scale: bits === 8 ? 0.001 + random.next() : 1,
    zeroPoint: bits === 8 ? below(random, 256) : 0,
    budgetMs: random.next() * 1000,
    bytes: Uint8Array.from({ length: tileBytes(shape, bits) }, () => random.next() * 256),
  }
}

const whole = (tile: Tile): TileChunk => ({ ...tile, total: tile.bytes.length, offset: 0 })
const decoded = (bytes: Uint8Array): TileChunk => Result.getOrThrow(decodeTileChunk(bytes))
const equal = (a: Uint8Array, b: Uint8Array) => assert.isTrue(Buffer.from(a).equals(b))

describe("tile chunks", () => {
  it("round-trip through the wire for any shape, width and split", () => {
    const random = seededRandom(1)
    for (let i = 0; i < 60; i++) {
      const tile = randomTile(random)
      for (const chunk of chunksOf(tile, 4 * (1 + below(random, 20_000)))) {
        const back = decoded(encodeTileChunk(chunk))
        equal(back.bytes, chunk.bytes)
        assert.deepStrictEqual({ ...back, bytes: 0 }, { ...chunk, bytes: 0 })
      }
    }
  })

  it("are decoded without copying the payload", () => {
    const message = encodeTileChunk(whole(randomTile(seededRandom(2))))
    const { bytes } = decoded(message)
    assert.strictEqual(bytes.buffer, message.buffer)
    assert.isAtLeast(bytes.byteOffset, message.byteOffset)
  })

  it("cost less than 100 bytes of envelope", () => {
    const tile = randomTile(seededRandom(3))
    assert.isBelow(encodeTileChunk(whole(tile)).length - tile.bytes.length, 100)
  })

  it("give typed values whatever the alignment of the message", () => {
    const values = Float32Array.from([1.5, -2.25, 3e10])
    const tile: Tile = {
      ...randomTile(seededRandom(4)),
      shape: [3, 1, 1],
      bits: 32,
      scale: 1,
      zeroPoint: 0,
      bytes: new Uint8Array(values.buffer),
    }
    for (let shift = 0; shift < 4; shift++) {
      const message = encodeTileChunk(whole(tile))
      const moved = new Uint8Array(message.length + shift).subarray(shift)
      moved.set(message)
      const { buffer } = new Uint8Array(decoded(moved).bytes)
      assert.deepStrictEqual([...new Float32Array(buffer)], [...values])
    }
  })

  const base = whole(randomTile(seededRandom(5)))
  it.each<[string, Partial<Record<keyof TileChunk, unknown>>]>([
    ["a total that contradicts the shape", { total: base.total + 4 }],
    ["a lying shape", { shape: [base.shape[0] + 1, base.shape[1], base.shape[2]] }],
    ["a negative side", { shape: [-1, 2, 2] }],
    ["a huge map", { shape: [8192, 4096, 4096], total: 8192 * 4096 * 4096 }],
    ["bits of 7", { bits: 7 }],
    ["bytes beyond the region", { offset: 4 }],
    ["no bytes", { bytes: new Uint8Array() }],
    ["bytes as text", { bytes: "abc" }],
    ["an infinite scale", { scale: Infinity }],
    ["a zero scale", { scale: 0 }],
    ["a zero point of 256", { zeroPoint: 256 }],
    ["a negative edge", { edge: -1 }],
    ["an edge that is no integer", { edge: 0.5 }],
    ["a strategy id of another form", { strategyId: "xyz" }],
    ["a request id with a wildcard", { requestId: "*" }],
    ["a negative budget", { budgetMs: -1 }],
  ])("are refused with %s", (_, change) => {
    const result = decodeTileChunk(encodeTileChunk({ ...base, ...change } as TileChunk))
    assert.instanceOf(Result.isFailure(result) ? result.failure : undefined, BadTile)
  })

  it("never throw on bytes that are flipped, cut or random", () => {
    const random = seededRandom(6)
    const good = encodeTileChunk(whole({ ...base, shape: [1, 8, 8], bits: 8, bytes: new Uint8Array(64) }))
    const others = Array.from({ length: 5000 }, (_, i) => {
      const cut = good.slice(0, 1 + below(random, good.length))
      const noise = Uint8Array.from({ length: 1 + below(random, 90) }, () => random.next() * 256)
      const bytes = i % 2 === 0 ? cut : noise
      bytes[below(random, bytes.length)] = random.next() * 256
      const result = decodeTileChunk(bytes)
      return Result.isFailure(result) && !(result.failure instanceof BadTile)
    })
    assert.isFalse(others.includes(true))
  })
})

describe("tile assembly", () => {
  it("rebuilds regions from chunks in any order, mixed with other regions, with duplicates", () => {
    const random = seededRandom(9)
    const assembly = new TileAssembly()
    const tiles = Array.from({ length: 30 }, (_, i) => ({ ...randomTile(random), edge: i }))
    const chunks = shuffled(
      random,
      tiles.flatMap((t) => chunksOf(t, 4000)).flatMap((c) => [c, c]),
    )
    const complete = new Map<number, Tile>()
    for (const chunk of chunks) {
      const out = assembly.accept("pi-2", chunk, 0)
      if (out._tag !== "Complete") continue
      assert.isFalse(complete.has(out.tile.edge), "a region completed twice")
      complete.set(out.tile.edge, out.tile)
    }
    assert.strictEqual(complete.size, tiles.length)
    for (const tile of tiles) equal(complete.get(tile.edge)?.bytes ?? new Uint8Array(), tile.bytes)
    assert.strictEqual(assembly.openRegions, 0)
  })

  it("passes a region of one chunk on without a copy", () => {
    const chunk = decoded(encodeTileChunk(base()))
    const out = new TileAssembly().accept("pi-2", chunk, 0)
    assert.strictEqual(out._tag === "Complete" ? out.tile.bytes : undefined, chunk.bytes)
  })

  it("refuses chunks that overlap or disagree about their region", () => {
    const tile = { ...base(), shape: [1, 100, 100] as const, bits: 8 as const, bytes: new Uint8Array(10_000) }
    const [first = base(), second = base()] = chunksOf(tile, 4000)
    const assembly = new TileAssembly()
    assembly.accept("pi-2", first, 0)
    assert.strictEqual(assembly.accept("pi-2", { ...second, offset: 3000 }, 0)._tag, "Refused")
    assert.strictEqual(assembly.accept("pi-2", { ...second, scale: 99 }, 0)._tag, "Refused")
    assert.strictEqual(assembly.accept("pi-2", second, 0)._tag, "Partial")
  })

  it("is bounded in regions, bytes and time", () => {
    const limits = { maxOpenRegions: 2, maxOpenBytes: 25_000, openMs: 1000, remembered: 4 }
    const assembly = new TileAssembly(limits)
    const part = (edge: number) => {
      const tile = {
        ...base(),
        edge,
        shape: [1, 100, 100] as const,
        bits: 8 as const,
        bytes: new Uint8Array(10_000),
      }
      return chunksOf(tile, 4000)[0] ?? assert.fail("no chunk")
    }
    assert.strictEqual(assembly.accept("a", part(1), 0)._tag, "Partial")
    assert.strictEqual(assembly.accept("a", part(2), 500)._tag, "Partial")
    assert.strictEqual(assembly.accept("a", part(3), 500)._tag, "Full")
    assert.strictEqual(assembly.sweep(1200), 1)
    assert.strictEqual(assembly.accept("a", part(3), 1200)._tag, "Partial")
    assert.strictEqual(
      new TileAssembly({ ...limits, maxOpenBytes: 9999 }).accept("a", part(1), 0)._tag,
      "Full",
    )
  })

  it("refuses the rest of a region that was dropped, and takes the region as another attempt", () => {
    const tile = { ...base(), shape: [1, 100, 100] as const, bits: 8 as const, bytes: new Uint8Array(10_000) }
    const assembly = new TileAssembly()
    const send = (attempt: number, from: number, nowMs: number) =>
      chunksOf({ ...tile, attempt }, 4000)
        .slice(from)
        .map((chunk) => assembly.accept("pi-2", chunk, nowMs)._tag)
    const [first = base()] = chunksOf(tile, 4000)
    assert.strictEqual(assembly.accept("pi-2", first, 0)._tag, "Partial")
    assert.strictEqual(assembly.sweep(10_000), 1)
    assert.deepStrictEqual(send(tile.attempt, 1, 10_500), ["Stalled", "Stalled"])
    assert.deepStrictEqual(send(tile.attempt + 1, 0, 10_500), ["Partial", "Partial", "Complete"])
  })
})

function base(): TileChunk {
  return whole(randomTile(seededRandom(10)))
}
