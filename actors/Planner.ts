/**
 * Chooses the strategy of a request from what is known now: who is there, how their links are, what the client wants.
 *
 * A request never waits for thinking if it can help it. First comes the decision remembered for this condition (bucketed);
 * then the best of all strategies known, judged under the condition of the moment; only where that misses the objective
 * does the request wait for a decision. Every condition seen for the first time is thought about in a thread beside, and
 * what is found is made ready on its devices before any request uses it.
 *
 * While devices are busy, plans start behind what those have to do already, work has a price (`Congestion.ts`), and nobody
 * waits for thinking: what is thought about then is the part of the swarm that is idle. Where a try was lost, nobody waits
 * for anything (`Again.ts`).
 */
import { Context, Effect, Fiber, FiberMap, Layer, Option } from "effect"
import { type Condition, requestedSlo, type Slo } from "../policies/Condition.ts"
import type { Decision } from "../policies/Decision.ts"
import { encodeStrategy } from "../policies/Genome.ts"
import { meetsSlo } from "../policies/Objective.ts"
import type { PolicyArtifact } from "../policies/PolicyArtifact.ts"
import { fitCondition } from "../policies/Scenario.ts"
import { judge, type World } from "../policies/World.ts"
import { forecastReport, planReply, planRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import type { LinkForecast } from "../subjects/LinkMessages.ts"
import type { PlanReply, PlanRequest } from "../subjects/PlanMessages.ts"
import { listen, serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type Strategy, strategyId } from "../supernet/Strategy.ts"
import { readyAtOnce, remaining } from "./Again.ts"
import { Backlog } from "./Backlog.ts"
import { atRest, idlePart, isBusy, prices } from "./Congestion.ts"
import { conditionOf } from "./ConditionOf.ts"
import { bucketOf, lru } from "./Decided.ts"
import { Experience } from "./Experience.ts"
import { LinkTable } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { type Load, Portfolio } from "./Portfolio.ts"
import { Reconfig } from "./Reconfig.ts"
import { Self } from "./Self.ts"
import { Thinker } from "./Thinker.ts"
import { Tiles } from "./Tiles.ts"

export interface PlannerOptions {
  readonly world: World
  /** Device types that the world has times for; a device of another type is not planned with. It may grow. */
  readonly profiles: { readonly includes: (name: string) => boolean }
  /** Time for a decision, ms: what a request waits at most where nothing known meets its objective. */
  readonly decisionBudgetMs: number
}

export type Plan = Omit<PlanReply, "strategyId" | "planMs">

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
  /** An answer took this long, once it was decided and ready, although so much had been predicted. */
  readonly observe: (predictedMs: number, tookMs: number) => void
}

/** Decisions that are remembered. */
const cacheCapacity = 512
/** Objectives that clients had lately, for thinking ahead. */
const slosRemembered = 4
/** Conditions that wait to be thought about; further ones are not: they will come again if they matter. */
const maxPending = 4
/** Thinking, and making ready what was found, takes computation from the requests under way: not more often than this. */
const busyThinkEveryMs = 1000
/** Devices that whole requests are handed to: more would crowd out what was found by thinking. */
const maxHandOvers = 12
/** For making a new strategy ready on its devices, beside the requests. */
const activateMs = 3000

/** Whether a policy was trained for this: then a decision takes a few ms and is worth waiting for. */
const fitsPolicy = (policies: ReadonlyMap<string, PolicyArtifact>, condition: Condition, slo: Slo): boolean =>
  [...policies.values()].some(
    (p) => p.manifest.kind === slo.kind && fitCondition(p.scenario, condition, slo) !== undefined,
  )

const planOf = (decision: Decision): Plan => ({
  strategy: decision.strategy,
  predicted: { latencyMs: decision.predictedLatencyMs, accuracy: decision.predictedAccuracy },
  origin: decision.source,
  feasible: decision.meetsSlo,
})

