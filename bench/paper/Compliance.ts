/**
 * Figure 16: the share of network settings (bandwidth 5 to 500 Mbit/s, delay 1 to 100 ms) in which a method meets a fixed
 * latency SLO *and* a fixed accuracy SLO together; alone, a latency is always met by something small and an accuracy by
 * something slow. Ours may choose anew in every setting; a baseline is a method with one network, as in the paper. For
 * each SLO also the oracle: the planner's search with many times the evaluations, on a quarter of the settings, which has every
 * bandwidth and every delay in it.
 */
import { barChart, besides, type Figure } from "../Charts.ts"
import type { Row } from "../Bench.ts"
import { type Condition, type Slo } from "../../policies/Condition.ts"
import { type Random, seededRandom, shuffled } from "../../supernet/Random.ts"
import { type Case, type Compared, compare } from "./Comparison.ts"
import type { Scale } from "./LatencySlo.ts"
import { augmented, logSpaced, type Offer, OurPlanner, swarm } from "./Methods.ts"

interface LinkState {
  readonly bandwidthMbps: number
  readonly delayMs: number
}

const scenarios: ReadonlyArray<readonly [string, (link: LinkState) => Condition]> = [
  ["augmented", augmented],
  ["swarm", (link) => swarm([link, link, link, link])],
]
const latencySlosMs = [60, 80, 110, 140]
const accuracySlos = [0.74, 0.76, 0.77, 0.78, 0.79]

/** All settings of a scenario's links, under one latency SLO. */
const settings = (
  condition: (link: LinkState) => Condition,
  latencyMs: number,
  points: number,
): ReadonlyArray<Case> =>
  logSpaced(1, 100, points)
    .toReversed()
    .flatMap((delayMs) =>
      logSpaced(5, 500, points).map((bandwidthMbps) => ({
        at: { bandwidthMbps, delayMs },
        condition: condition({ bandwidthMbps, delayMs }),
        slo: { kind: "latency", latencyMs },
      })),
    )

export const figure16Cases = (points: number): ReadonlyArray<Case> =>
  scenarios.flatMap(([, condition]) => latencySlosMs.flatMap((ms) => settings(condition, ms, points)))

export interface Compliance {
  readonly scenario: string
  readonly latencySloMs: number
  readonly accuracySlo: number
  /** Shares of settings, 0..1. */
  readonly ours: number
  /** Best single pair of method and network, and which; zoo networks only. */
  readonly zoo: number
  readonly zooName: string
  /** Best over all baselines in every setting anew: a baseline that does not exist. */
  readonly anyZoo: number
  /** Best single pair with a fixed submodel of ours. */
  readonly fixed: number
  /** Ours and the oracle on the part of the settings that the oracle searched. */
  readonly oursSampled: number
  readonly oracle: number
}

const share = (cells: ReadonlyArray<boolean>): number => cells.filter(Boolean).length / cells.length

/** Of a case's offers, pairs of method and network that have one which keeps both SLOs. */
const pairsThatMeet = (offers: ReadonlyArray<Offer>, latencyMs: number, accuracy: number) =>
  new Set(
    offers
      .filter((o) => o.latencyMs <= latencyMs && o.accuracy >= accuracy)
      .map((o) => `${o.method} + ${o.network}`),
  )

/** The pair of method and network that keeps both SLOs in most cases, with a network of the zoo or with a fixed submodel. */
export const bestPair = (
  compared: ReadonlyArray<Pick<Compared, "offers">>,
  zoo: boolean,
  latencyMs: number,
  accuracy: number,
) => {
  const met = new Map<string, number>()
  for (const c of compared) {
    const some = c.offers.filter((o) => o.zoo === zoo)
    for (const name of pairsThatMeet(some, latencyMs, accuracy)) met.set(name, (met.get(name) ?? 0) + 1)
  }
  const [name, count] = [...met].reduce((best, entry) => (entry[1] > best[1] ? entry : best), ["none", 0])
  return { name, share: count / compared.length }
}

/** The oracle searches one in so many settings, with so many times the evaluations. */
const oracleEvery = 4
const oracleFactor = 10

