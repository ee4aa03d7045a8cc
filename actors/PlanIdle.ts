/**
 * Planning over devices that have nothing to do: first what was decided for this condition, then the best of all strategies
 * known; only where that misses the objective a decision is waited for. A policy would know better within a few ms, but those
 * are missing where the objective is tight: what it finds meanwhile is for the next request. In the same way nobody waits until
 * a device is made ready (one that just came, or came back) while something that is ready keeps the objective.
 */
import { Effect, Fiber, Option } from "effect"
import type { Condition, Slo } from "../policies/Condition.ts"
import { isNoticeablyBetter } from "../policies/Objective.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { knownPlan, type Plan } from "./Plan.ts"
import type { KnownStrategy, Load, Portfolio } from "./Portfolio.ts"
import type { Decided, Thoughts } from "./Thoughts.ts"

export const makePlanIdle = (
  known: Portfolio,
  thoughts: Thoughts,
  loadOf: (now: Condition) => Load,
  decisionBudgetMs: number,
) => {
  const judged = (decided: Decided | undefined, now: Condition, slo: Slo): KnownStrategy | undefined => {
    const again = decided === undefined ? undefined : known.judge(decided.strategy, now, slo)
    return decided === undefined || again === undefined ? undefined : { ...decided, ...again }
  }
  /**
   * This strategy; where it would have to be made ready first, one that is ready takes its place, and this one is made ready
   * beside if that is worth it.
   */
  const atOnce = Effect.fnUntraced(function* (wanted: KnownStrategy, now: Condition, slo: Slo) {
    const load = loadOf(now)
    if (load.isReady(wanted.id, wanted.strategy)) return knownPlan(wanted)
    const ready = known.bestReady(now, slo, load)
    if (ready?.meets !== true) return knownPlan(wanted)
    if (isNoticeablyBetter(slo, wanted.outcome, ready.outcome)) yield* thoughts.makeReady(wanted.strategy)
    return knownPlan(ready)
  })

  return Effect.fnUntraced(function* (now: Condition, slo: Slo) {
    const topic = thoughts.topic(now, slo)
    const decided = judged(thoughts.decided(topic), now, slo)
    if (decided?.meets === true) return yield* atOnce(decided, now, slo)
    const best = known.best(now, slo)
    if (best !== undefined && thoughts.isFull()) return knownPlan(best)
    if (best?.meets === true && !thoughts.isWorthIt(topic, best)) return yield* atOnce(best, now, slo)
    const fiber = yield* thoughts.think(topic, "search")
    if (best?.meets === true) return yield* atOnce(best, now, slo)
    return yield* waitFor(fiber, 2 * decisionBudgetMs, best === undefined ? undefined : knownPlan(best))
  })
}

/** Waits for a decision, but not for ever, nor for one that fails: what is known is better than no answer. */
const waitFor = (fiber: Fiber.Fiber<Plan, Refusal>, timeoutMs: number, otherwise: Plan | undefined) =>
  Fiber.join(fiber).pipe(
    Effect.catch((e) => (otherwise === undefined ? Effect.fail(e) : Effect.succeed(otherwise))),
    Effect.timeoutOption(timeoutMs),
    Effect.flatMap(
      Option.match({
        onSome: (p) => Effect.succeed(p),
        onNone: () =>
          otherwise === undefined
            ? Effect.fail(refusal("NoStrategy", "no decision in time", "send the request again", true))
            : Effect.succeed(otherwise),
      }),
    ),
  )
