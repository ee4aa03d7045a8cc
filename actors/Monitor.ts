/**
 * Measures the paths to the other devices: a small ping now and then, the timings of real tiles for free, and a bulk probe
 * only where nothing recent tells the bandwidth (`Looks.ts`, `Probes.ts`). What it finds goes into the link table and onto
 * `link.<device>`, at once when it has changed. How samples become an estimate is `devices/links/Estimator.ts`, what to ask
 * next `Probing.ts`.
 *
 * Devices share the work. Of a pair the lower id pings and tells the other what it found; and a peer whose link somebody
 * else has just measured, and found unchanged, is left alone (`Witnesses.ts`).
 */
import { Effect, Layer, Queue, Schedule, Stream } from "effect"
import { observeTransfer } from "../devices/links/Estimator.ts"
import { wantsPing } from "../devices/links/Probing.ts"
import { Bus } from "../subjects/Bus.ts"
import { linkReport } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { lasting, lastingEach } from "../subjects/Lasting.ts"
import { listen } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { LinkPicture } from "./LinkPicture.ts"
import { LinkTable } from "./LinkTable.ts"
import { makeLooks } from "./Looks.ts"
import { Membership, type MembershipShape } from "./Membership.ts"
import { answerProbes, makeProbes } from "./Probes.ts"
import { Self } from "./Self.ts"
import { Tiles } from "./Tiles.ts"

export interface MonitorOptions {
  readonly lookEveryMs: number
  /** A report that says nothing new; news are told at once. */
  readonly reportEveryMs: number
}

/** A ping twice a second: 0.05 % of a 5 Mbps link, and a change of the delay is seen within a second. */
export const defaultMonitorOptions: MonitorOptions = { lookEveryMs: 500, reportEveryMs: 2000 }

/** Between two reports of news. */
const newsEveryMs = 100

const make = (options: MonitorOptions) =>
  Effect.gen(function* () {
    const { device } = yield* Self
    const membership = yield* Membership
    const table = yield* LinkTable
    const tiles = yield* Tiles
    const news = yield* Queue.sliding<void>(1)
    const picture = new LinkPicture((state, isNew) => {
      table.set(state)
      if (isNew) Queue.offerUnsafe(news, undefined)
    })
    /** Counts what this Monitor says, of all kinds. */
    let seq = 0
    const nextSeq = () => seq++
    const probes = yield* makeProbes(picture, nextSeq)
    const { lookNow } = yield* makeLooks(device, picture, probes, options.lookEveryMs)

    tiles.onTransfer(({ peer, bytes, elapsedMs, processingMs, aheadBytes, resent }) => {
      if (resent || aheadBytes > 0) return
      const sample = { bytes, elapsedMs, remoteMs: processingMs, nowMs: performance.now() }
      picture.learn(peer, "tiles", (path) => observeTransfer(path, sample))
      if (wantsPing(picture.path(peer))) lookNow(peer)
    })
    const others = () =>
      membership.usable().flatMap((m) => (m.identity.device === device ? [] : [m.identity.device]))
    const round = Effect.sync(() => {
      const peers = others()
      // All of the table: a peer that went before its first probe has no path in the picture.
      for (const { peer: gone } of table.all()) {
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
    yield* whoeverComes(membership, welcome)
    yield* answerProbes(picture)
    yield* listen({
      subject: Subjects.link(Subjects.anyDevice),
      input: linkReport,
      handle: (said, { subject }) =>
        Effect.sync(() => {
          const isOthers = said.device !== device && subject === Subjects.link(said.device)
          if (isOthers) picture.hear(said)
        }),
    })
    yield* Effect.forkScoped(
      lasting("looks at links", round).pipe(Effect.repeat(Schedule.spaced(options.lookEveryMs))),
    )
    yield* Effect.forkScoped(reportNews(news, options.reportEveryMs, nextSeq))
  })

const whoeverComes = ({ events, usable }: MembershipShape, welcome: (peer: DeviceId) => void) =>
  events.pipe(
    Stream.runForEach(
      lastingEach("welcome", (e) =>
        Effect.sync(() => {
          if (e._tag !== "DeviceJoined" && e._tag !== "DeviceReturned") return
          if (usable().some((m) => m.identity.device === e.device)) welcome(e.device)
        }),
      ),
    ),
    Effect.forkScoped({ startImmediately: true }),
  )

/** Tells all what the link table holds: at once when there is news, else after a while. */
const reportNews = (news: Queue.Dequeue<void>, reportEveryMs: number, nextSeq: () => number) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const { device } = yield* Self
    const table = yield* LinkTable
    const report = Effect.suspend(() => {
      const links = { device, seq: nextSeq(), links: table.all() }
      return bus.publish(Subjects.link(device), linkReport.encode(links))
    })
    return yield* Queue.take(news).pipe(
      Effect.timeoutOption(reportEveryMs),
      Effect.andThen(lasting("link reports", report)),
      Effect.andThen(Effect.sleep(newsEveryMs)),
      Effect.forever,
    )
  })

/** Of a device's layers: nobody asks it for anything. */
export const monitorLayer = (options: MonitorOptions = defaultMonitorOptions) =>
  Layer.effectDiscard(make(options))
