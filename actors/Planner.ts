/**
 * Chooses the strategy of a request from what is known now: who is there, how their links are, what the client wants.
 *
 * A request never waits for thinking if it can help it. First comes the decision remembered for this condition (bucketed);
 * then the best of all strategies known, judged under the condition of the moment; only where that misses the objective
 * does the request wait for a decision (`PlanIdle.ts`). Every condition seen for the first time is thought about in a thread
 * beside, and what is found is made ready on its devices before any request uses it (`Thoughts.ts`).
 *
 * While devices are busy, plans start behind what those have to do already, work has a price (`Congestion.ts`), and nobody
 * waits for thinking: what is thought about then is the part of the swarm that is idle (`PlanBusy.ts`). Where a try was
 * lost, nobody waits for anything (`Again.ts`).
 */
import { Context, Effect, Layer } from "effect"
import type { ProfileBook } from "../devices/profiles/ProfileBook.ts"
import { type Condition, requestedSlo, type Slo } from "../policies/Condition.ts"
import type { World } from "../policies/World.ts"
import { forecastReport, planReply, planRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import type { PlanRequest } from "../subjects/PlanMessages.ts"
import { listen, serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type Strategy, strategyId } from "../supernet/Strategy.ts"
import { leftAfter, readyAtOnce, remaining } from "./Again.ts"
import { Backlog } from "./Backlog.ts"
import { conditionOf, expectedCondition } from "./ConditionOf.ts"
import { idlePart, isBusy, prices } from "./Congestion.ts"
import { lru } from "./Decided.ts"
import { Experience } from "./Experience.ts"
import { LinkTable } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { knownPlan, type Plan } from "./Plan.ts"
import { makePlanBusy } from "./PlanBusy.ts"
import { makePlanIdle } from "./PlanIdle.ts"
import { type Load, Portfolio } from "./Portfolio.ts"
import { Reconfig } from "./Reconfig.ts"
import { Self, type SelfShape } from "./Self.ts"
import { makeThoughts } from "./Thoughts.ts"
import { Tiles } from "./Tiles.ts"

export interface PlannerOptions {
  readonly world: World
  /** Device types that the world has times for; a device that they do not describe is not planned with. It may grow. */
  readonly profiles: Pick<ProfileBook, "describes">
  /** Time for a decision, ms: what a request waits at most where nothing known meets its objective. */
  readonly decisionBudgetMs: number
}

export interface PlannerShape {
  readonly plan: (request: PlanRequest) => Effect.Effect<Plan, Refusal>
  /** What the models expect of a given strategy, now. */
  readonly predict: (strategy: Strategy) => Effect.Effect<Plan["predicted"], Refusal>
  /** The condition that a plan would be made from now. */
  readonly condition: (exclude: ReadonlyArray<DeviceId>) => Condition
  /** Thinks about an expected condition for the objectives that clients had lately. */
  readonly expect: (condition: Condition) => Effect.Effect<void>
  /** A strategy that may be good for something: it is judged with the others known. */
  readonly suggest: (strategy: Strategy) => void
  /** An answer took this long, without deciding and making ready, although so much had been predicted. */
  readonly observe: (predictedMs: number, tookMs: number) => void
}

/** Objectives that clients had lately, for thinking ahead. */
const slosRemembered = 4

const make = ({ world, profiles, decisionBudgetMs }: PlannerOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const backlog = yield* Backlog
    const membership = yield* Membership
    const links = yield* LinkTable
    const reconfig = yield* Reconfig
    const known = new Portfolio(world)
    known.addLocal(self.device)
    const slos = lru<Slo>(slosRemembered)
    const experience = new Experience()
    const thoughts = yield* makeThoughts(known, decisionBudgetMs)

    const condition = conditionOf({ self, membership, links, backlog, tiles: yield* Tiles }, profiles)
    const loadOf = (now: Condition): Load => ({
      prices: prices(now, backlog.typicalMs()),
      workOf: backlog.workOf,
      isReady: reconfig.isReady,
    })
    const planAgain = (now: Condition, { slo, spentMs }: PlanRequest): Plan | undefined => {
      if (spentMs === undefined) return undefined
      const best = readyAtOnce(known, now, experience.aim(remaining(requestedSlo(slo), spentMs)), loadOf(now))
      return best === undefined ? undefined : knownPlan(best)
    }
    const planBusy = makePlanBusy(self.device, known, thoughts, loadOf)
    const planIdle = makePlanIdle(known, thoughts, loadOf, decisionBudgetMs)
    const plan: PlannerShape["plan"] = Effect.fnUntraced(function* (request) {
      const now = condition(request.exclude)
      const again = planAgain(now, request)
      if (again !== undefined) return again
      const wished = experience.aim(requestedSlo(request.slo))
      slos.set(JSON.stringify(wished), wished)
      const slo = experience.aim(leftAfter(requestedSlo(request.slo), request.waitedMs ?? 0))
      const busy = isBusy(now) ? yield* planBusy(now, slo) : undefined
      return busy ?? (yield* planIdle(idlePart(now), slo))
    })
    const expect: PlannerShape["expect"] = (expected) =>
      Effect.forEach(
        slos.values(),
        (slo) => {
          const topic = thoughts.topic(expected, slo)
          const isKnown = thoughts.decided(topic) !== undefined || !thoughts.isWorthIt(topic)
          if (isKnown || thoughts.isFull()) return Effect.void
          return thoughts.think(topic, "forecast")
        },
        { discard: true },
      )
    const planner = Planner.of({
      plan,
      predict: (strategy) => Effect.suspend(() => predict(known, strategy, condition([]))),
      condition,
      expect,
      suggest: (strategy) => void known.add(strategy, "shared"),
      observe: (predictedMs, tookMs) => experience.observe(predictedMs, tookMs),
    })
    yield* answer(self, planner)
    return planner
  })

const predict = (known: Portfolio, strategy: Strategy, now: Condition) => {
  const found = known.judge(strategy, now, { kind: "latency", latencyMs: 1e9 })
  if (found !== undefined) return Effect.succeed(found.outcome)
  const missing = strategy.devices.filter((d) => !now.devices.some((c) => c.id === d))
  const hint = "see 'murmuration swarm' for who is there"
  return Effect.fail(refusal("NoStrategy", `the strategy needs ${missing.join(", ")}`, hint, true))
}

/** Forecasts are thought about; requests for plans are answered. */
const answer = (self: SelfShape, { plan, condition, expect }: PlannerShape) =>
  Effect.andThen(
    listen({
      subject: Subjects.forecast(self.device),
      input: forecastReport,
      handle: ({ horizons }) =>
        Effect.suspend(() => {
          const now = condition([])
          return Effect.forEach(horizons, (h) => expect(expectedCondition(now, h.links)), { discard: true })
        }),
    }),
    serve({
      subject: Subjects.plan(self.device),
      input: planRequest,
      output: planReply,
      concurrency: 32,
      handle: (request, { arrivedMs }) =>
        Effect.map(plan(request), (p) => ({
          ...p,
          strategyId: strategyId(self.spec, p.strategy),
          planMs: performance.now() - arrivedMs,
        })),
    }),
  )

export class Planner extends Context.Service<Planner, PlannerShape>()("actors/Planner") {
  static readonly layer = (options: PlannerOptions) => Layer.effect(Planner, make(options))
}
