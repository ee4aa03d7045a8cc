/**
 * One try at a request with one strategy: made ready on its devices, image handed out, logits awaited. It ends early when a
 * device that it still needs is lost, at whatever point, or says that it cannot go on, and it never waits longer than the
 * patience it is given; the Scheduler decides what happens then.
 */
import { Deferred, Effect, Fiber } from "effect"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import type { Refusal } from "../subjects/ErrorReply.ts"
import type { TaskTiming } from "../subjects/InferMessages.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import type { ExecutorShape } from "./Executor.ts"
import type { MembershipShape } from "./Membership.ts"
import type { ReconfigShape } from "./Reconfig.ts"
import { type Progress, stillNeeds, stragglers } from "./Progress.ts"
import type { AttemptFailed, ResultsShape } from "./Results.ts"

/** What a try needs of the device's actors. */
export interface AttemptActors {
  readonly executor: ExecutorShape
  readonly reconfig: ReconfigShape
  readonly results: ResultsShape
  readonly membership: MembershipShape
}

export interface AttemptOptions<E> {
  readonly requestId: RequestId
  readonly attempt: number
  readonly strategy: Strategy
  readonly image: (resolution: number) => Effect.Effect<Uint8Array, E>
  /** Monotonic time at which the request's deadline passes. */
  readonly deadlineMs: number
  /** How long to wait for the logits before giving up on remote devices. */
  readonly patienceMs: number
  /** Written while the try goes on. */
  readonly progress: Progress
}

export interface AttemptOutcome {
  readonly prepared: PreparedStrategy
  readonly logits: Float32Array
  readonly timings: ReadonlyArray<TaskTiming>
  readonly decodeMs: number
  readonly reconfigMs: number
  readonly executeMs: number
}

/** The try failed because of other devices, or of nobody in particular; another plan may do better. */
export interface AttemptLost {
  readonly _tag: "AttemptLost"
  /** Devices to leave out of the next plan. */
  readonly blame: ReadonlyArray<DeviceId>
  /** They were waited for too long; whether they are gone is not known. */
  readonly overdue: boolean
  readonly reason: string
}

const lost = (blame: ReadonlyArray<DeviceId>, reason: string, overdue = false): AttemptLost => ({
  _tag: "AttemptLost",
  blame,
  overdue,
  reason,
})

const timed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const startMs = performance.now()
    return Effect.map(effect, (value) => ({ value, ms: performance.now() - startMs }))
  })

const remotesOf = (strategy: Strategy): ReadonlyArray<DeviceId> =>
  strategy.devices.slice(1).map((d) => d as DeviceId)

/** Waits for logits, or the end of patience. */
const awaitLogits = <E>(actors: AttemptActors, prepared: PreparedStrategy, o: AttemptOptions<E>) => {
  const open = actors.results.open(o.requestId, o.attempt, prepared)
  o.progress.prepared = prepared
  o.progress.timings = open.timings
  const remotes = remotesOf(prepared.strategy)
  const answered = Deferred.await(open.logits).pipe(
    Effect.tapError((e: AttemptFailed) =>
      e.error.tag === "Leaving" ? actors.membership.left(e.blame) : Effect.void,
    ),
    Effect.mapError((e: AttemptFailed) => {
      const reason = `${e.blame}: ${e.error.tag}: ${e.error.message}`
      if (e.error.tag === "UnknownStrategy") {
        // It made room for other strategies there, and can be made ready again: nobody's fault.
        actors.reconfig.deactivate(e.blame, prepared.strategyId)
        return lost([], reason)
      }
      return lost(remotes.includes(e.blame) ? [e.blame] : remotes, reason)
    }),
  )
  // Without other devices there is nobody to give up on: a slow try is still the fastest way to an answer.
  const patienceMs = remotes.length === 0 ? Infinity : o.patienceMs
  const waited = Math.min(patienceMs, o.deadlineMs - performance.now())
  return answered.pipe(
    Effect.timeoutOrElse({
      duration: Math.max(1, waited),
      orElse: () => {
        // Whoever has done its part is not to blame.
        const late = stragglers(prepared.strategy, o.progress)
        const blame = late.length === 0 ? remotes : late
        return Effect.fail(lost(blame, `no logits within ${Math.round(waited)} ms`, true))
      },
    }),
    Effect.map((logits) => ({ logits, timings: open.timings })),
  )
}

export const runAttempt = <E>(
  actors: AttemptActors,
  o: AttemptOptions<E>,
): Effect.Effect<AttemptOutcome, AttemptLost | Refusal | E> => {
  const remotes = remotesOf(o.strategy)
  if (remotes.length === 0) return wholeAttempt(actors, o)
  // From the start: a device may die while it is asked to make the strategy ready, and never answer.
  const abandoned = Effect.flatMap(neededAndLost(actors, o, remotes), (device) =>
    Effect.fail(lost([device], `${device} was lost`)),
  )
  return Effect.raceFirst(wholeAttempt(actors, o), abandoned)
}

/** Completes with a device that is lost while the try needs it; who has done its part may go. */
const neededAndLost = <E>(
  actors: AttemptActors,
  o: AttemptOptions<E>,
  devices: ReadonlyArray<DeviceId>,
): Effect.Effect<DeviceId> =>
  Effect.flatMap(actors.membership.awaitLoss(devices), (device) => {
    const { prepared, timings } = o.progress
    if (prepared === undefined) return Effect.succeed(device)
    const index = prepared.strategy.devices.indexOf(device)
    const missing = actors.executor.missing(o.requestId, o.attempt)
    const isNeeded = stillNeeds(prepared.graph, index, new Set(timings.map((t) => t.task)), missing)
    if (isNeeded) return Effect.succeed(device)
    const rest = devices.filter((d) => d !== device)
    return rest.length === 0 ? Effect.never : neededAndLost(actors, o, rest)
  })

const wholeAttempt = <E>(
  actors: AttemptActors,
  o: AttemptOptions<E>,
): Effect.Effect<AttemptOutcome, AttemptLost | Refusal | E> =>
  Effect.gen(function* () {
    const budgetMs = () => Math.max(1, o.deadlineMs - performance.now())
    const activate = actors.reconfig.activate(o.strategy, Math.min(budgetMs(), o.patienceMs)).pipe(
      Effect.catchIf(
        (e) => e._tag === "NotReady",
        (e) => Effect.fail(lost([e.device], `${e.device} is not ready: ${e.message}`, e.tag === "Late")),
      ),
      // This device itself could not make it ready, and may another time: its engine was just starting again.
      Effect.mapError((e) => (e._tag === "Refusal" && e.retryable ? lost([], e.message) : e)),
    )
    const [decoded, ready] = yield* Effect.all(
      [timed(o.image(o.strategy.submodel.resolution)), timed(activate)],
      {
        concurrency: 2,
      },
    )
    const prepared = ready.value
    const image = decoded.value
    const { requestId, attempt } = o
    const execute = Effect.gen(function* () {
      const waiting = yield* Effect.forkChild(awaitLogits(actors, prepared, o), { startImmediately: true })
      yield* Effect.forkChild(
        actors.executor.begin({ requestId, attempt, prepared, image, budgetMs: budgetMs() }),
      )
      return yield* Fiber.join(waiting)
    }).pipe(
      Effect.onError(() => actors.executor.cancel(requestId, attempt, prepared)),
      Effect.ensuring(Effect.sync(() => actors.results.close(requestId, attempt))),
    )
    const done = yield* timed(execute)
    const { logits, timings } = done.value
    return { prepared, logits, timings, decodeMs: decoded.ms, reconfigMs: ready.ms, executeMs: done.ms }
  })
