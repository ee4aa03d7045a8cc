/**
 * How the latency of answers compares to what was predicted, lately: a loaded machine, a profile that flatters, a link that
 * jitters. The Planner aims below the SLO by this factor, so that what it promises is kept.
 */
import type { Slo } from "../policies/Condition.ts"

/** Answers that are remembered, and how many say enough. */
const window = 64
const enough = 4
/** Until then: answers scatter, and half of those that are planned to the last moment are late. */
const unknown = 1.05
/** A factor beyond this is a fault to mend, not a thing to plan with. */
const largest = 1.5
/**
 * Aiming lower gives up accuracy and wins answers in time; what counts is the share of answers that are right and in time. Of the
 * shipped supernet, as of once-for-all's, answering in a tenth less of the time costs about half a percent of the right answers,
 * and the next tenth as much again: with the factor f, f^-0.05 of them are left.
 */
const elasticity = 0.05
/**
 * In steps, and back only by two of them at once: conditions stay comparable from one request to the next, and nobody has to
 * think about each objective anew because the factor flickers.
 */
const step = 0.05
const back = 2 * step

export class Experience {
  private readonly ratios: Array<number> = []
  private held = unknown

  observe(predictedMs: number, tookMs: number): void {
    if (!(predictedMs > 0) || !(tookMs > 0)) return
    this.ratios.push(tookMs / predictedMs)
    if (this.ratios.length > window) this.ratios.shift()
    if (this.ratios.length < enough) return
    const seen = this.seen()
    if (seen > this.held || seen <= this.held - back + 1e-9 || seen === 1) this.held = seen
  }

  /** 1 = as predicted, or better; at most 1.5. */
  factor(): number {
    return this.held
  }

  /** The factor that leaves most answers right and in time; one answer that was late by more than all others does not count. */
  private seen(): number {
    const count = this.ratios.length
    // Nothing is in time by any factor: then at least not much too late.
    if (2 * this.ratios.filter((r) => r > largest).length > count) return largest
    const inTime = (factor: number) =>
      Math.min(count, this.ratios.filter((r) => r <= factor + 1e-9).length + 1) / count
    let [best, most] = [1, 0]
    for (let i = 0; 1 + i * step <= largest + 1e-9; i++) {
      const factor = 1 + i * step
      const share = inTime(factor) * factor ** -elasticity
      if (share > most) [best, most] = [factor, share]
    }
    return best
  }

  /** What to aim for so that the client's objective is kept. */
  aim(slo: Slo): Slo {
    return slo.kind === "accuracy" ? slo : { kind: "latency", latencyMs: slo.latencyMs / this.factor() }
  }
}
