/**
 * How the latency of answers compares to what was predicted, lately: a loaded machine, a profile that flatters, a link that
 * jitters. The Planner aims below the SLO by this factor, so that what it promises is kept.
 */
import type { Slo } from "../policies/Condition.ts"

/** Answers that are remembered, and how many say enough. */
const window = 32
const enough = 4
/** A factor beyond this is a fault to mend, not a thing to plan with. */
const largest = 1.5
/** Share of the answers that the factor covers. Aiming by the median, every other answer would miss an objective that binds. */
const kept = 0.9
/**
 * In steps, and back only by two of them at once: conditions stay comparable from one request to the next, and nobody has to
 * think about each objective anew because the factor flickers.
 */
const step = 0.05
const back = 2 * step

export class Experience {
  private readonly ratios: Array<number> = []
  private held = 1

  observe(predictedMs: number, tookMs: number): void {
    if (!(predictedMs > 0) || !(tookMs > 0)) return
    this.ratios.push(tookMs / predictedMs)
    if (this.ratios.length > window) this.ratios.shift()
    const seen = this.seen()
    if (seen > this.held || seen <= this.held - back + 1e-9 || seen === 1) this.held = seen
  }

  /** 1 = as predicted, or better, or not known yet; at most 1.5. */
  factor(): number {
    return this.held
  }

  private seen(): number {
    if (this.ratios.length < enough) return 1
    const sorted = [...this.ratios].sort((a, b) => a - b)
    const excess = sorted[Math.floor(kept * (sorted.length - 1))] ?? 1
    return Math.min(largest, Math.max(1, Math.ceil(excess / step - 1e-9) * step))
  }

  /** What to aim for so that the client's objective is kept. */
  aim(slo: Slo): Slo {
    return slo.kind === "accuracy" ? slo : { kind: "latency", latencyMs: slo.latencyMs / this.factor() }
  }
}
