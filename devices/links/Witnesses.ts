/**
 * What other devices say about the access links of a peer, so that n devices need not probe each other n^2 times. A path
 * is the up-link of one device and the down-link of the other: when anyone has just measured a path to a peer and saw no
 * change, that peer's link is as it was, and our own older measurement still holds. When someone sees it change, ours is
 * in doubt. Nobody's number is copied: it holds for another path.
 */
import { noWitness, type Witness } from "./Probing.ts"

/** One path as another device reports it. */
export interface Testimony {
  readonly reporter: string
  readonly peer: string
  readonly mbps: number
  /** Since it measured that. */
  readonly ageMs: number
}

interface Seen {
  mbps: number
  measuredMs: number
  movedMs: number
}

/** A change by this share is one; less is how estimates wander. */
const movedShare = 0.25
/** Reporter and peer pairs that are kept: 32 devices all to all. */
const mostPairs = 1024

export class Witnesses {
  private readonly pairs = new Map<string, Map<string, Seen>>()
  private size = 0

  heard({ reporter, peer, mbps, ageMs }: Testimony, nowMs: number): void {
    const reporters = this.pairs.get(peer) ?? new Map<string, Seen>()
    const measuredMs = nowMs - ageMs
    const seen = reporters.get(reporter)
    if (seen !== undefined) {
      if (Math.abs(mbps / seen.mbps - 1) > movedShare) Object.assign(seen, { mbps, movedMs: measuredMs })
      seen.measuredMs = Math.max(seen.measuredMs, measuredMs)
      return
    }
    if (this.size >= mostPairs) return
    this.size++
    reporters.set(reporter, { mbps, measuredMs, movedMs: Number.NEGATIVE_INFINITY })
    this.pairs.set(peer, reporters)
  }

  /** Forgets what a device said and what was said about it: it has left, or started anew. */
  forget(device: string): void {
    this.size -= this.pairs.get(device)?.size ?? 0
    this.pairs.delete(device)
    for (const reporters of this.pairs.values()) if (reporters.delete(device)) this.size--
  }

  of(peer: string): Witness {
    let witness = noWitness
    for (const { measuredMs, movedMs } of this.pairs.get(peer)?.values() ?? []) {
      witness = {
        measuredMs: Math.max(witness.measuredMs, measuredMs),
        movedMs: Math.max(witness.movedMs, movedMs),
      }
    }
    return witness
  }
}
