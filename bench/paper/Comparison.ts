/** Ours beside the baselines, condition by condition: the table that figures 13 to 16 are drawn from. */
import type { Condition, Slo } from "../../policies/Condition.ts"
import type { Row } from "../Bench.ts"
import { bestOffer, type Found, type Offer, offers, type OurPlanner } from "./Methods.ts"

export interface Case {
  /** Bandwidth, delay and whatever else names the condition, for rows and axes. */
  readonly at: Readonly<Record<string, number>>
  readonly condition: Condition
  readonly slo: Slo
}

export interface Compared {
  readonly case: Case
  readonly ours: Found
  /** Every baseline with every network, whether it meets the SLO or not. */
  readonly offers: ReadonlyArray<Offer>
  /** Best that meets the SLO: with the paper's networks, and with fixed submodels of ours as well. */
  readonly zoo: Offer | undefined
  readonly any: Offer | undefined
}

/** Cases should come strictest first: what was found for one is a starting point for the next. */
export const compare = (cases: ReadonlyArray<Case>, planner: OurPlanner): ReadonlyArray<Compared> =>
  cases.map((c) => {
    const ours = planner.best(c.condition, c.slo)
    const found = offers(c.condition)
    const zoo = bestOffer(
      found.filter((o) => o.zoo),
      c.slo,
    )
    return { case: c, ours, offers: found, zoo, any: bestOffer(found, c.slo) }
  })

/** Best offer of one method, with the paper's networks. */
export const bestOfMethod = (compared: Compared, method: string): Offer | undefined =>
  bestOffer(
    compared.offers.filter((o) => o.zoo && o.method === method),
    compared.case.slo,
  )

const round = (value: number, digits: number): number => Number(value.toFixed(digits))
const percent = (value: number): number => round(100 * value, 2)

const offerFields = (prefix: string, offer: Offer | undefined): Row =>
  offer === undefined
    ? { [prefix]: "none" }
    : {
        [prefix]: `${offer.method} + ${offer.network}`,
        [`${prefix}Top1`]: percent(offer.accuracy),
        [`${prefix}Ms`]: round(offer.latencyMs, 1),
      }

export const rowOf = (figure: string, compared: Compared): Row => ({
  figure,
  ...compared.case.at,
  oursMeets: compared.ours.meets,
  oursTop1: percent(compared.ours.accuracy),
  oursMs: round(compared.ours.latencyMs, 1),
  ...offerFields("zoo", compared.zoo),
  ...offerFields("any", compared.any),
})

export interface Lead {
  /** Latency SLO: points of top-1 above the best baseline. Accuracy SLO: its latency over ours. Where both comply. */
  readonly most: number
  readonly least: number
  /** Cases where a baseline meets the SLO and ours does not, or ours is worse by more than rounding. */
  readonly lower: number
  /** Cases that each covers. */
  readonly oursCovers: number
  readonly theirsCovers: number
  readonly cases: number
}

/** How far ours is ahead of the best baseline of a kind. */
export const leadOver = (
  compared: ReadonlyArray<Compared>,
  baseline: (c: Compared) => Offer | undefined,
): Lead => {
  const both = compared.flatMap((c) => {
    const theirs = baseline(c)
    if (theirs === undefined || !c.ours.meets) return []
    return c.case.slo.kind === "latency"
      ? [100 * (c.ours.accuracy - theirs.accuracy)]
      : [theirs.latencyMs / c.ours.latencyMs]
  })
  const even = compared[0]?.case.slo.kind === "latency" ? 0 : 1
  const missed = compared.filter((c) => baseline(c) !== undefined && !c.ours.meets).length
  return {
    most: both.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
    least: both.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    lower: missed + both.filter((lead) => lead < even - 1e-6).length,
    oursCovers: compared.filter((c) => c.ours.meets).length,
    theirsCovers: compared.filter((c) => baseline(c) !== undefined).length,
    cases: compared.length,
  }
}
