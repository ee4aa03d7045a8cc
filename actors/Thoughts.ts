/**
 * What is thought about, in the thread beside, and what came of it. A condition (bucketed) is thought about once at a time:
 * who asks meanwhile waits for the same thought. What is found is made ready on its devices, and only then may other
 * requests find it.
 */
import { Effect, type Fiber, FiberMap, Option } from "effect"
import type { Condition, Slo } from "../policies/Condition.ts"
import { isNoticeablyBetter } from "../policies/Objective.ts"
import type { Refusal } from "../subjects/ErrorReply.ts"
import type { Finder } from "../subjects/InferMessages.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { Curiosity } from "./Curiosity.ts"
import { bucketOf, lru, versionsOf } from "./Decided.ts"
import { decidedPlan, type Plan } from "./Plan.ts"
import type { KnownStrategy, Portfolio } from "./Portfolio.ts"
import { Reconfig } from "./Reconfig.ts"
import { Self } from "./Self.ts"
import { Thinker } from "./Thinker.ts"

export interface Topic {
  readonly now: Condition
  readonly slo: Slo
  /** Topics of one bucket have the same answer. */
  readonly bucket: string
}

export interface Thoughts {
  readonly topic: (now: Condition, slo: Slo) => Topic
  /** What was decided on it before. */
  readonly decided: (topic: Topic) => Decided | undefined
  /** Joining the fiber waits for the decision. */
  readonly think: (topic: Topic, origin: Origin) => Effect.Effect<Fiber.Fiber<Plan, Refusal>>
  /** Makes a known strategy ready beside the requests: one at a time, and nobody waits for it. */
  readonly makeReady: (strategy: Strategy) => Effect.Effect<void>
  /** A thought that nobody waits for may find something better than what is known (`best`, where the caller has looked). */
  readonly isWorthIt: (topic: Topic, best?: KnownStrategy) => boolean
  /** Nothing is thought about. */
  readonly isIdle: () => boolean
  /** So much is, that what is not urgent will have to come again. */
  readonly isFull: () => boolean
}

export interface Decided {
  readonly id: string
  readonly strategy: Strategy
  readonly foundBy: Finder
}

/** Who wants to know: a request, or a forecast of what may come. */
type Origin = "search" | "forecast"

/** Decisions that are remembered. */
const cacheCapacity = 512
/** Conditions that wait to be thought about; further ones are not: they will come again if they matter. */
const maxPending = 4
/** For making a new strategy ready on its devices, beside the requests. */
const activateMs = 3000

/** What is found is added to the strategies `known`. */
export const makeThoughts = (known: Portfolio, decisionBudgetMs: number) =>
  Effect.gen(function* () {
    const { device } = yield* Self
    const reconfig = yield* Reconfig
    const thinker = yield* Thinker
    const decided = lru<Decided>(cacheCapacity)
    const curiosity = new Curiosity()
    let versions = ""
    const thinking = yield* FiberMap.make<string, Plan, Refusal>()
    const readying = yield* FiberMap.make<string, void>()

    const activate = (strategy: Strategy) => Effect.ignore(reconfig.activate(strategy, activateMs))
    const decide = Effect.fnUntraced(function* ({ now, slo, bucket }: Topic, origin: Origin) {
      const near = known.best(now, slo)
      curiosity.begin(now, slo, near?.outcome)
      const hints = near === undefined ? [] : [near.strategy]
      const decision = yield* thinker.decide({ condition: now, slo, budgetMs: decisionBudgetMs, hints })
      const { strategy, source: foundBy, predictedAccuracy, predictedLatencyMs } = decision
      const found = { accuracy: predictedAccuracy, latencyMs: predictedLatencyMs }
      curiosity.learn(now, slo, isNoticeablyBetter(slo, found, near?.outcome))
      const remember = Effect.sync(() => {
        const id = known.add(strategy, foundBy)
        for (const d of now.devices) known.addWhole(strategy.submodel, device, d.id, foundBy)
        decided.set(bucket, { id, strategy, foundBy })
      })
      const keep = Effect.andThen(activate(strategy), remember)
      yield* FiberMap.run(readying, bucket, keep, { onlyIfMissing: true })
      const plan = decidedPlan(decision)
      return origin === "forecast" ? { ...plan, origin } : plan
    })
    const thoughts: Thoughts = {
      topic: (now, slo) => ({ now, slo, bucket: bucketOf(now, slo, thinker.policies()) }),
      decided: ({ bucket }) => decided.get(bucket),
      think: (topic, origin) =>
        Effect.suspend(() => {
          // Not `run` with `onlyIfMissing`: that gives an interrupted fiber where there is one, and joining it interrupts.
          const running = FiberMap.getUnsafe(thinking, topic.bucket)
          return Option.isSome(running)
            ? Effect.succeed(running.value)
            : FiberMap.run(thinking, topic.bucket, decide(topic, origin))
        }),
      makeReady: (strategy) =>
        Effect.asVoid(FiberMap.run(readying, "better", activate(strategy), { onlyIfMissing: true })),
      isWorthIt: ({ now, slo }, best) => {
        const present = versionsOf(thinker.policies())
        if (present !== versions) curiosity.forget()
        versions = present
        return curiosity.isWorthIt(now, slo, best?.outcome)
      },
      isIdle: () => thinker.pending() === 0,
      isFull: () => thinker.pending() >= maxPending,
    }
    return thoughts
  })
