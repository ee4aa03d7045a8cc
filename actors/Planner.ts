/**
 * Chooses the strategy of a request from what is known now: who is there, how their links are, what the client wants. A
 * strategy found once is kept for conditions like the one it was found for; a decision names where it came from.
 */
import { Context, Effect, Layer } from "effect"
import type { Condition, Slo } from "../policies/Condition.ts"
import { idealBandwidthMbps } from "../policies/Condition.ts"
import { type Decider, makeDecider, type Proposer } from "../policies/Decision.ts"
import { encodeStrategy } from "../policies/Genome.ts"
import { judge, type World } from "../policies/World.ts"
import { planReply, planRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import type { Slo as WireSlo } from "../subjects/InferMessages.ts"
import type { PlanReply, PlanRequest } from "../subjects/PlanMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type Strategy, strategyId } from "../supernet/Strategy.ts"
import { LinkTable } from "./LinkTable.ts"
import type { Member } from "./MemberTable.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"

export interface PlannerOptions {
  readonly world: World
  readonly policies?: ReadonlyArray<Proposer>
  /** Time for a decision that is not in the cache, ms. */
  readonly decisionBudgetMs: number
}

export type Plan = Omit<PlanReply, "strategyId" | "planMs">

export interface PlannerShape {
  readonly plan: (request: PlanRequest) => Effect.Effect<Plan, Refusal>
  /** What the models expect of a given strategy, now. */
  readonly predict: (strategy: Strategy) => Effect.Effect<Plan["predicted"], Refusal>
  /** The condition that a plan would be made from now. */
  readonly condition: (exclude: ReadonlyArray<DeviceId>) => Condition
}

const sloOf = (slo: WireSlo): Slo =>
  slo.latencyMs === undefined
    ? { kind: "accuracy", accuracy: slo.accuracy }
    : { kind: "latency", latencyMs: slo.latencyMs }

/**
 * Bucket of a condition: links count as the same within a tenth of a decade (26 %), delays within a quarter or half a
 * millisecond; SLOs exactly, because clients repeat them.
 */
const bucketOf = (condition: Condition, slo: Slo): string => {
  const links = condition.devices.map(
    (d) =>
      `${d.id}:${d.type}:${Math.round(Math.log10(d.bandwidthMbps) * 10)}:${Math.round(Math.log1p(d.delayMs * 2) * 4)}`,
  )
  return `${slo.kind}:${slo.kind === "latency" ? slo.latencyMs : slo.accuracy}|${links.join("|")}`
}

const cacheCapacity = 512

const make = ({ world, policies = [], decisionBudgetMs }: PlannerOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const membership = yield* Membership
    const links = yield* LinkTable
    const decider: Decider = makeDecider(world, policies)
    const cache = new Map<string, Plan>()

    const local = { id: self.device, type: self.profile.name, bandwidthMbps: idealBandwidthMbps, delayMs: 0 }
    const remote = (m: Member) => {
      const link = links.get(m.identity.device)
      return link === undefined
        ? []
        : [
            {
              id: m.identity.device,
              type: m.identity.profile,
              bandwidthMbps: link.bandwidthMbps,
              delayMs: link.delayMs,
            },
          ]
    }
    const condition = (exclude: ReadonlyArray<DeviceId>): Condition => {
      const others = membership.usable().filter((m) => {
        const { device } = m.identity
        return device !== self.device && !exclude.includes(device)
      })
      return { devices: [local, ...others.flatMap(remote)] }
    }
    const decide = Effect.fnUntraced(function* (now: Condition, slo: Slo, bucket: string) {
      const decision = yield* Effect.promise(() => decider.decide(now, slo, decisionBudgetMs))
      const plan: Plan = {
        strategy: decision.strategy,
        predicted: { latencyMs: decision.predictedLatencyMs, accuracy: decision.predictedAccuracy },
        origin: decision.source,
        feasible: decision.meetsSlo,
      }
      cache.set(bucket, { ...plan, origin: "cache" })
      if (cache.size > cacheCapacity) cache.delete(cache.keys().next().value ?? "")
      return plan
    })
    const plan = (request: PlanRequest) =>
      Effect.suspend(() => {
        const now = condition(request.exclude)
        const slo = sloOf(request.slo)
        const bucket = bucketOf(now, slo)
        const known = cache.get(bucket)
        return known === undefined ? decide(now, slo, bucket) : Effect.succeed(known)
      })
    const predict = (strategy: Strategy) =>
      Effect.suspend(() => {
        const now = condition([])
        const ids = now.devices.map((d) => d.id)
        const missing = strategy.devices.filter((d) => !ids.includes(d))
        if (missing.length > 0) {
          const hint = "see 'murmuration swarm' for who is there"
          return Effect.fail(refusal("NoStrategy", `the strategy needs ${missing.join(", ")}`, hint, true))
        }
        const judged = judge(world, now, { kind: "latency", latencyMs: 1e9 })
        return Effect.succeed(judged.outcome(encodeStrategy(world.space, strategy, ids)))
      })

    yield* serve({
      subject: Subjects.plan(self.device),
      input: planRequest,
      output: planReply,
      concurrency: 4,
      handle: (request, { arrivedMs }) =>
        Effect.map(plan(request), (p) => ({
          ...p,
          strategyId: strategyId(self.spec, p.strategy),
          planMs: performance.now() - arrivedMs,
        })),
    })
    return Planner.of({ plan, predict, condition })
  })

export class Planner extends Context.Service<Planner, PlannerShape>()("actors/Planner") {
  static readonly layer = (options: PlannerOptions) => Layer.effect(Planner, make(options))
}
