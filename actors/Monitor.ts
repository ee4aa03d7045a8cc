/**
 * Measures the paths to the other devices: a small ping now and then, the timings of real tiles for free, and a bulk probe
 * only where nothing recent tells the bandwidth, sized to the link. What it finds goes into the link table and onto
 * `link.<device>`. How samples become an estimate is `devices/links/Estimator.ts`.
 */
import { Context, Effect, Layer, Schedule } from "effect"
import {
  emptyPath,
  estimate,
  observePing,
  observeTransfer,
  type PathHistory,
  probePlan,
} from "../devices/links/Estimator.ts"
import { Bus } from "../subjects/Bus.ts"
import { linkReport, probeReply, probeRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { LinkState, ProbeRequest } from "../subjects/LinkMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { LinkTable } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"
import { Tiles } from "./Tiles.ts"

export interface MonitorOptions {
  readonly lookEveryMs: number
  readonly reportEveryMs: number
}

/** A ping twice a second: 200 bytes, 0.07 % of a 5 Mbps link, and a change of the delay is seen within two seconds. */
export const defaultMonitorOptions: MonitorOptions = { lookEveryMs: 500, reportEveryMs: 1000 }

const probeTimeoutMs = 2000

/** Until something was measured: a plain Wi-Fi. Marked `assumed`, with no confidence. */
const assumed = { delayMs: 5, bandwidthMbps: 20 }

const stateOf = (peer: DeviceId, path: PathHistory, nowMs: number, source: "probe" | "tiles"): LinkState => {
  const known = estimate(path, nowMs)
  if (known === undefined) {
    return { peer, ...assumed, queueDelayMs: 0, confidence: 0, ageMs: 0, samples: 0, source: "assumed" }
  }
  const { delayMs, mbps, queueDelayMs, confidence, ageMs, samples } = known
  const measured = Number.isFinite(mbps)
  return {
    peer,
    delayMs,
    bandwidthMbps: measured ? mbps : assumed.bandwidthMbps,
    queueDelayMs,
    confidence,
    ageMs: Number.isFinite(ageMs) ? ageMs : 0,
    samples,
    source: measured ? source : "assumed",
  }
}

const make = (options: MonitorOptions) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const self = yield* Self
    const membership = yield* Membership
    const table = yield* LinkTable
    const tiles = yield* Tiles
    const paths = new Map<DeviceId, PathHistory>()
    let seq = 0

    const learn = (peer: DeviceId, source: "probe" | "tiles", change: (path: PathHistory) => PathHistory) => {
      const path = change(paths.get(peer) ?? emptyPath)
      paths.set(peer, path)
      table.set(stateOf(peer, path, performance.now(), source))
    }

    tiles.onTransfer(({ peer, bytes, elapsedMs, processingMs, aheadBytes, resent }) => {
      if (resent || aheadBytes > 0) return
      const sample = { bytes, elapsedMs, remoteMs: processingMs, nowMs: performance.now() }
      learn(peer, "tiles", (path) => observeTransfer(path, sample))
    })

    const probe = Effect.fnUntraced(function* (peer: DeviceId, payload: Uint8Array | undefined) {
      const kind = payload === undefined ? ("ping" as const) : ("bulk" as const)
      const request = { from: self.device, seq: seq++, kind, ...(payload === undefined ? {} : { payload }) }
      const subject = Subjects.probe(peer)
      const sentMs = performance.now()
      const bytes = yield* bus.request(subject, probeRequest.encode(request), { timeoutMs: probeTimeoutMs })
      const reply = yield* Effect.fromResult(probeReply.decode(subject, bytes))
      const nowMs = performance.now()
      const [elapsedMs, remoteMs] = [nowMs - sentMs, reply.processingMs]
      membership.heard(peer)
      learn(peer, "probe", (path) =>
        payload === undefined
          ? observePing(path, { roundTripMs: elapsedMs, remoteMs, nowMs })
          : observeTransfer(path, { bytes: payload.length, elapsedMs, remoteMs, nowMs }),
      )
    })
    const look = (peer: DeviceId) =>
      Effect.gen(function* () {
        yield* probe(peer, undefined)
        const plan = probePlan(paths.get(peer) ?? emptyPath, performance.now())
        if (plan !== undefined) yield* probe(peer, new Uint8Array(plan.bytes))
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
    })
    const report = Effect.suspend(() => {
      const links = { device: self.device, nonce: self.identity.nonce, seq: seq++, links: table.all() }
      return bus.publish(Subjects.link(self.device), linkReport.encode(links)).pipe(Effect.ignore)
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
    yield* Effect.forkScoped(round.pipe(Effect.repeat(Schedule.spaced(options.lookEveryMs))))
    yield* Effect.forkScoped(report.pipe(Effect.repeat(Schedule.spaced(options.reportEveryMs))))
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
