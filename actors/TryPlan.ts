/**
 * What a try is to run: the Planner's strategy, or the one that the client insists on; and whether there is any use in
 * beginning with it.
 */
import { Effect } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { type Strategy, strategyProblems } from "../supernet/Strategy.ts"
import type { BacklogShape } from "./Backlog.ts"
import { idleMs } from "./Congestion.ts"
import { type Job, notServedHere } from "./Job.ts"
import type { MembershipShape } from "./Membership.ts"
import type { Plan } from "./Plan.ts"
import type { PlannerShape } from "./Planner.ts"
import type { Self } from "./Self.ts"
import type { History } from "./TryHistory.ts"

export interface PlanningActors {
  readonly self: Self["Service"]
  readonly planner: PlannerShape
  readonly membership: MembershipShape
}

/** Plans a try without the devices of `exclude`, which its first one does not give; the time counts in its history. */
export type PlanTry = (
  job: Job,
  history: History,
  exclude?: ReadonlyArray<DeviceId>,
) => Effect.Effect<Plan, Refusal>

/** A device may leave while a plan with it is made: then it is made again, before anything was sent. */
const timesAgain = 2

export const planningTries = (actors: PlanningActors): PlanTry => {
  const planOf = planning(actors)
  const isGone = ({ strategy }: Plan) =>
    strategy.devices.some((d) => !actors.membership.isPresent(d as DeviceId))
  return (job, history, exclude) =>
    Effect.suspend(() => {
      const startMs = performance.now()
      return planOf(job, exclude).pipe(
        Effect.repeat({ times: timesAgain, while: isGone }),
        Effect.tap(() => Effect.sync(() => void (history.planMs += performance.now() - startMs))),
      )
    })
}

const planning = ({ self, planner }: PlanningActors) => {
  const given = (strategy: Strategy): Effect.Effect<Plan, Refusal> => {
    const problems = strategyProblems(self.spec, strategy)
    if (problems.length > 0) {
      const { name, version } = self.spec
      const detail = problems.slice(0, 3).join("; ")
      return Effect.fail(
        refusal("NoStrategy", detail, `it must be a strategy of supernet ${name} ${version}`),
      )
    }
    if (strategy.devices[0] !== self.device)
      return Effect.fail(notServedHere(strategy.devices[0], self.device))
    return Effect.map(planner.predict(strategy), (predicted) => ({
      strategy,
      predicted,
      origin: "request" as const,
      feasible: true,
    }))
  }
  /** Without a message: two passes through the codec and a leaf for a look-up that takes microseconds (docs/decisions). */
  return (job: Job, exclude: ReadonlyArray<DeviceId> | undefined): Effect.Effect<Plan, Refusal> => {
    const { strategy, slo } = job.request
    if (strategy !== undefined) return given(strategy)
    const underWayMs = performance.now() - job.arrivedMs
    const request = { requestId: job.key, slo, exclude: [...(exclude ?? [])] }
    const time = exclude === undefined ? { waitedMs: underWayMs } : { spentMs: underWayMs }
    return planner.plan({ ...request, ...time })
  }
}

/** The first plan of a request; refuses where the devices that it needs have more to do than the request has time. */
export const firstPlan = (actors: PlanningActors & { readonly backlog: BacklogShape }, planTry: PlanTry) => {
  const { self, membership, backlog } = actors
  const leftMs = (job: Job) => job.deadlineMs - performance.now()
  const isLate = (job: Job, { predicted }: Plan) => predicted.latencyMs > leftMs(job)
  return Effect.fnUntraced(function* (job: Job, history: History) {
    const planned = yield* planTry(job, history)
    if (!isLate(job, planned)) return planned
    const isOwnChoice = job.request.strategy === undefined && planned.strategy.devices.length > 1
    if (!isOwnChoice) return yield* Effect.as(refuseIfHopeless(backlog, planned, leftMs(job)), planned)
    // What makes it late may be a link, or another device, that a whole network here has nothing to do with.
    const others = [...membership.table().keys()].filter((d) => d !== self.device)
    const here = yield* Effect.orElseSucceed(planTry(job, history, others), () => planned)
    if (!isLate(job, here)) return here
    return yield* Effect.as(refuseIfHopeless(backlog, here, leftMs(job)), planned)
  })
}

/**
 * What a plan takes by the books alone: what its devices have to do, and then for this request. Links do not count in it where
 * there are some: what they are feared to be after a bad moment says nothing about load, and may be over by then.
 */
const byTheBooksMs = (backlog: BacklogShape, { strategy, predicted }: Plan): number => {
  if (strategy.devices.length === 1) return predicted.latencyMs
  const work = backlog.workOf(strategy)
  return Math.max(...strategy.devices.map((d) => backlog.ms(d as DeviceId) + (work.get(d) ?? 0)))
}

/** Better said now than at the deadline. */
const refuseIfHopeless = (backlog: BacklogShape, plan: Plan, leftMs: number) => {
  const waits = plan.strategy.devices.some((d) => backlog.ms(d as DeviceId) > idleMs)
  const takesMs = byTheBooksMs(backlog, plan)
  if (!waits || takesMs <= leftMs) return Effect.void
  const detail = `it would take about ${Math.round(takesMs)} ms behind what is under way; ${Math.round(leftMs)} ms are left`
  return Effect.fail(refusal("Overloaded", detail, "send fewer at once, or allow a longer deadline", true))
}
