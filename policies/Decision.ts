/**
 * The decision at run time: a policy proposes, the latency model checks, local search repairs or improves within a time
 * budget; where no policy fits the swarm, search alone decides. Every decision says where it came from, and whether the
 * models expect it to meet the SLO: the nearest miss is returned, never an exception, when nothing meets it.
 */
import { type Random, seededRandom } from "../supernet/Random.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import type { Condition, Slo } from "./Condition.ts"
import { decodeGenome, encodeStrategy, type Genome } from "./Genome.ts"
import { meetsSlo } from "./Objective.ts"
import { type Budget, improve, keepBest, search } from "./Search.ts"
import { type Candidate, type Judge, judge, type World } from "./World.ts"

/** A trained policy, ready to run. */
export interface Proposer {
  /** Name of the policy, for reports. */
  readonly name: string
  /** Whether it was trained for this kind of SLO, these device types and no more devices than it has slots for. */
  readonly fits: (condition: Condition, slo: Slo) => boolean
  /** Strategies for the condition, the most wanted first; device genes index `condition.devices`. */
  readonly propose: (condition: Condition, slo: Slo) => Promise<ReadonlyArray<Genome>>
}

/**
 * policy: taken as proposed; repair: found by local search from a proposal; search: found by search from a hint or from nothing,
 * a hint itself, or the best that there is where a proposal could not be repaired.
 */
export type DecisionSource = "policy" | "repair" | "search"

export interface Decision {
  /** Normal form; `devices` holds the ids of the condition, local first. */
  readonly strategy: Strategy
  readonly predictedLatencyMs: number
  /** Top-1, 0..1. */
  readonly predictedAccuracy: number
  readonly meetsSlo: boolean
  readonly source: DecisionSource
  /** Name of the policy that proposed; absent for a search. */
  readonly policy?: string
  readonly evaluations: number
  readonly decisionMs: number
}

export interface DecisionOptions {
  /** Strategies known to be good nearby (a cache's neighbours, the running one): starting points. */
  readonly hints?: ReadonlyArray<Strategy>
  /** Fixes the random moves; default 1. */
  readonly seed?: number
  /** A second bound beside the time, for results that do not depend on the machine's speed. */
  readonly maxEvaluations?: number
}

export interface Decider {
  readonly decide: (
    condition: Condition,
    slo: Slo,
    budgetMs: number,
    options?: DecisionOptions,
  ) => Promise<Decision>
}

/** Share of the budget for checking and repairing proposals; what is left of it is there for a search if that fails. */
const repairShare = 0.5
/** Share of that for polishing a proposal that already meets its SLO: an eighth of the budget. */
const polishShare = 0.25

const finish = (
  world: World,
  judged: Judge,
  best: Candidate,
  source: DecisionSource,
  policy: string | undefined,
  startedMs: number,
): Decision => {
  const outcome = judged.outcome(best.genome)
  const ids = judged.condition.devices.map((d) => d.id)
  return {
    strategy: decodeGenome(world.space, best.genome, ids),
    predictedLatencyMs: outcome.latencyMs,
    predictedAccuracy: outcome.accuracy,
    meetsSlo: meetsSlo(judged.slo, outcome),
    source,
    ...(policy === undefined ? {} : { policy }),
    evaluations: judged.evaluations(),
    decisionMs: performance.now() - startedMs,
  }
}

/** A proposal stands if it meets the SLO, no hint is better and local search finds nothing better in its share of the budget. */
const checkAndRepair = (
  judged: Judge,
  proposals: ReadonlyArray<Genome>,
  hints: ReadonlyArray<Genome>,
  budget: Required<Budget>,
  random: Random,
) => {
  const best = keepBest(6)
  // Proposals first: a hint that says the same does not take their place.
  for (const genome of proposals) best.offer({ genome, score: judged.score(genome), began: "proposal" })
  for (const genome of hints) best.offer({ genome, score: judged.score(genome), began: "hint" })
  const given = best.kept[0]
  if (given === undefined) return undefined
  const met = given.score > 0
  const share = met ? polishShare : 1
  const limits = { milliseconds: budget.milliseconds * share, evaluations: budget.evaluations * share }
  const improved = improve(judged, best.kept, limits, random)
  const found: DecisionSource = improved.score > given.score ? "repair" : "policy"
  const source: DecisionSource = improved.began === "hint" ? "search" : found
  return { best: improved, source, met: improved.score > 0 }
}

export const makeDecider = (world: World, policies: ReadonlyArray<Proposer> = []): Decider => ({
  decide: async (condition, slo, budgetMs, options = {}) => {
    const startedMs = performance.now()
    const judged = judge(world, condition, slo)
    const left = (share: number) => ({
      milliseconds: Math.max(0, share * (budgetMs - (performance.now() - startedMs))),
      evaluations: share * ((options.maxEvaluations ?? Number.POSITIVE_INFINITY) - judged.evaluations()),
    })
    const random = seededRandom(options.seed ?? 1)
    const ids = condition.devices.map((d) => d.id)
    const hints = (options.hints ?? [])
      .filter((s) => s.devices.every((id) => ids.includes(id)) && s.devices[0] === ids[0])
      .map((s) => encodeStrategy(world.space, s, ids))
    const policy = policies.find((p) => p.fits(condition, slo))
    if (policy !== undefined) {
      const proposals = await policy.propose(condition, slo)
      const checked = checkAndRepair(judged, proposals, hints, left(repairShare), random)
      if (checked?.met === true) {
        const { best, source } = checked
        return finish(world, judged, best, source, source === "search" ? undefined : policy.name, startedMs)
      }
      if (checked !== undefined) hints.push(checked.best.genome)
    }
    const found = search(judged, left(1), random, hints)
    return finish(world, judged, found, "search", undefined, startedMs)
  },
})
