/**
 * Planning over devices that have nothing to do: first what was decided for this condition, then the best of all strategies
 * known; only where that misses the objective a decision is waited for. A policy would know better within a few ms, but those
 * are missing where the objective is tight: what it finds meanwhile is for the next request.
 */
import { Effect, Fiber, Option } from "effect"
import type { Condition, Slo } from "../policies/Condition.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { knownPlan, type Plan } from "./Plan.ts"
import type { Portfolio } from "./Portfolio.ts"
import type { Thoughts } from "./Thoughts.ts"

export const makePlanIdle = (known: Portfolio, thoughts: Thoughts, decisionBudgetMs: number) =>
  Effect.fnUntraced(function* (now: Condition, slo: Slo) {
    const topic = thoughts.topic(now, slo)
    const decided = thoughts.decided(topic)
    if (decided !== undefined) {
      const again = known.judge(decided.strategy, now, slo)
      if (again?.meets === true) return knownPlan({ ...again, foundBy: decided.foundBy })
    }
    const best = known.best(now, slo)
    if (best !== undefined && thoughts.isFull()) return knownPlan(best)
    const fiber = yield* thoughts.think(topic, "search")
    if (best?.meets === true) return knownPlan(best)
    return yield* waitFor(fiber, 2 * decisionBudgetMs, best === undefined ? undefined : knownPlan(best))
  })

/** Waits for a decision, but not for ever: what is known is better than being late. */
const waitFor = (fiber: Fiber.Fiber<Plan, Refusal>, timeoutMs: number, otherwise: Plan | undefined) =>
  Fiber.join(fiber).pipe(
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
