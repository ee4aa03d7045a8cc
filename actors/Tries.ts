/**
 * How a request gets its answer: planned, tried, and when a try is lost to a device planned anew over those that remain, at
 * worst for this device alone. What a try takes on is in the books from the moment it is planned, so that the next plan
 * begins behind it.
 */
import { Effect } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { type Strategy, strategyProblems } from "../supernet/Strategy.ts"
import type { Admission } from "./Admission.ts"
import { type AttemptActors, type AttemptLost, runAttempt } from "./Attempt.ts"
import type { BacklogShape } from "./Backlog.ts"
import { idleMs } from "./Congestion.ts"
import { deadlineExpired, type Done, type Job, notServedHere } from "./Job.ts"
import type { Plan, PlannerShape } from "./Planner.ts"
import { attemptKey } from "./Results.ts"
import type { Self } from "./Self.ts"

export interface TryActors extends AttemptActors {
  readonly self: Self["Service"]
  readonly planner: PlannerShape
  readonly backlog: BacklogShape
}

export interface TryOptions {
  /** Tries with remote devices before the request is answered locally. */
  readonly remoteAttempts: number
}

/** Gives the function that answers a request. */
export const makeTries = (actors: TryActors, admitted: Admission, options: TryOptions) => {
  const { self, planner, membership, backlog } = actors

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
  const planFor = (job: Job, exclude: ReadonlyArray<DeviceId>): Effect.Effect<Plan, Refusal> =>
    job.request.strategy === undefined
      ? planner.plan({ requestId: job.key, slo: job.request.slo, exclude: [...exclude] })
      : given(job.request.strategy)

  const attempt = (job: Job, planned: Plan, number: number) => {
    const key = attemptKey(job.key, number)
    backlog.book(key, planned.strategy)
    return runAttempt(actors, {
      requestId: job.key,
      attempt: number,
      strategy: planned.strategy,
      image: job.image,
      deadlineMs: job.deadlineMs,
      // Nothing can take the place of a strategy that the client insists on.
      patienceMs:
        job.request.strategy === undefined ? admitted.patienceMs(planned.predicted.latencyMs) : Infinity,
    }).pipe(Effect.ensuring(Effect.sync(() => backlog.close(key))))
  }

  const others = () => [...membership.table().keys()].filter((d) => d !== self.device)

  /** Tries until one succeeds: with fewer devices each time, at last with this one alone. */
  return Effect.fnUntraced(function* (job: Job) {
    let exclude: ReadonlyArray<DeviceId> = []
    let planMs = 0
    for (let number = 0; ; number++) {
      const planStart = performance.now()
      const planned = yield* planFor(job, exclude)
      planMs += performance.now() - planStart
      if (number === 0) yield* refuseIfHopeless(backlog, job, planned)
      const tried = yield* Effect.result(attempt(job, planned, number))
      if (tried._tag === "Success") {
        const done: Done = { planned, outcome: tried.success, replans: number, planMs }
        return done
      }
      const failure: AttemptLost | Refusal = tried.failure
      if (failure._tag === "Refusal") return yield* failure
      self.noteError("DeviceLost", failure.reason)
      yield* Effect.logDebug(`${job.id}: try ${number} lost: ${failure.reason}`)
      if (performance.now() >= job.deadlineMs) return yield* deadlineExpired(job)
      if (job.request.strategy !== undefined || number > options.remoteAttempts) {
        return yield* refusal("DeviceLost", failure.reason, "send the request again", true)
      }
      self.counters.replans++
      exclude = number + 1 >= options.remoteAttempts ? others() : [...new Set([...exclude, ...failure.blame])]
    }
  })
}

/** Better said now than at the deadline: the devices have more to do than the request has time. */
const refuseIfHopeless = (backlog: BacklogShape, job: Job, { strategy, predicted }: Plan) => {
  const leftMs = job.deadlineMs - performance.now()
  const waits = strategy.devices.some((d) => backlog.ms(d as DeviceId) > idleMs)
  if (!waits || predicted.latencyMs <= leftMs) return Effect.void
  const detail = `it would take about ${Math.round(predicted.latencyMs)} ms behind what is under way; ${Math.round(leftMs)} ms are left`
  return Effect.fail(refusal("Overloaded", detail, "send fewer at once, or allow a longer deadline", true))
}
