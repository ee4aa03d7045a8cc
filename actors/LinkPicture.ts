/**
 * What a device knows of its paths to others: what it has measured, what others have told it, and what is remembered of
 * peers that went. Each measurement makes a state of the link, and shows whether that is news.
 */
import { estimate } from "../devices/links/Estimator.ts"
import { emptyPath, type PathHistory } from "../devices/links/PathHistory.ts"
import type { Witness } from "../devices/links/Probing.ts"
import { feared } from "../devices/links/Steps.ts"
import { Witnesses } from "../devices/links/Witnesses.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { LinkReport, LinkState } from "../subjects/LinkMessages.ts"

/** Until something was measured: a plain Wi-Fi. Marked `assumed`, with no confidence. */
export const assumed = { delayMs: 5, bandwidthMbps: 20 }

/** Peers that went, of which something is remembered. */
const mostPast = 256

/** What measured: probes, or real tiles. */
type Source = "probe" | "tiles"

const stateOf = (peer: DeviceId, path: PathHistory, nowMs: number, source: Source): LinkState => {
  const known = estimate(path, nowMs)
  if (known === undefined) {
    return { peer, ...assumed, queueDelayMs: 0, confidence: 0, ageMs: 0, samples: 0, source: "assumed" }
  }
  const { delayMs, mbps, queueDelayMs, confidence, ageMs, bandwidthAgeMs, samples } = known
  const measured = Number.isFinite(mbps)
  const bandwidthMbps = measured ? mbps : assumed.bandwidthMbps
  const worse = feared(path)
  return {
    peer,
    delayMs,
    bandwidthMbps,
    queueDelayMs,
    confidence,
    ageMs: Number.isFinite(ageMs) ? ageMs : 0,
    ...(Number.isFinite(bandwidthAgeMs) ? { bandwidthAgeMs } : {}),
    samples,
    source: measured ? source : "assumed",
    ...(worse === undefined
      ? {}
      : {
          feared: {
            delayMs: Math.max(delayMs, worse.delayMs),
            bandwidthMbps: bandwidthMbps / worse.slowdown,
          },
        }),
  }
}

/** Whether a planner would care: 10 % of the bandwidth, 1 ms or 10 % of the delay. */
const isNews = (told: LinkState | undefined, now: LinkState): boolean =>
  told === undefined ||
  told.source === "assumed" ||
  Math.abs(now.bandwidthMbps / told.bandwidthMbps - 1) > 0.1 ||
  Math.abs(now.delayMs - told.delayMs) > Math.max(1, 0.1 * told.delayMs)

export class LinkPicture {
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
    // Only by and about those who are here: of others nobody would ever say that they have left, and there is room for so many.
    if (!this.paths.has(device)) return
    const nowMs = performance.now()
    for (const { peer, bandwidthMbps, bandwidthAgeMs, source } of links) {
      if (source === "assumed" || bandwidthAgeMs === undefined || !this.paths.has(peer)) continue
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
