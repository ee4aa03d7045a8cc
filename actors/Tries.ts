/**
 * How a request gets its answer: planned, tried, and when a try is lost to a device planned anew over those that remain, at
 * worst for this device alone. A try that is overdue gets a second one beside it, without the devices that it waits for;
 * the first answer counts. What a try takes on is in the books from the moment it is planned, so that the next plan begins
 * behind it.
 */
import { Effect, Fiber, Option } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { type Strategy, strategyProblems } from "../supernet/Strategy.ts"
import type { Admission } from "./Admission.ts"
import { type AttemptActors, type AttemptLost, runAttempt } from "./Attempt.ts"
import type { BacklogShape } from "./Backlog.ts"
import { idleMs } from "./Congestion.ts"
import { deadlineExpired, type Done, type Job, notServedHere } from "./Job.ts"
import type { Plan } from "./Plan.ts"
import type { PlannerShape } from "./Planner.ts"
import { noProgress, type Progress, stragglers } from "./Progress.ts"
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

/** Second tries at once, beside one for every fourth request: when everything is late, more work makes it later. */
const freeHedges = 2
const hedgeShare = 0.25

type Failure = AttemptLost | Refusal
type Answered = Pick<Done, "planned" | "outcome">

/** A request's history: what was tried, and who was given up. */
interface History {
  number: number
  planMs: number
  hedged: boolean
  readonly lost: Set<DeviceId>
  /** Of those: who was only late, as far as is known. */
  readonly overdue: Set<DeviceId>
}

const giveUp = ({ lost, overdue }: History, devices: ReadonlyArray<DeviceId>, isLate: boolean) => {
  for (const device of devices) {
    lost.add(device)
    if (isLate) overdue.add(device)
    else overdue.delete(device)
  }
}

