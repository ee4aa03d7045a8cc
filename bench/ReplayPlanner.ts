/**
 * For `bench replay`: what an idle device's planner remembers, when it thinks and about what (`actors/PlanIdle.ts`,
 * `actors/Thoughts.ts`, its `expect` for forecasts), in the time of a trace. Left out: making ready, load, policies, other devices'
 * strategies. A thought ends before the next request.
 */
import { Curiosity } from "../actors/Curiosity.ts"
import { bucketOf, lru } from "../actors/Decided.ts"
import { type Judged, Portfolio } from "../actors/Portfolio.ts"
import type { Condition, Slo } from "../policies/Condition.ts"
import { type Decision, makeDecider } from "../policies/Decision.ts"
import { isNoticeablyBetter } from "../policies/Objective.ts"
import type { World } from "../policies/World.ts"
import type { Strategy } from "../supernet/Strategy.ts"

/** Decisions, and objectives for thinking ahead, that are remembered: as many as a planner does. */
const remembered = { decisions: 512, slos: 4 }

export interface Planned {
  readonly judged: Judged
  /** Nobody waited for a decision. */
  readonly isAtOnce: boolean
  /** Without decisions. */
  readonly lookUpMs: number
}

export const outcomeOf = ({ predictedAccuracy, predictedLatencyMs }: Decision) => ({
  accuracy: predictedAccuracy,
  latencyMs: predictedLatencyMs,
})

export class ReplayPlanner {
  /** In the time of the trace. */
  nowMs = 0
  /** Decisions that requests waited for, beside requests, and for forecasts. */
  readonly decisions = { waited: 0, beside: 0, ahead: 0 }
  private readonly known: Portfolio
  private readonly decided = lru<Strategy>(remembered.decisions)
  private readonly slos = lru<Slo>(remembered.slos)
  private readonly curiosity = new Curiosity(() => this.nowMs)
  private readonly decider: ReturnType<typeof makeDecider>
  private readonly local: string
  private readonly evaluations: number

  /** `evaluations` of a decision, which is made by search. */
  constructor(world: World, local: string, evaluations: number) {
    this.known = new Portfolio(world)
    this.known.addLocal(local)
    this.decider = makeDecider(world)
    this.local = local
    this.evaluations = evaluations
  }

  async plan(now: Condition, slo: Slo): Promise<Planned> {
    this.slos.set(JSON.stringify(slo), slo)
    const start = performance.now()
    const decided = this.decided.get(bucketOf(now, slo, new Map()))
    const again = decided === undefined ? undefined : this.known.judge(decided, now, slo)
    const best = again?.meets === true ? again : this.known.best(now, slo)
    const lookUpMs = performance.now() - start
    const isMet = best?.meets === true
    const isThoughtOf = again?.meets === true || (isMet && !this.curiosity.isWorthIt(now, slo, best.outcome))
    if (isThoughtOf && best !== undefined) return { judged: best, isAtOnce: true, lookUpMs }
    const decision = await this.think(now, slo)
    this.decisions[isMet ? "beside" : "waited"]++
    if (isMet) return { judged: best, isAtOnce: true, lookUpMs }
    const { strategy, meetsSlo } = decision
    return {
      judged: { strategy, outcome: outcomeOf(decision), meets: meetsSlo },
      isAtOnce: false,
      lookUpMs,
    }
  }

  /** Thinks about a condition that is forecast, for the objectives of the last requests. */
  async expect(expected: Condition): Promise<void> {
    for (const slo of this.slos.values()) {
      const isKnown = this.decided.get(bucketOf(expected, slo, new Map())) !== undefined
      if (isKnown || !this.curiosity.isWorthIt(expected, slo)) continue
      this.decisions.ahead++
      await this.think(expected, slo)
    }
  }

  private async think(condition: Condition, slo: Slo): Promise<Decision> {
    const near = this.known.best(condition, slo)
    this.curiosity.begin(condition, slo, near?.outcome)
    const decision = await decide(this.decider, condition, slo, {
      evaluations: this.evaluations,
      hints: near === undefined ? [] : [near.strategy],
    })
    this.curiosity.learn(condition, slo, isNoticeablyBetter(slo, outcomeOf(decision), near?.outcome))
    this.known.add(decision.strategy, decision.source)
    for (const d of condition.devices)
      this.known.addWhole(decision.strategy.submodel, this.local, d.id, decision.source)
    this.decided.set(bucketOf(condition, slo, new Map()), decision.strategy)
    return decision
  }
}

/** Bounded by evaluations alone, so that results do not depend on the machine's speed. */
export const decide = (
  decider: ReturnType<typeof makeDecider>,
  condition: Condition,
  slo: Slo,
  { evaluations, hints }: { readonly evaluations: number; readonly hints: ReadonlyArray<Strategy> },
): Promise<Decision> =>
  decider.decide(condition, slo, Number.POSITIVE_INFINITY, { maxEvaluations: evaluations, hints })
