/**
 * What the real system adds to compute and transfer: the constants of the latency model, all in one place.
 * `npm run bench -- latency-model` compares predictions with a running swarm and says what they should be.
 */
import { smallestChunkBytes } from "../../subjects/Chunks.ts"

export interface Overheads {
  /** From a request's arrival to the first tile's departure, without decoding the image: planning, cutting. ms */
  readonly requestMs: number
  /** From the logits to the reply. ms */
  readonly replyMs: number
  /** Per task on its device: queue, hand-over to the inference worker and back, assembling its input. ms */
  readonly taskMs: number
  /** Per message that crosses, sender to receiver: encoding, two leaf servers and the hub, decoding. ms */
  readonly messageMs: number
  /** The same, for every MB of the message. ms */
  readonly messageMsPerMb: number
  /** Envelope of every message on the bus: subject, header, metadata. */
  readonly envelopeBytes: number
  /**
   * Regions larger than this travel as several messages, which a store-and-forward hop can overlap; on fast paths the
   * messages are larger (`chunkBytesAt`), but their envelopes are not worth counting anew.
   */
  readonly chunkBytes: number
}

/** No overhead at all: the textbook model. */
export const noOverheads: Overheads = {
  requestMs: 0,
  replyMs: 0,
  taskMs: 0,
  messageMs: 0,
  messageMsPerMb: 0,
  envelopeBytes: 0,
  chunkBytes: Infinity,
}

/**
 * Task and message: between a quiet machine and what `npm run bench -- latency-model` fits on a shared one (2.3 and 2.6 ms),
 * where the points that repeated within 5 % lay 3 % above a model with 1 and 1.6. A prediction that is a little late keeps
 * its promise. They count the shaper's timers (0.5 ms a hop), and the servers and event loops of every device on two
 * cores. A bare path through leaf, hub and leaf takes 0.5 ms at 10 KB on loopback (`bench wire`).
 */
export const defaultOverheads: Overheads = {
  requestMs: 0.8,
  replyMs: 0.4,
  taskMs: 1.3,
  messageMs: 1.8,
  messageMsPerMb: 3,
  envelopeBytes: 200,
  chunkBytes: smallestChunkBytes,
}

/** Bytes on the wire of a region's values, with an envelope for each message that they need. */
export const wireBytes = (overheads: Overheads, payloadBytes: number): number =>
  payloadBytes + overheads.envelopeBytes * Math.max(1, Math.ceil(payloadBytes / overheads.chunkBytes))

export const messageMsPerByte = (overheads: Overheads): number => overheads.messageMsPerMb / 1e6