/** Gives the function that answers a request. */
export const makeTries = (actors: TryActors, admitted: Admission, options: TryOptions) => {
  const { self, membership, backlog } = actors
  const planFor = planning(actors)
  let hedges = 0

  const attempt = (job: Job, planned: Plan, number: number, progress: Progress) => {
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
      progress,
    }).pipe(
      Effect.map((outcome): Answered => ({ planned, outcome })),
      Effect.ensuring(Effect.sync(() => backlog.close(key))),
    )
  }

  /** A device may leave while a plan with it is made: then it is made again, before anything was sent. */
  const currentPlan = (job: Job, exclude: ReadonlyArray<DeviceId> | undefined) =>
    planFor(job, exclude).pipe(
      Effect.repeat({
        times: 2,
        while: ({ strategy }) => strategy.devices.some((d) => !membership.isPresent(d as DeviceId)),
      }),
    )
  const timedPlan = (job: Job, history: History, exclude?: ReadonlyArray<DeviceId>) =>
    Effect.suspend(() => {
      const startMs = performance.now()
      return Effect.tap(currentPlan(job, exclude), () =>
        Effect.sync(() => void (history.planMs += performance.now() - startMs)),
      )
    })

  /** A plan without those who are late, if it can be done before the overdue try has taken as long again. */
  const secondPlan = Effect.fnUntraced(function* (
    job: Job,
    history: History,
    late: ReadonlyArray<DeviceId>,
    sinceMs: number,
  ) {
    if (late.length === 0 || hedges >= freeHedges + hedgeShare * admitted.inFlight()) return undefined
    const second = yield* Effect.option(timedPlan(job, history, [...history.lost, ...late]))
    if (Option.isNone(second)) return undefined
    const nowMs = performance.now()
    const { latencyMs } = second.value.predicted
    const pays = latencyMs < Math.max(admitted.overdueMs(0), nowMs - sinceMs)
    return pays && nowMs + latencyMs < job.deadlineMs ? second.value : undefined
  })

  /** One try, and a second one beside it when it is overdue. */
  const hedgedAttempt = Effect.fnUntraced(function* (job: Job, planned: Plan, history: History) {
    const progress = noProgress()
    const startMs = performance.now()
    const first = attempt(job, planned, history.number, progress)
    if (planned.strategy.devices.length === 1 || job.request.strategy !== undefined) return yield* first
    const running = yield* Effect.forkChild(Effect.result(first), { startImmediately: true })
    const inTime = Effect.timeoutOption(Fiber.join(running), admitted.overdueMs(planned.predicted.latencyMs))
    const early = yield* inTime
    if (Option.isSome(early)) return yield* Effect.fromResult(early.value)
    const late = stragglers(planned.strategy, progress)
    const second = yield* secondPlan(job, history, late, startMs)
    if (second === undefined) return yield* Effect.flatMap(Fiber.join(running), Effect.fromResult)
    history.number++
    history.hedged = true
    giveUp(history, late, true)
    hedges++
    self.counters.hedges++
    const both = Effect.race(
      Effect.flatMap(Fiber.join(running), Effect.fromResult),
      attempt(job, second, history.number, noProgress()),
    )
    return yield* both.pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          hedges--
          return Fiber.interrupt(running)
        }),
      ),
    )
  })

  const others = () => [...membership.table().keys()].filter((d) => d !== self.device)
  /** Whom the next plan leaves out; refuses when there is no next plan. */
  const afterLoss = Effect.fnUntraced(function* (job: Job, history: History, failure: Failure) {
    if (failure._tag === "Refusal") return yield* failure
    self.noteError("DeviceLost", failure.reason)
    yield* Effect.logDebug(`${job.id}: try ${history.number} lost: ${failure.reason}`)
    if (performance.now() >= job.deadlineMs) return yield* deadlineExpired(job)
    if (job.request.strategy !== undefined || history.number > options.remoteAttempts) {
      return yield* refusal("DeviceLost", failure.reason, "send the request again", true)
    }
    self.counters.replans++
    giveUp(history, failure.blame, failure.overdue)
    history.number++
    return history.number >= options.remoteAttempts ? others() : [...history.lost]
  })

  /** Tries until one succeeds: with fewer devices each time, at last with this one alone. */
  return Effect.fnUntraced(function* (job: Job) {
    const history: History = { number: 0, planMs: 0, hedged: false, lost: new Set(), overdue: new Set() }
    let exclude: ReadonlyArray<DeviceId> | undefined
    let predictedMs: number | undefined
    while (true) {
      const planned = yield* timedPlan(job, history, exclude)
      if (predictedMs === undefined) yield* refuseIfHopeless(backlog, job, planned)
      predictedMs ??= planned.predicted.latencyMs
      const tried = yield* Effect.result(hedgedAttempt(job, planned, history))
      if (tried._tag === "Success") {
        const { number: replans, planMs, hedged, lost, overdue } = history
        const given = { lost: [...lost], overdue: [...overdue], hedged, predictedMs }
        const recovery = replans === 0 ? undefined : given
        const done: Done = { ...tried.success, replans, planMs, recovery }
        return done
      }
      exclude = yield* afterLoss(job, history, tried.failure)
    }
  })
}

/** The strategy of a request: the Planner's, or the one that the client insists on. `exclude`: not for its first try. */
const planning = ({ self, planner }: TryActors) => {
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
    const spentMs = performance.now() - job.arrivedMs
    const request = { requestId: job.key, slo, exclude: [...(exclude ?? [])] }
    return planner.plan(exclude === undefined ? request : { ...request, spentMs })
  }
}

/** Better said now than at the deadline: the devices have more to do than the request has time. */
const refuseIfHopeless = (backlog: BacklogShape, job: Job, { strategy, predicted }: Plan) => {
  const leftMs = job.deadlineMs - performance.now()
  const waits = strategy.devices.some((d) => backlog.ms(d as DeviceId) > idleMs)
  if (!waits || predicted.latencyMs <= leftMs) return Effect.void
  const detail = `it would take about ${Math.round(predicted.latencyMs)} ms behind what is under way; ${Math.round(leftMs)} ms are left`
  return Effect.fail(refusal("Overloaded", detail, "send fewer at once, or allow a longer deadline", true))
}
