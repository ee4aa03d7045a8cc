/**
 * When it is worth thinking about what nobody waits for. Thoughts take computation from the requests under way, and while
 * nothing changes, one after the other finds what is known already: each of those doubles the pause until the next one on
 * the same subject, and one that finds something better ends the long pauses. After a link changed, a part of the pause is enough:
 * measurements of a busy link jitter, and are mostly answered by what is known.
 */
import type { Condition, Slo } from "../policies/Condition.ts"
import type { Outcome } from "../policies/Objective.ts"
import { lru } from "./Decided.ts"

/** ms; the pauses after useless thoughts, the first and the longest. */
const firstPauseMs = 100
const longestPauseMs = 20_000
/** Of the pause, where a link is no longer what it was at the last thought. */
const movedShare = 0.25
/** Subjects that are remembered: objectives, each with the devices that are there. */
const subjectsRemembered = 256
/** Objectives this close count as the same: their answers are the same most of the time. */
const latencyRatio = 1.05
const accuracyStep = 0.005
/** A link is another one beyond these: times as fast or slow, and ms of delay (or half of it). */
const bandwidthRatio = 1.5
const delayMs = 2

/** Beyond these what is known has become so bad that no pause holds: points of top-1, and times the latency. */
const loss = { accuracy: 0.02, latency: 2 }

const hasWorsened = (slo: Slo, before: Outcome | undefined, now: Outcome | undefined): boolean => {
  if (before === undefined || now === undefined) return false
  return slo.kind === "latency"
    ? now.accuracy < before.accuracy - loss.accuracy
    : now.latencyMs > before.latencyMs * loss.latency
}

/** Of one subject. */
interface Interest {
  /** At the last thought. */
  readonly devices: Condition["devices"]
  /** The best that was known. */
  readonly known: Outcome | undefined
  readonly atMs: number
  /** From then on. */
  readonly pauseMs: number
}

const subjectOf = ({ devices }: Condition, slo: Slo): string => {
  const level =
    slo.kind === "latency" ? Math.log(slo.latencyMs) / Math.log(latencyRatio) : slo.accuracy / accuracyStep
  return `${slo.kind} ${Math.round(level)} ${devices.map((d) => d.id).join(" ")}`
}

const hasMoved = (before: Condition["devices"], now: Condition["devices"]): boolean =>
  now.some((d, i) => {
    const was = before[i]
    if (was === undefined) return true
    const ratio = d.bandwidthMbps / was.bandwidthMbps
    const isOther = ratio > bandwidthRatio || ratio * bandwidthRatio < 1
    return isOther || Math.abs(d.delayMs - was.delayMs) > Math.max(delayMs, was.delayMs / 2)
  })

export class Curiosity {
  private readonly interests = lru<Interest>(subjectsRemembered)
  private readonly clock: () => number

  constructor(clock: () => number = () => performance.now()) {
    this.clock = clock
  }

  /** Whether a thought on this may find something; `known`: the best that is known now, where the caller has looked. */
  isWorthIt(condition: Condition, slo: Slo, known?: Outcome): boolean {
    const last = this.interests.get(subjectOf(condition, slo))
    if (last === undefined) return true
    if (hasWorsened(slo, last.known, known)) return this.clock() - last.atMs >= firstPauseMs
    const share = hasMoved(last.devices, condition.devices) ? movedShare : 1
    return this.clock() - last.atMs >= share * last.pauseMs
  }

  /** A thought begins: none on the same subject beside it. */
  begin(condition: Condition, slo: Slo, known?: Outcome): void {
    const { devices } = condition
    const subject = subjectOf(condition, slo)
    const { pauseMs } = this.interests.get(subject) ?? { pauseMs: firstPauseMs }
    this.interests.set(subject, { devices, known, pauseMs, atMs: this.clock() })
  }

  /** A thought came to an end. */
  learn(condition: Condition, slo: Slo, foundBetter: boolean): void {
    const { devices } = condition
    const subject = subjectOf(condition, slo)
    const last = this.interests.get(subject)
    const longer = Math.min(longestPauseMs, 2 * (last?.pauseMs ?? firstPauseMs))
    const pauseMs = foundBetter ? firstPauseMs : longer
    this.interests.set(subject, { devices, known: last?.known, pauseMs, atMs: this.clock() })
  }

  /** Other policies, or devices of a type that is new: everything may have better answers now. */
  forget(): void {
    this.interests.clear()
  }
}
