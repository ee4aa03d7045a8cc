/**
 * Probes of the path between two devices, asked and answered: a small ping, or bulk data. Of a pair the lower id pings and
 * tells the other what it found.
 */
import { randomBytes } from "node:crypto"
import { Effect } from "effect"
import { observePing, observeTransfer } from "../devices/links/Estimator.ts"
import { Bus } from "../subjects/Bus.ts"
import type { RequestError } from "../subjects/BusErrors.ts"
import type { BadMessage } from "../subjects/Codec.ts"
import { probeReply, probeRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ProbeReply, ProbeRequest } from "../subjects/LinkMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { assumed, type LinkPicture } from "./LinkPicture.ts"
import { LinkTable, type LinkTableShape } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"
import { Tiles, type TilesShape } from "./Tiles.ts"

/** What they find goes into the picture. */
export interface Probes {
  readonly ping: (peer: DeviceId) => Effect.Effect<void, RequestError | BadMessage>
  /** Not while tiles are under way: those are timed for free. */
  readonly bulk: (peer: DeviceId, bytes: number) => Effect.Effect<void, RequestError | BadMessage>
}

const probeTimeoutMs = 2000
/** A round trip is told with the next ping, while it still says how the link is. */
const tellingMs = 10_000
/** What is said of a queue of tiles, at most: the speed of the link is a guess. */
const longestQueueMs = 60_000
/** Tiles ahead of a ping that cost it less do not count as a queue. */
const leastQueueMs = 1

let random = randomBytes(65_536)
/** Nothing on its way can compress it: newer servers do where a link is slow, and zeros would make every link look fast. */
const noise = (bytes: number): Uint8Array => {
  if (random.length < bytes) random = randomBytes(bytes)
  return random.subarray(0, bytes)
}

export const isPinger = (device: DeviceId, peer: DeviceId): boolean => device < peer

/** How long tiles that were sent to a peer may still occupy the link. */
const occupiedMs = (tiles: TilesShape, links: LinkTableShape, peer: DeviceId): number => {
  const { bytes, lastSentMs } = tiles.outstanding(peer)
  const mbps = links.get(peer)?.bandwidthMbps ?? assumed.bandwidthMbps
  const leftMs = lastSentMs + (bytes * 8) / (mbps * 1000) - performance.now()
  return bytes === 0 ? 0 : Math.min(longestQueueMs, Math.max(0, leftMs))
}

export const makeProbes = (picture: LinkPicture, nextSeq: () => number) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const { device } = yield* Self
    const membership = yield* Membership
    const links = yield* LinkTable
    const tiles = yield* Tiles
    const lastRoundTrip = new Map<DeviceId, { readonly atMs: number; readonly ms: number }>()

    const ask = Effect.fnUntraced(function* (peer: DeviceId, request: Partial<ProbeRequest>) {
      const subject = Subjects.probe(peer)
      const kind = request.payload === undefined ? ("ping" as const) : ("bulk" as const)
      const message = probeRequest.encode({ from: device, seq: nextSeq(), kind, ...request })
      const sentMs = performance.now()
      const bytes = yield* bus
        .request(subject, message, { timeoutMs: probeTimeoutMs })
        .pipe(Effect.tapError((e) => (e._tag === "NobodyListens" ? membership.suspect(peer) : Effect.void)))
      const nowMs = performance.now()
      const reply: ProbeReply = yield* Effect.fromResult(probeReply.decode(subject, bytes))
      membership.heard(peer)
      return { nowMs, elapsedMs: nowMs - sentMs, remoteMs: reply.processingMs, reply }
    })
    const ping = Effect.fnUntraced(function* (peer: DeviceId) {
      const aheadMs = occupiedMs(tiles, links, peer)
      const before = lastRoundTrip.get(peer)
      lastRoundTrip.delete(peer)
      const isFresh = before !== undefined && performance.now() - before.atMs < tellingMs
      const taken = yield* ask(peer, isFresh ? { roundTripMs: before.ms } : {})
      const { nowMs, elapsedMs, remoteMs, reply } = taken
      const queued = aheadMs + (reply.queuedMs ?? 0) > leastQueueMs
      if (!queued) lastRoundTrip.set(peer, { atMs: nowMs, ms: Math.max(0, elapsedMs - remoteMs) })
      picture.learn(peer, "probe", (p) => observePing(p, { roundTripMs: elapsedMs, remoteMs, nowMs, queued }))
    })
    const bulk = Effect.fnUntraced(function* (peer: DeviceId, bytes: number) {
      if (tiles.outstanding(peer).bytes > 0) return
      const { nowMs, elapsedMs, remoteMs } = yield* ask(peer, { payload: noise(bytes) })
      picture.learn(peer, "probe", (p) =>
        observeTransfer(p, { bytes, elapsedMs, remoteMs, nowMs, probe: true }),
      )
    })
    const probes: Probes = { ping, bulk }
    return probes
  })

export const answerProbes = (picture: LinkPicture) =>
  Effect.gen(function* () {
    const { device } = yield* Self
    const membership = yield* Membership
    const links = yield* LinkTable
    const tiles = yield* Tiles

    const answer = ({ from, seq, roundTripMs }: ProbeRequest, arrivedMs: number): ProbeReply => {
      membership.heard(from)
      const aheadMs = occupiedMs(tiles, links, from)
      const nowMs = performance.now()
      if (roundTripMs !== undefined && !isPinger(device, from))
        picture.learn(from, "probe", (p) => observePing(p, { roundTripMs, remoteMs: 0, nowMs }))
      return {
        device,
        seq,
        ...(aheadMs === 0 ? {} : { queuedMs: aheadMs }),
        processingMs: performance.now() - arrivedMs,
      }
    }
    yield* serve({
      subject: Subjects.probe(device),
      input: probeRequest,
      output: probeReply,
      concurrency: 16,
      handle: (request, { arrivedMs }) => Effect.sync(() => answer(request, arrivedMs)),
    })
  })