const make = ({ world, profiles, decisionBudgetMs }: PlannerOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const backlog = yield* Backlog
    const membership = yield* Membership
    const links = yield* LinkTable
    const reconfig = yield* Reconfig
    const thinker = yield* Thinker
    const known = new Portfolio(world)
    known.addLocal(self.device)
    const decided = lru<Strategy>(cacheCapacity)
    const slos = lru<Slo>(slosRemembered)
    const thinking = yield* FiberMap.make<string, Plan, Refusal>()
    const readying = yield* FiberMap.make<string, void>()

    const condition = conditionOf({ self, membership, links, backlog, tiles: yield* Tiles }, profiles)
    const judged = (strategy: Strategy, now: Condition, slo: Slo) => {
      const ids = now.devices.map((d) => d.id)
      if (!strategy.devices.every((d) => ids.includes(d))) return undefined
      const outcome = judge(world, now, slo).outcome(encodeStrategy(world.space, strategy, ids))
      return { outcome, meets: meetsSlo(slo, outcome) }
    }

    /** Decides; makes the outcome ready on its devices, and only then lets other requests find it. */
    const think = Effect.fnUntraced(function* (
      now: Condition,
      slo: Slo,
      bucket: string,
      origin: "search" | "forecast",
    ) {
      const near = known.best(now, slo)
      const hints = near === undefined ? [] : [near.strategy]
      const decision = yield* thinker.decide({ condition: now, slo, budgetMs: decisionBudgetMs, hints })
      const remember = Effect.sync(() => {
        known.add(decision.strategy)
        for (const { id } of now.devices) known.addWhole(decision.strategy.submodel, self.device, id)
        decided.set(bucket, decision.strategy)
      })
      const ready = Effect.ignore(reconfig.activate(decision.strategy, activateMs))
      yield* FiberMap.run(readying, bucket, Effect.andThen(ready, remember), { onlyIfMissing: true })
      const plan = planOf(decision)
      return origin === "forecast" ? { ...plan, origin } : plan
    })
    /** One thought per condition at a time: who asks while it is thought about waits for the same one. */
    const thought = (now: Condition, slo: Slo, bucket: string, origin: "search" | "forecast") =>
      Effect.suspend(() => {
        // Not `run` with `onlyIfMissing`: that gives an interrupted fiber where there is one, and joining it interrupts.
        const running = FiberMap.getUnsafe(thinking, bucket)
        return Option.isSome(running)
          ? Effect.succeed(running.value)
          : FiberMap.run(thinking, bucket, think(now, slo, bucket, origin))
      })

    const remembers = (strategy: Strategy, outcome: Plan["predicted"], feasible: boolean): Plan => {
      const { latencyMs, accuracy } = outcome
      return { strategy, predicted: { latencyMs, accuracy }, origin: "cache", feasible }
    }
    const experience = new Experience()
    /** What to aim for so that the client's objective is kept. */
    const experienced = (slo: Slo): Slo =>
      slo.kind === "accuracy" ? slo : { kind: "latency", latencyMs: slo.latencyMs / experience.factor() }
    const loadOf = (now: Condition): Load => ({
      prices: prices(now, backlog.typicalMs()),
      workOf: backlog.workOf,
      isReady: reconfig.isReady,
    })
    const planAgain = (now: Condition, { slo, spentMs }: PlanRequest): Plan | undefined => {
      if (spentMs === undefined) return undefined
      const best = readyAtOnce(known, now, experienced(remaining(requestedSlo(slo), spentMs)), loadOf(now))
      return best === undefined ? undefined : remembers(best.strategy, best.outcome, best.meets)
    }
    const plan = Effect.fnUntraced(function* (request: PlanRequest) {
      const now = condition(request.exclude)
      const again = planAgain(now, request)
      if (again !== undefined) return again
      const slo = experienced(requestedSlo(request.slo))
      slos.set(JSON.stringify(slo), slo)
      return yield* isBusy(now) ? planBusy(now, slo) : planIdle(idlePart(now), slo)
    })
    const handedOver = new Set<string>()
    /** Whole networks on each of the other devices: what one entry device needs to use all of a busy swarm. */
    const addHandOvers = ({ devices }: Condition) => {
      for (const { id } of devices.slice(1, 1 + maxHandOvers)) {
        if (!handedOver.has(id)) known.addHandOvers(self.device, id)
        handedOver.add(id)
      }
      for (const id of handedOver) {
        if (devices.some((d) => d.id === id)) continue
        handedOver.delete(id)
        known.unpin(id)
      }
    }
    let thinkAfterMs = 0
    /** One at a time, and nobody waits for it. */
    const makeReady = (strategy: Strategy) =>
      FiberMap.run(readying, "better", Effect.ignore(reconfig.activate(strategy, activateMs)), {
        onlyIfMissing: true,
      })
    const planBusy = Effect.fnUntraced(function* (now: Condition, slo: Slo) {
      addHandOvers(now)
      const { all, ready } = known.bestUnderLoad(now, slo, loadOf(now))
      const idle = idlePart(now)
      const best = ready ?? all
      if (best === undefined) return yield* planIdle(idle, slo)
      if (all !== undefined && all.strategy !== best.strategy) yield* makeReady(all.strategy)
      const bucket = bucketOf(idle, slo, thinker.policies())
      const nowMs = performance.now()
      if (decided.get(bucket) === undefined && thinker.pending() === 0 && nowMs > thinkAfterMs) {
        thinkAfterMs = nowMs + busyThinkEveryMs
        yield* thought(idle, slo, bucket, "search")
      }
      return remembers(best.strategy, best.outcome, best.meets)
    })
    const planIdle = Effect.fnUntraced(function* (now: Condition, slo: Slo) {
      const bucket = bucketOf(now, slo, thinker.policies())
      const remembered = decided.get(bucket)
      const again = remembered === undefined ? undefined : judged(remembered, now, slo)
      if (remembered !== undefined && again?.meets === true) return remembers(remembered, again.outcome, true)
      const best = known.best(now, slo)
      const busy = thinker.pending() >= maxPending
      const fiber = busy && best !== undefined ? undefined : yield* thought(now, slo, bucket, "search")
      const quick = fitsPolicy(thinker.policies(), now, slo)
      if (best !== undefined && ((best.meets && !quick) || fiber === undefined))
        return remembers(best.strategy, best.outcome, best.meets)
      if (fiber === undefined)
        return yield* refusal("NoStrategy", "nothing can be run here", "is the supernet there?")
      return yield* waitFor(
        fiber,
        best === undefined ? undefined : remembers(best.strategy, best.outcome, best.meets),
      )
    })
    /** Waits for a decision, but not for ever: what is known is better than being late. */
    const waitFor = (fiber: Fiber.Fiber<Plan, Refusal>, otherwise: Plan | undefined) =>
      Fiber.join(fiber).pipe(
        Effect.timeoutOption(2 * decisionBudgetMs),
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
    const predict = (strategy: Strategy) =>
      Effect.suspend(() => {
        const now = condition([])
        const found = judged(strategy, now, { kind: "latency", latencyMs: 1e9 })
        if (found !== undefined) return Effect.succeed(found.outcome)
        const missing = strategy.devices.filter((d) => !now.devices.some((c) => c.id === d))
        const hint = "see 'murmuration swarm' for who is there"
        return Effect.fail(refusal("NoStrategy", `the strategy needs ${missing.join(", ")}`, hint, true))
      })
    const expect = (expected: Condition) =>
      Effect.forEach(
        slos.values(),
        (slo) => {
          const bucket = bucketOf(expected, slo, thinker.policies())
          if (decided.get(bucket) !== undefined || thinker.pending() >= maxPending) return Effect.void
          return thought(expected, slo, bucket, "forecast")
        },
        { discard: true },
      )

    /** The condition of a forecast: what is there now, with the links that are expected. */
    const expectedCondition = (links: ReadonlyArray<LinkForecast>): Condition => ({
      devices: atRest(condition([])).devices.map((d) => {
        const link = links.find((l) => l.peer === d.id)
        return link === undefined
          ? d
          : { ...d, bandwidthMbps: Math.max(0.01, link.bandwidthMbps), delayMs: link.delayMs }
      }),
    })
    yield* listen({
      subject: Subjects.forecast(self.device),
      input: forecastReport,
      handle: ({ horizons }) =>
        Effect.forEach(horizons, (h) => expect(expectedCondition(h.links)), { discard: true }),
    })
    yield* serve({
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
    })
    const observe = (predictedMs: number, tookMs: number) => experience.observe(predictedMs, tookMs)
    const suggest = (strategy: Strategy) => void known.add(strategy)
    return Planner.of({ plan, predict, condition, expect, suggest, observe })
  })

export class Planner extends Context.Service<Planner, PlannerShape>()("actors/Planner") {
  static readonly layer = (options: PlannerOptions) => Layer.effect(Planner, make(options))
}
