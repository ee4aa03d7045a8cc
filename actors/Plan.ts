/** What a request is to be run with, what is expected of it, and where it comes from. */
import type { Decision } from "../policies/Decision.ts"
import type { PlanReply } from "../subjects/PlanMessages.ts"
import type { KnownStrategy } from "./Portfolio.ts"

export type Plan = Omit<PlanReply, "strategyId" | "planMs">

/** Just thought of. */
export const decidedPlan = (decision: Decision): Plan => ({
  strategy: decision.strategy,
  predicted: { latencyMs: decision.predictedLatencyMs, accuracy: decision.predictedAccuracy },
  origin: decision.source,
  foundBy: decision.source,
  feasible: decision.meetsSlo,
})

/** Known before. */
export const knownPlan = ({
  strategy,
  outcome: { latencyMs, accuracy },
  meets,
  foundBy,
}: KnownStrategy): Plan => ({
  strategy,
  predicted: { latencyMs, accuracy },
  origin: "cache",
  foundBy,
  feasible: meets,
})