/**
 * Which of `points` x `points` settings (delays, in each all bandwidths) the oracle searches, by their index: in every delay as
 * many, at bandwidths in a random order such that every bandwidth comes as often as any other.
 */
export const sampledSettings = (points: number, random: Random): ReadonlySet<number> => {
  const perDelay = Math.max(1, Math.round(points / oracleEvery))
  const apart = Math.floor(points / perDelay)
  const bandwidths = shuffled(
    random,
    Array.from({ length: points }, (_, i) => i),
  )
  return new Set(
    Array.from({ length: points * perDelay }, (_, n) => {
      const [delay, round] = [n % points, Math.floor(n / points)]
      return delay * points + (bandwidths[(delay + round * apart) % points] ?? 0)
    }),
  )
}

export const figure16 = (scale: Scale): ReadonlyArray<Compliance> =>
  scenarios.flatMap(([scenario, condition]) => {
    const planner = new OurPlanner(scale.evaluations, scale.seed)
    const oracle = new OurPlanner(scale.evaluations * oracleFactor, scale.seed + 1)
    const random = seededRandom(scale.seed)
    return latencySlosMs.flatMap((latencyMs) => {
      const slo: Slo = { kind: "latency", latencyMs }
      const compared = compare(settings(condition, latencyMs, scale.points), planner)
      const sample = sampledSettings(scale.points, random)
      const sampled = compared.filter((_, i) => sample.has(i))
      const best = sampled.map((c) => {
        const found = oracle.best(c.case.condition, slo)
        // Nothing keeps the oracle from what ours found.
        return Math.max(found.meets ? found.accuracy : 0, c.ours.meets ? c.ours.accuracy : 0)
      })
      return accuracySlos.map((accuracy): Compliance => {
        const met = (c: Compared) => c.ours.meets && c.ours.accuracy >= accuracy
        const [zoo, fixed] = [true, false].map((z) => bestPair(compared, z, latencyMs, accuracy))
        return {
          scenario,
          latencySloMs: latencyMs,
          accuracySlo: accuracy,
          ours: share(compared.map(met)),
          zoo: zoo?.share ?? 0,
          zooName: zoo?.name ?? "none",
          anyZoo: share(compared.map((c) => (c.zoo?.accuracy ?? 0) >= accuracy)),
          fixed: fixed?.share ?? 0,
          oursSampled: share(sampled.map(met)),
          oracle: share(best.map((a) => a >= accuracy)),
        }
      })
    })
  })

const percent = (value: number): number => Number((100 * value).toFixed(1))

export const complianceRow = (c: Compliance): Row => ({
  figure: "16",
  scenario: c.scenario,
  sloMs: c.latencySloMs,
  accuracySlo: c.accuracySlo,
  oursPercent: percent(c.ours),
  zooPercent: percent(c.zoo),
  zooBest: c.zooName,
  zooAnyPercent: percent(c.anyZoo),
  fixedSubmodelPercent: percent(c.fixed),
  oursSampledPercent: percent(c.oursSampled),
  oraclePercent: percent(c.oracle),
})

export const drawFigure16 = (all: ReadonlyArray<Compliance>, note: string): Figure =>
  besides(
    scenarios.flatMap(([scenario]) =>
      latencySlosMs.map((latencyMs) => {
        const some = all.filter((c) => c.scenario === scenario && c.latencySloMs === latencyMs)
        const labels = {
          title: `16. ${scenario}, latency SLO ${latencyMs} ms`,
          subtitle: `share of link settings in which both SLOs are met; ${note}`,
          x: "accuracy SLO, top-1 in %",
          y: "compliance, %",
          width: 440,
          height: 300,
        }
        const values = (of: (c: Compliance) => number) => some.map((c) => 100 * of(c))
        const series = [
          { name: "ours", values: values((c) => c.ours) },
          { name: "best baseline", values: values((c) => c.zoo) },
          { name: "best fixed submodel", values: values((c) => c.fixed) },
        ]
        return barChart(
          labels,
          some.map((c) => String(100 * c.accuracySlo)),
          series,
          { min: 0, max: 100 },
        )
      }),
    ),
    2,
  )
