/**
 * How large the pieces are in which a tile travels. Each piece costs envelope, copies and an answer, so they should be large;
 * a control message waits for the piece in front of it, and a hop can pass on only whole pieces, so they should be short in
 * time. On slow paths they have a fixed size, on fast ones they grow to what passes in two milliseconds.
 */
import type { ChunkTransfer } from "./Outbox.ts"

/** 157 ms at 5 Mbps, 16 ms at 50 Mbps, 2 ms at 393 Mbps; envelope and acknowledgement cost under 1 %. */
export const smallestChunkBytes = 96 * 1024
/** From 1 Gbps on. Beyond it nothing is gained (`bench wire`), and nats-server's default limit is 1 MB. */
const largestChunkBytes = 256 * 1024
const chunkMs = 2

/** Bytes of a chunk, a multiple of 4, on a path of this speed; the latency model and the sender both ask here. */
export const chunkBytesAt = (msPerByte: number, smallest = smallestChunkBytes): number =>
  Math.max(smallest, Math.min(largestChunkBytes, Math.floor(chunkMs / msPerByte / 4) * 4))

/** Smaller messages tell about the delay of a path, not about its speed. */
const tellingBytes = smallestChunkBytes / 4

/**
 * What is believed of a path's speed (bytes per ms, 0 = nothing) after one more acknowledged chunk. Delays make each say too
 * little, and what was under way before it a little too much: part of that had crossed when it was sent, so that with n chunks
 * under way up to n/(n-1) of the speed is seen. For the size of a chunk that is near enough. A better one is believed at once,
 * a worse one no further than half of what was believed.
 */
export const bytesPerMsAfter = (believed: number, t: ChunkTransfer): number => {
  if (t.resent || t.bytes < tellingBytes) return believed
  const seen = (t.aheadBytes + t.bytes) / Math.max(0.01, t.elapsedMs - t.processingMs)
  return Math.max(seen, believed / 2)
}
