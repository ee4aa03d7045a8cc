/**
 * Measures the paths to the other devices: a ping every second, the timings of real tiles for free, and a bulk probe only
 * where nothing recent tells the bandwidth. What it finds goes into the link table and onto `link.<device>`.
 */
import { Context, Effect, Layer, Schedule } from "effect"
import { Bus } from "../subjects/Bus.ts"
import { linkReport, probeReply, probeRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ProbeRequest } from "../subjects/LinkMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { LinkTable } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { PathEstimate } from "./PathEstimate.ts"
import { Self } from "./Self.ts"
import { Tiles } from "./Tiles.ts"

export interface MonitorOptions {
  readonly pingEveryMs: number
  /** A bandwidth older than this is probed again, if no tile tells it meanwhile. */
  readonly bandwidthStaleMs: number
  /** 32 KB: 52 ms of a 5 Mbps link, and enough to see the difference to a ping. */
  readonly bulkBytes: number
}

export const defaultMonitorOptions: MonitorOptions = {
  pingEveryMs: 1000,
  bandwidthStaleMs: 15_000,
  bulkBytes: 32_768,
}

const probeTimeoutMs = 2000

const make = (options: MonitorOptions) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const self = yield* Self
    const membership = yield* Membership
    const table = yield* LinkTable
    const tiles = yield* Tiles
    const paths = new Map<DeviceId, PathEstimate>()
    let seq = 0

    const pathTo = (peer: DeviceId): PathEstimate => {
      const known = paths.get(peer) ?? new PathEstimate(peer)
      paths.set(peer, known)
      return known
    }
    const update = (peer: DeviceId) => table.set(pathTo(peer).state(performance.now()))

    tiles.onTransfer((t) => {
      if (t.resent || t.aheadBytes > 0) return
      pathTo(t.peer).observeTransfer(t.bytes, t.elapsedMs - t.processingMs, performance.now(), "tiles")
      update(t.peer)
    })

    const probe = Effect.fnUntraced(function* (peer: DeviceId, payload: Uint8Array | undefined) {
      const kind = payload === undefined ? ("ping" as const) : ("bulk" as const)
      const request = { from: self.device, seq: seq++, kind, ...(payload === undefined ? {} : { payload }) }
      const subject = Subjects.probe(peer)
      const sentMs = performance.now()
      const bytes = yield* bus.request(subject, probeRequest.encode(request), { timeoutMs: probeTimeoutMs })
      const reply = yield* Effect.fromResult(probeReply.decode(subject, bytes))
      const now = performance.now()
      const elapsedMs = now - sentMs - reply.processingMs
      membership.heard(peer)
      if (payload === undefined) pathTo(peer).observePing(elapsedMs, now)
      else pathTo(peer).observeTransfer(payload.length, elapsedMs, now, "probe")
      update(peer)
    })
    const look = (peer: DeviceId) =>
      Effect.gen(function* () {
        yield* probe(peer, undefined)
        const stale = pathTo(peer).bandwidthAgeMs(performance.now()) > options.bandwidthStaleMs
        if (stale) yield* probe(peer, new Uint8Array(options.bulkBytes))
      }).pipe(Effect.ignore)

    const round = Effect.gen(function* () {
      const peers = membership
        .usable()
        .flatMap((m) => (m.identity.device === self.device ? [] : [m.identity.device]))
      for (const gone of paths.keys()) {
        if (peers.includes(gone)) continue
        paths.delete(gone)
        table.remove(gone)
      }
      yield* Effect.forEach(peers, look, { concurrency: "unbounded", discard: true })
      const report = { device: self.device, nonce: self.identity.nonce, seq: seq++, links: table.all() }
      yield* bus.publish(Subjects.link(self.device), linkReport.encode(report)).pipe(Effect.ignore)
    })

    const answer = (request: ProbeRequest) =>
      Effect.sync(() => ({
        device: self.device,
        nonce: self.identity.nonce,
        seq: request.seq,
        receivedBytes: request.payload?.length ?? 0,
        processingMs: 0,
        ...(request.echoBytes === undefined ? {} : { payload: new Uint8Array(request.echoBytes) }),
      }))
    yield* serve({
      subject: Subjects.probe(self.device),
      input: probeRequest,
      output: probeReply,
      concurrency: 16,
      handle: (request, { arrivedMs }) =>
        Effect.map(answer(request), (reply) => ({ ...reply, processingMs: performance.now() - arrivedMs })),
    })
    yield* Effect.forkScoped(round.pipe(Effect.repeat(Schedule.spaced(options.pingEveryMs))))
    return Monitor.of({ look: (peer) => look(peer) })
  })

export interface MonitorShape {
  /** Measures the path to a peer now. */
  readonly look: (peer: DeviceId) => Effect.Effect<void>
}

export class Monitor extends Context.Service<Monitor, MonitorShape>()("actors/Monitor") {
  static readonly layer = (options: MonitorOptions = defaultMonitorOptions) =>
    Layer.effect(Monitor, make(options))
}
