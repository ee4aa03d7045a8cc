import { assert, describe, it } from "vitest"
import { bytesPerMsAfter, chunkBytesAt, smallestChunkBytes } from "../../subjects/Chunks.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { ChunkTransfer } from "../../subjects/Outbox.ts"

const msPerByte = (mbps: number) => 8 / (mbps * 1000)
const transfer = (bytes: number, elapsedMs: number, more: Partial<ChunkTransfer> = {}): ChunkTransfer => ({
  peer: DeviceId.make("pi-2"),
  bytes,
  elapsedMs,
  processingMs: 0,
  aheadBytes: 0,
  resent: false,
  abandoned: false,
  ...more,
})

describe("chunks", () => {
  it("have one size on slow paths, two milliseconds on fast ones, and an end", () => {
    for (const mbps of [0.1, 5, 50, 390])
      assert.strictEqual(chunkBytesAt(msPerByte(mbps)), smallestChunkBytes)
    assert.closeTo(chunkBytesAt(msPerByte(800)), 2 * 100_000, 4)
    assert.strictEqual(chunkBytesAt(msPerByte(100_000)), chunkBytesAt(0))
    assert.isBelow(chunkBytesAt(0), 1_000_000)
  })

  it("never cut a value, and are no smaller on a faster path", () => {
    let before = 0
    for (let mbps = 1; mbps < 3000; mbps += 7) {
      const bytes = chunkBytesAt(msPerByte(mbps))
      assert.strictEqual(bytes % 4, 0)
      assert.isAtLeast(bytes, before)
      before = bytes
    }
  })

  it("start small on a path that nobody knows", () => {
    assert.strictEqual(chunkBytesAt(1 / 0), smallestChunkBytes)
  })
})

describe("the speed of a path", () => {
  it("is believed at once when it is better, and halved at most when it is worse", () => {
    assert.strictEqual(bytesPerMsAfter(0, transfer(100_000, 1)), 100_000)
    assert.strictEqual(bytesPerMsAfter(100_000, transfer(100_000, 100)), 50_000)
    assert.strictEqual(bytesPerMsAfter(1000, transfer(100_000, 2, { processingMs: 1 })), 100_000)
  })

  it("counts what went ahead, and learns nothing from small or repeated messages", () => {
    assert.strictEqual(bytesPerMsAfter(0, transfer(100_000, 2, { aheadBytes: 100_000 })), 100_000)
    assert.strictEqual(bytesPerMsAfter(7, transfer(1000, 1)), 7)
    assert.strictEqual(bytesPerMsAfter(7, transfer(100_000, 1, { resent: true })), 7)
  })
})
