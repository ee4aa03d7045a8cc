/**
 * For `bench decide` and the paper's figure 18: how long evolutionary search (once-for-all's settings) takes until it has found
 * something as good as what was decided, on the same conditions. Some runs give up before; their times are then too short.
 */
import { type Environment, toDevices } from "../policies/Environment.ts"
import { evolve } from "../policies/Evolution.ts"
import type { Genome } from "../policies/Genome.ts"
import { conditionOf, type Constraint, fitCondition, sloAtEase } from "../policies/Scenario.ts"
import { judge } from "../policies/World.ts"
import { seededRandom } from "../supernet/Random.ts"
import { mean, median, quantile, type Row } from "./Bench.ts"
import { barChart, svgDocument } from "./Charts.ts"

/** Evolution gives up after this, or after its 500 generations. */
export const evolutionLimitMs = 10_000

/** What was decided for a condition; device genes are slots. */
export interface Decided {
  readonly constraint: Constraint
  /** By the policy alone, and with check and repair. */
  readonly alone: Genome
  readonly repaired: Genome
  readonly policyMs: number
  readonly decideMs: number
  readonly evaluations: number
  readonly source: string
}

/** One search; `reached`: it got as far as what was decided, and did not give up. */
interface Evolution {
  readonly ms: number
  readonly reached: boolean
}

/** Decisions, and what evolution took for each: until as good as the policy alone, and as the decision. */
export interface Evolved {
  readonly decided: ReadonlyArray<Decided>
  readonly alone: ReadonlyArray<Evolution>
  readonly repaired: ReadonlyArray<Evolution>
}

const evolutionTimes = (
  environment: Environment,
  decided: ReadonlyArray<Decided>,
  goalOf: (one: Decided) => Genome,
  seed: number,
): ReadonlyArray<Evolution> => {
  const { scenario, kind, world } = environment
  const random = seededRandom(seed)
  return decided.map((one) => {
    const condition = conditionOf(scenario, one.constraint)
    const judged = judge(world, condition, sloAtEase(scenario, kind, one.constraint[0] ?? 0))
    const fitted = fitCondition(scenario, condition, judged.slo)
    const placed = toDevices(world, goalOf(one), fitted?.deviceOfSlot ?? [])
    // As good: within half a percent of what is left free, accuracy or latency, or of the miss.
    const wanted = judged.score(placed)
    const goodEnough = wanted - 0.005 * Math.abs(wanted)
    const start = performance.now()
    const found = evolve(judged, random, { milliseconds: evolutionLimitMs }, goodEnough)
    return { ms: performance.now() - start, reached: found.score >= goodEnough }
  })
}

export const evolved = (
  environment: Environment,
  decided: ReadonlyArray<Decided>,
  seed: number,
): Evolved => ({
  decided,
  alone: evolutionTimes(environment, decided, (d) => d.alone, seed),
  repaired: evolutionTimes(environment, decided, (d) => d.repaired, seed),
})

const reachedShare = (runs: ReadonlyArray<Evolution>): number => mean(runs.map((e) => (e.reached ? 1 : 0)))

export const evolutionRow = (conditions: string, runs: ReadonlyArray<Evolution>): Row => {
  const ms = runs.map((e) => e.ms)
  return {
    conditions,
    evolution_runs: runs.length,
    evolution_p50_ms: median(ms),
    evolution_p90_ms: quantile(ms, 0.9),
    evolution_reached: reachedShare(runs),
  }
}

/** How many times as long evolution takes: the median over the conditions. */
export const timesAsLong = (runs: ReadonlyArray<Evolution>, ownMs: ReadonlyArray<number>): number =>
  median(runs.map((e, i) => e.ms / (ownMs[i] ?? Number.NaN)))

/** Figure 18 of the paper: the time for a decision; every bar is of the same conditions. */
export const figure18 = ({ decided, alone, repaired }: Evolved): string => {
  const methods = {
    policy: decided.map((d) => d.policyMs),
    "evolution, as good": alone.map((e) => e.ms),
    "policy, check, repair": decided.map((d) => d.decideMs),
    "evolution, as good as that": repaired.map((e) => e.ms),
  }
  const gaveUp = [alone, repaired]
    .map((runs) => `${Math.round(100 * (1 - reachedShare(runs)))} %`)
    .join(" and ")
  const isCensored = [...alone, ...repaired].some((e) => !e.reached)
  const labels = {
    title: "Figure 18: time for a decision",
    subtitle: `measured on one core, ${decided.length} conditions; evolutionary search until it is as good as the method on its left, or gives up`,
    x: isCensored
      ? `it gave up (500 generations) in ${gaveUp} of them, which count with the time until then: lower bounds`
      : "",
    y: "ms (log)",
    width: 680,
  }
  const of = (at: (ms: ReadonlyArray<number>) => number) => Object.values(methods).map(at)
  const series = [
    { name: "median", values: of(median) },
    { name: "90th percentile", values: of((ms) => quantile(ms, 0.9)) },
  ]
  return svgDocument(barChart(labels, Object.keys(methods), series, { log: true, min: 0.1 }))
}
