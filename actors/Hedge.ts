/**
 * A second try beside one that is overdue, without the devices that it waits for; the first answer counts, and the other try
 * is called off.
 */
import { Effect, Fiber, Option } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { Refusal } from "../subjects/ErrorReply.ts"
import type { Admission } from "./Admission.ts"
import type { AttemptLost } from "./Attempt.ts"
import type { Done, Job } from "./Job.ts"
import type { Plan } from "./Plan.ts"
import { noProgress, type Progress, stragglers } from "./Progress.ts"
import type { Counters } from "./Self.ts"
import { giveUp, type History } from "./TryHistory.ts"
import type { PlanTry } from "./TryPlan.ts"

export type Failure = AttemptLost | Refusal
export type Answered = Pick<Done, "planned" | "outcome">

/** One try with one strategy, from its preparation to its logits. */
export type Attempt = (
  job: Job,
  planned: Plan,
  number: number,
  progress: Progress,
) => Effect.Effect<Answered, Failure>

/** Second tries at once, beside one for every fourth request: when everything is late, more work makes it later. */
const freeHedges = 2
const hedgeShare = 0.25

export interface HedgeActors {
  readonly attempt: Attempt
  readonly planTry: PlanTry
  readonly admitted: Admission
  readonly counters: Counters
}

/** Gives the function that makes a try and, when it is overdue and a second one pays, that one beside it. */
export const hedging = ({ attempt, planTry, admitted, counters }: HedgeActors) => {
  let hedges = 0

  /** A plan without those who are late, if it can be done before the overdue try has taken as long again. */
  const secondPlan = Effect.fnUntraced(function* (
    job: Job,
    history: History,
    late: ReadonlyArray<DeviceId>,
    sinceMs: number,
  ) {
    if (late.length === 0 || hedges >= freeHedges + hedgeShare * admitted.inFlight()) return undefined
    const second = yield* Effect.option(planTry(job, history, [...history.lost, ...late]))
    if (Option.isNone(second)) return undefined
    const nowMs = performance.now()
    const { latencyMs } = second.value.predicted
    const pays = latencyMs < Math.max(admitted.overdueMs(0), nowMs - sinceMs)
    return pays && nowMs + latencyMs < job.deadlineMs ? second.value : undefined
  })

  /** Both run until one answers; the first is called off then, or when the request is given up. */
  const beside = (running: Fiber.Fiber<Answered, Failure>, second: Effect.Effect<Answered, Failure>) =>
    Effect.suspend(() => {
      hedges++
      counters.hedges++
      return Effect.race(Fiber.join(running), second)
    }).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          hedges--
          return Fiber.interrupt(running)
        }),
      ),
    )

  return Effect.fnUntraced(function* (job: Job, planned: Plan, history: History) {
    const progress = noProgress()
    const startMs = performance.now()
    const first = attempt(job, planned, history.number, progress)
    if (planned.strategy.devices.length === 1 || job.request.strategy !== undefined) return yield* first
    const running = yield* Effect.forkChild(first, { startImmediately: true })
    const inTime = Effect.timeoutOption(Fiber.join(running), admitted.overdueMs(planned.predicted.latencyMs))
    const early = yield* inTime
    if (Option.isSome(early)) return early.value
    const late = stragglers(planned.strategy, progress)
    const second = yield* secondPlan(job, history, late, startMs)
    if (second === undefined) return yield* Fiber.join(running)
    history.number++
    history.hedged = true
    giveUp(history, late, true)
    return yield* beside(running, attempt(job, second, history.number, noProgress()))
  })
}
