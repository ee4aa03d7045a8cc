/**
 * Measures the paths to the other devices: a small ping now and then, the timings of real tiles for free, and a bulk probe
 * only where nothing recent tells the bandwidth. What it finds goes into the link table and onto `link.<device>`, at once
 * when it has changed. How samples become an estimate is `devices/links/Estimator.ts`, what to ask next `Probing.ts`.
 *
 * Devices share the work. Of a pair the lower id pings and tells the other what it found; and a peer whose link somebody
 * else has just measured, and found unchanged, is left alone (`Witnesses.ts`).
 */
import { Context, Effect, FiberMap, Layer, Queue, Schedule, Stream } from "effect"
import {
  emptyPath,
  estimate,
  observePing,
  observeTransfer,
  type PathHistory,
} from "../devices/links/Estimator.ts"
import { probePlan, wantsPing, type Witness } from "../devices/links/Probing.ts"
import { Witnesses } from "../devices/links/Witnesses.ts"
import { Bus } from "../subjects/Bus.ts"
import { linkReport, probeReply, probeRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { LinkReport, LinkState, ProbeReply, ProbeRequest } from "../subjects/LinkMessages.ts"
import { listen, serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { LinkTable } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"
import { Tiles } from "./Tiles.ts"

export interface MonitorOptions {
  readonly lookEveryMs: number
  /** A report that says nothing new; news are told at once. */
  readonly reportEveryMs: number
}

/** A ping twice a second: 0.05 % of a 5 Mbps link, and a change of the delay is seen within a second. */
export const defaultMonitorOptions: MonitorOptions = { lookEveryMs: 500, reportEveryMs: 2000 }

const probeTimeoutMs = 2000
/** Between the samples that settle a doubt, and how many of them one look takes at most. */
const againMs = 60
const mostAgain = 6
/** Tiles ahead of a ping that cost it less do not count as a queue. */
const leastQueueMs = 1
/** Between two reports of news. */
const newsEveryMs = 100

/** Until something was measured: a plain Wi-Fi. Marked `assumed`, with no confidence. */
const assumed = { delayMs: 5, bandwidthMbps: 20 }

/** Peers that went, of which something is remembered. */
const mostPast = 256

type Source = "probe" | "tiles"

const stateOf = (peer: DeviceId, path: PathHistory, nowMs: number, source: Source): LinkState => {
  const known = estimate(path, nowMs)
  if (known === undefined) {
    return { peer, ...assumed, queueDelayMs: 0, confidence: 0, ageMs: 0, samples: 0, source: "assumed" }
  }
  const { delayMs, mbps, queueDelayMs, confidence, ageMs, bandwidthAgeMs, samples } = known
  const measured = Number.isFinite(mbps)
  return {
    peer,
    delayMs,
    bandwidthMbps: measured ? mbps : assumed.bandwidthMbps,
    queueDelayMs,
    confidence,
    ageMs: Number.isFinite(ageMs) ? ageMs : 0,
    ...(Number.isFinite(bandwidthAgeMs) ? { bandwidthAgeMs } : {}),
    samples,
    source: measured ? source : "assumed",
  }
}

/** Whether a planner would care: 10 % of the bandwidth, 1 ms or 10 % of the delay. */
const isNews = (told: LinkState | undefined, now: LinkState): boolean =>
  told === undefined ||
  told.source === "assumed" ||
  Math.abs(now.bandwidthMbps / told.bandwidthMbps - 1) > 0.1 ||
  Math.abs(now.delayMs - told.delayMs) > Math.max(1, 0.1 * told.delayMs)

/** What this device has measured, and what others have told it. */
class Picture {
  readonly paths = new Map<DeviceId, PathHistory>()
  private readonly witnesses = new Witnesses()
  private readonly told = new Map<DeviceId, LinkState>()
  /** Last known states of peers that went. */
  private readonly past = new Map<DeviceId, LinkState>()
  private readonly publish: (state: LinkState, isNew: boolean) => void

  constructor(publish: (state: LinkState, isNew: boolean) => void) {
    this.publish = publish
  }

  path(peer: DeviceId): PathHistory {
    return this.paths.get(peer) ?? emptyPath
  }

  learn(peer: DeviceId, source: Source, change: (path: PathHistory) => PathHistory): void {
    const path = change(this.path(peer))
    this.paths.set(peer, path)
    const state = stateOf(peer, path, performance.now(), source)
    const isNew = isNews(this.told.get(peer), state)
    if (isNew) this.told.set(peer, state)
    this.publish(state, isNew)
  }

  /** What others say about a peer; a step of any of our other paths may have been our own link's. */
  witness(peer: DeviceId): Witness {
    const { measuredMs, movedMs } = this.witnesses.of(peer)
    const ours = [...this.paths].map(([other, { steppedMs }]) => (other === peer ? movedMs : steppedMs))
    return { measuredMs, movedMs: Math.max(movedMs, ...ours) }
  }

  hear({ device, links }: LinkReport): void {
    const nowMs = performance.now()
    for (const { peer, bandwidthMbps, bandwidthAgeMs, source } of links) {
      if (source === "assumed" || bandwidthAgeMs === undefined) continue
      this.witnesses.heard({ reporter: device, peer, mbps: bandwidthMbps, ageMs: bandwidthAgeMs }, nowMs)
    }
  }

  /** What to assume of a peer that just came: what it was when it went, else a plain Wi-Fi. */
  prior(peer: DeviceId): LinkState {
    const { delayMs, bandwidthMbps } = this.past.get(peer) ?? assumed
    return { ...stateOf(peer, emptyPath, 0, "probe"), delayMs, bandwidthMbps }
  }

  forget(peer: DeviceId): void {
    const last = this.told.get(peer)
    this.past.delete(peer)
    if (last !== undefined) this.past.set(peer, last)
    if (this.past.size > mostPast) this.past.delete(this.past.keys().next().value ?? peer)
    this.paths.delete(peer)
    this.told.delete(peer)
    this.witnesses.forget(peer)
  }
}

const make = (options: MonitorOptions) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const self = yield* Self
    const membership = yield* Membership
    const table = yield* LinkTable
    const tiles = yield* Tiles
    const news = yield* Queue.sliding<void>(1)
    const looking = yield* FiberMap.make<DeviceId, void>()
    const runLook = yield* FiberMap.runtime(looking)()
    let seq = 0
    const picture = new Picture((state, isNew) => {
      table.set(state)
      if (isNew) Queue.offerUnsafe(news, undefined)
    })
    const wants = (peer: DeviceId) => {
      const nowMs = performance.now()
      const path = picture.path(peer)
      const plan = probePlan(path, nowMs, picture.witness(peer))
      return { ping: wantsPing(path, nowMs), plan, isWanted: wantsPing(path, nowMs) || plan !== undefined }
    }
    /** How long tiles that were sent to a peer may still occupy the link. */
    const queuedMs = (peer: DeviceId): number => {
      const { bytes, lastSentMs } = tiles.outstanding(peer)
      const mbps = table.get(peer)?.bandwidthMbps ?? assumed.bandwidthMbps
      return bytes === 0 ? 0 : Math.max(0, lastSentMs + (bytes * 8) / (mbps * 1000) - performance.now())
    }
    const isPinger = (peer: DeviceId) => self.device < peer
    /** The other one of the pair pings, unless it has not been heard of for too long. */
    const isPingDue = (peer: DeviceId) => {
      const lastMs = picture.path(peer).pings.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
      return isPinger(peer) || performance.now() - lastMs > 3 * options.lookEveryMs
    }
    const lastRoundTripMs = new Map<DeviceId, number>()

    const ask = Effect.fnUntraced(function* (peer: DeviceId, request: Partial<ProbeRequest>) {
      const subject = Subjects.probe(peer)
      const kind = request.payload === undefined ? ("ping" as const) : ("bulk" as const)
      const message = probeRequest.encode({ from: self.device, seq: seq++, kind, ...request })
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
      const aheadMs = queuedMs(peer)
      const before = lastRoundTripMs.get(peer)
      lastRoundTripMs.delete(peer)
      const taken = yield* ask(peer, before === undefined ? {} : { roundTripMs: before })
      const { nowMs, elapsedMs, remoteMs, reply } = taken
      const queued = aheadMs + (reply.queuedMs ?? 0) > leastQueueMs
      if (!queued) lastRoundTripMs.set(peer, elapsedMs - remoteMs)
      picture.learn(peer, "probe", (p) => observePing(p, { roundTripMs: elapsedMs, remoteMs, nowMs, queued }))
    })
    const bulk = Effect.fnUntraced(function* (peer: DeviceId, bytes: number) {
      if (tiles.outstanding(peer).bytes > 0) return
      const { nowMs, elapsedMs, remoteMs } = yield* ask(peer, { payload: new Uint8Array(bytes) })
      picture.learn(peer, "probe", (p) =>
        observeTransfer(p, { bytes, elapsedMs, remoteMs, nowMs, probe: true }),
      )
    })
    /** One look, and as many samples more as settle what it puts in doubt. */
    const look = (peer: DeviceId) =>
      Effect.gen(function* () {
        if (isPingDue(peer)) yield* ping(peer)
        for (let again = 0; again < mostAgain; again++) {
          const wanted = wants(peer)
          if (wanted.plan !== undefined) yield* bulk(peer, wanted.plan.bytes)
          else if (wanted.ping) yield* ping(peer)
          else break
          yield* Effect.sleep(againMs)
        }
      }).pipe(Effect.ignore)
    const lookNow = (peer: DeviceId) => {
      if (!FiberMap.hasUnsafe(looking, peer)) runLook(peer, look(peer))
    }

    tiles.onTransfer(({ peer, bytes, elapsedMs, processingMs, aheadBytes, resent }) => {
      if (resent || aheadBytes > 0) return
      const sample = { bytes, elapsedMs, remoteMs: processingMs, nowMs: performance.now() }
      picture.learn(peer, "tiles", (path) => observeTransfer(path, sample))
      if (wants(peer).ping) lookNow(peer)
    })
    const round = Effect.sync(() => {
      const peers = membership
        .usable()
        .flatMap((m) => (m.identity.device === self.device ? [] : [m.identity.device]))
      for (const gone of picture.paths.keys()) {
        if (peers.includes(gone)) continue
        picture.forget(gone)
        table.remove(gone)
      }
      for (const peer of peers) lookNow(peer)
    })
    /** Who comes can be planned with at once; what its link really is turns out beside. */
    const welcome = (peer: DeviceId) => {
      if (table.get(peer) === undefined) table.set(picture.prior(peer))
      lookNow(peer)
    }
    yield* membership.events.pipe(
      Stream.runForEach((e) =>
        Effect.sync(() => {
          if (e._tag !== "DeviceJoined" && e._tag !== "DeviceReturned") return
          if (membership.usable().some((m) => m.identity.device === e.device)) welcome(e.device)
        }),
      ),
      Effect.forkScoped({ startImmediately: true }),
    )
    const report = Effect.suspend(() => {
      const links = { device: self.device, nonce: self.identity.nonce, seq: seq++, links: table.all() }
      return bus.publish(Subjects.link(self.device), linkReport.encode(links)).pipe(Effect.ignore)
    })
    const reportNews = Queue.take(news).pipe(
      Effect.timeoutOption(options.reportEveryMs),
      Effect.andThen(report),
      Effect.andThen(Effect.sleep(newsEveryMs)),
      Effect.forever,
    )

    const answer = ({ from, seq: asked, roundTripMs }: ProbeRequest, arrivedMs: number): ProbeReply => {
      membership.heard(from)
      const aheadMs = queuedMs(from)
      const nowMs = performance.now()
      if (roundTripMs !== undefined && !isPinger(from))
        picture.learn(from, "probe", (p) => observePing(p, { roundTripMs, remoteMs: 0, nowMs }))
      return {
        device: self.device,
        nonce: self.identity.nonce,
        seq: asked,
        ...(aheadMs === 0 ? {} : { queuedMs: aheadMs }),
        processingMs: performance.now() - arrivedMs,
      }
    }
    yield* serve({
      subject: Subjects.probe(self.device),
      input: probeRequest,
      output: probeReply,
      concurrency: 16,
      handle: (request, { arrivedMs }) => Effect.sync(() => answer(request, arrivedMs)),
    })
    yield* listen({
      subject: Subjects.link(Subjects.anyDevice),
      input: linkReport,
      handle: (said) => Effect.sync(() => (said.device === self.device ? undefined : picture.hear(said))),
    })
    yield* Effect.forkScoped(round.pipe(Effect.repeat(Schedule.spaced(options.lookEveryMs))))
    yield* Effect.forkScoped(reportNews)
    return Monitor.of({ look })
  })

export interface MonitorShape {
  /** Measures the path to a peer now. */
  readonly look: (peer: DeviceId) => Effect.Effect<void>
}

export class Monitor extends Context.Service<Monitor, MonitorShape>()("actors/Monitor") {
  static readonly layer = (options: MonitorOptions = defaultMonitorOptions) =>
    Layer.effect(Monitor, make(options))
}
