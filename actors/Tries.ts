/**
 * How a request gets its answer: planned, tried, and when a try is lost to a device planned anew over those that remain, at
 * worst for this device alone; a try that is overdue gets a second one beside it (`Hedge.ts`). What a try takes on is in the
 * books from the moment it is planned, so that the next plan begins behind it.
 */
import { Effect } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { refusal } from "../subjects/ErrorReply.ts"
import type { Admission } from "./Admission.ts"
import { type AttemptActors, runAttempt } from "./Attempt.ts"
import type { BacklogShape } from "./Backlog.ts"
import { type Answered, type Attempt, type Failure, hedging } from "./Hedge.ts"
import { deadlineExpired, type Done, type Job } from "./Job.ts"
import { attemptKey } from "./Results.ts"
import { giveUp, type History, newHistory, recoveryOf } from "./TryHistory.ts"
import { firstPlan, type PlanningActors, planningTries } from "./TryPlan.ts"

export interface TryActors extends AttemptActors, PlanningActors {
  readonly backlog: BacklogShape
}

export interface TryOptions {
  /** Tries with remote devices before the request is answered locally. */
  readonly remoteAttempts: number
}

/** Gives the function that answers a request. */
export const makeTries = (actors: TryActors, admitted: Admission, options: TryOptions) => {
  const { self } = actors
  const planTry = planningTries(actors)
  const planFirst = firstPlan(actors, planTry)
  const attempt = bookedAttempt(actors, admitted)
  const hedgedAttempt = hedging({ attempt, planTry, admitted, counters: self.counters })
  const excludedAfter = afterLoss(actors, options)

  /** Tries until one succeeds: with fewer devices each time, at last with this one alone. */
  return Effect.fnUntraced(function* (job: Job) {
    const history = newHistory()
    let exclude: ReadonlyArray<DeviceId> | undefined
    let predictedMs: number | undefined
    while (true) {
      const planned = yield* exclude === undefined ? planFirst(job, history) : planTry(job, history, exclude)
      predictedMs ??= planned.predicted.latencyMs
      const tried = yield* Effect.result(hedgedAttempt(job, planned, history))
      if (tried._tag === "Success") {
        const { number: replans, planMs } = history
        const done: Done = { ...tried.success, replans, planMs, recovery: recoveryOf(history, predictedMs) }
        return done
      }
      exclude = yield* excludedAfter(job, history, tried.failure)
    }
  })
}

/** A try that is in the books while it runs. */
const bookedAttempt =
  (actors: TryActors, admitted: Admission): Attempt =>
  (job, planned, number, progress) => {
    const key = attemptKey(job.key, number)
    // Nothing can take the place of a strategy that the client insists on.
    const isGiven = job.request.strategy !== undefined
    const run = Effect.suspend(() =>
      runAttempt(actors, {
        requestId: job.key,
        attempt: number,
        strategy: planned.strategy,
        image: job.image,
        deadlineMs: job.deadlineMs,
        patienceMs: isGiven ? Infinity : admitted.patienceMs(planned.predicted.latencyMs),
        progress,
      }),
    )
    // Not before it runs: a second try may never begin, because the first one answers just then.
    return Effect.acquireUseRelease(
      Effect.sync(() => actors.backlog.book(key, planned.strategy)),
      () => Effect.map(run, (outcome): Answered => ({ planned, outcome })),
      () => Effect.sync(() => actors.backlog.close(key)),
    )
  }

/** Whom the next plan leaves out; refuses when there is no next plan. */
const afterLoss = ({ self, membership }: TryActors, { remoteAttempts }: TryOptions) => {
  const others = () => [...membership.table().keys()].filter((d) => d !== self.device)
  return Effect.fnUntraced(function* (job: Job, history: History, failure: Failure) {
    if (failure._tag === "Refusal") return yield* failure
    self.noteError("DeviceLost", failure.reason)
    yield* Effect.logDebug(`${job.id}: try ${history.number} lost: ${failure.reason}`)
    if (performance.now() >= job.deadlineMs) return yield* deadlineExpired(job)
    if (job.request.strategy !== undefined || history.number > remoteAttempts) {
      return yield* refusal("DeviceLost", failure.reason, "send the request again", true)
    }
    self.counters.replans++
    giveUp(history, failure.blame, failure.overdue)
    history.number++
    return history.number >= remoteAttempts ? others() : [...history.lost]
  })
}
