/**
 * What other devices said about how much they have to do, and what that is worth a while later. What they said is worked off
 * at one millisecond per millisecond. But a device that had something to do at each of its last beats takes on as much as it
 * works off: a moment after a beat it only seems idle, to all the others at once, and they would all hand their requests to
 * it. So what was heard of it becomes, as it ages, what it usually has; and as nobody knows what came to it since, one request
 * more is reckoned with: less than that is no reason to leave one queue for another (decision 29).
 */
import { idleMs } from "./Congestion.ts"
import { sum } from "./Work.ts"

/** Beats that say what is usual: a second. One of them without work, and the device is believed to become idle. */
const beatsRemembered = 4

/** Of one device; work that is not this device's own, whose part is known exactly. */
interface Heard {
  readonly atMs: number
  readonly backlogMs: number
  /** What it had to do at its last beats. */
  readonly beats: ReadonlyArray<number>
}

/** What a device has at any time, by its last beats; 0 where it is idle at times. */
export const usualMs = (beats: ReadonlyArray<number>): number =>
  beats.length < beatsRemembered || beats.some((ms) => ms <= idleMs) ? 0 : sum(beats) / beats.length

/** From what was heard to what is usual, by a millisecond per millisecond. */
export const agedMs = (heardMs: number, usual: number, ageMs: number): number =>
  heardMs > usual ? Math.max(usual, heardMs - ageMs) : Math.min(usual, heardMs + ageMs)

export class Hearsay {
  private readonly heard = new Map<string, Heard>()
  private readonly clock: () => number

  constructor(clock: () => number = () => performance.now()) {
    this.clock = clock
  }

  /** A device said in its beat how much it has to do. */
  beat(device: string, backlogMs: number): void {
    const before = this.heard.get(device)?.beats ?? []
    const beats = [...before, backlogMs].slice(-beatsRemembered)
    this.heard.set(device, { atMs: this.clock(), backlogMs, beats })
  }

  /** The same, said with a result: at a moment when it was just done with something, which is not what is usual. */
  said(device: string, backlogMs: number): void {
    const beats = this.heard.get(device)?.beats ?? []
    this.heard.set(device, { atMs: this.clock(), backlogMs, beats })
  }

  forget(device: string): void {
    this.heard.delete(device)
  }

  /**
   * How much it has to do now, as far as is known. `requestMs`: what a request brings; at most what the device usually has,
   * which may be so much faster that a request is less there.
   */
  ms(device: string, requestMs: number): number {
    const heard = this.heard.get(device)
    if (heard === undefined) return 0
    const usual = usualMs(heard.beats)
    return agedMs(heard.backlogMs, usual, this.clock() - heard.atMs) + Math.min(requestMs, usual)
  }
}
