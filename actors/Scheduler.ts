/**
 * Serves clients: validates a request, asks the Planner what to run, tries it, and replies exactly once: an answer or a
 * typed error, within the deadline. When a try is lost to a device, the request is planned anew over those that remain, at
 * worst fully here. The device that a client asks is the one that serves it.
 */
import { Context, Effect, Layer, Semaphore } from "effect"
import { inferReply, inferRequest, resultMessage } from "../subjects/Codecs.ts"
import { type DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { type InferReply, type InferRequest, refuseInfer } from "../subjects/InferMessages.ts"
import type { PlanReply } from "../subjects/PlanMessages.ts"
import { type Arrival, listen, serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type Strategy, strategyProblems } from "../supernet/Strategy.ts"
import { admission, type Admission } from "./Admission.ts"
import { type AttemptLost, type AttemptOutcome, runAttempt } from "./Attempt.ts"
import { Executor } from "./Executor.ts"
import { decodeImage, scaleImage } from "./Image.ts"
import { Membership } from "./Membership.ts"
import { Planner } from "./Planner.ts"
import { Reconfig } from "./Reconfig.ts"
import { Results } from "./Results.ts"
import { Self } from "./Self.ts"
import { SharedStrategies } from "./SharedStrategies.ts"
import { summarize } from "./Summary.ts"
import { topClasses } from "./TopClasses.ts"

export interface SchedulerOptions {
  /** Requests served at once; further ones wait in a queue of `queued`, then are refused. */
  readonly concurrency: number
  readonly queued: number
  /** For requests that name no deadline. */
  readonly defaultDeadlineMs: number
  /** Tries with remote devices before the request is answered locally. */
  readonly remoteAttempts: number
}

export const defaultSchedulerOptions: SchedulerOptions = {
  concurrency: 96,
  queued: 64,
  defaultDeadlineMs: 10_000,
  remoteAttempts: 2,
}

type Plan = Omit<PlanReply, "strategyId" | "planMs">

/** A request on its way through the Scheduler. */
interface Job {
  /** The client's name for it, if it gave one: only for the reply. Two clients may choose the same. */
  readonly id: RequestId
  /** Names it between devices: unique in the swarm. */
  readonly key: RequestId
  readonly request: InferRequest
  readonly arrivedMs: number
  readonly deadlineMs: number
  readonly image: (resolution: number) => Effect.Effect<Uint8Array, Refusal>
}

/** Decodes the request's image once per resolution. An emulated device takes at least `heldMs` for it. */
const imageOf = (request: InferRequest, heldMs: number): Job["image"] => {
  const scaled = new Map<number, Uint8Array>()
  return (resolution) =>
    Effect.gen(function* () {
      const known = scaled.get(resolution)
      if (known !== undefined) return known
      const startMs = performance.now()
      const { image, tensor } = request
      const decode =
        tensor === undefined
          ? decodeImage(image ?? new Uint8Array(), resolution)
          : scaleImage(tensor, resolution)
      const pixels = yield* decode.pipe(Effect.mapError((e) => refusal(e._tag, e.message, e.hint)))
      const leftMs = heldMs - (performance.now() - startMs)
      if (leftMs > 0) yield* Effect.sleep(leftMs)
      scaled.set(resolution, pixels)
      return pixels
    })
}

const make = (options: SchedulerOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const planner = yield* Planner
    const shared = yield* SharedStrategies
    const membership = yield* Membership
    const actors = {
      executor: yield* Executor,
      reconfig: yield* Reconfig,
      results: yield* Results,
      membership,
    }
    const admitted: Admission = admission(options.concurrency)
    /** Requests wait for one of these with their deadline running: in the bus' queue nobody would tell them that it passed. */
    const slots = yield* Semaphore.make(options.concurrency)
    let counter = 0

    /** Without a message: two passes through the codec and a leaf for a look-up that takes microseconds (docs/decisions). */
    const planFor = (job: Job, exclude: ReadonlyArray<DeviceId>): Effect.Effect<Plan, Refusal> =>
      planner.plan({ requestId: job.key, slo: job.request.slo, exclude: [...exclude] })
    const given = (strategy: Strategy): Effect.Effect<Plan, Refusal> => {
      const problems = strategyProblems(self.spec, strategy)
      if (problems.length > 0) {
        const { name, version } = self.spec
        const detail = problems.slice(0, 3).join("; ")
        return Effect.fail(
          refusal("NoStrategy", detail, `it must be a strategy of supernet ${name} ${version}`),
        )
      }
      return strategy.devices[0] === self.device
        ? planner.predict(strategy).pipe(
            Effect.map((predicted) => ({
              strategy,
              predicted,
              origin: "request" as const,
              feasible: true,
            })),
          )
        : Effect.fail(
            refusal(
              "NoStrategy",
              `the strategy is served by ${strategy.devices[0] ?? "nobody"}; this device is ${self.device}`,
              `send it to infer.${strategy.devices[0] ?? "<device>"}.request`,
            ),
          )
    }

    const attempt = (job: Job, planned: Plan, number: number) =>
      runAttempt(actors, {
        requestId: job.key,
        attempt: number,
        strategy: planned.strategy,
        image: job.image,
        deadlineMs: job.deadlineMs,
        // Nothing can take the place of a strategy that the client insists on.
        patienceMs:
          job.request.strategy === undefined ? admitted.patienceMs(planned.predicted.latencyMs) : Infinity,
      })

    const others = () => [...membership.table().keys()].filter((d) => d !== self.device)
    /** Tries until one succeeds: with fewer devices each time, at last with this one alone. */
    const answer = Effect.fnUntraced(function* (job: Job) {
      let exclude: ReadonlyArray<DeviceId> = []
      let planMs = 0
      for (let number = 0; ; number++) {
        const planStart = performance.now()
        const { strategy } = job.request
        const planned = yield* strategy === undefined ? planFor(job, exclude) : given(strategy)
        planMs += performance.now() - planStart
        const tried = yield* Effect.result(attempt(job, planned, number))
        if (tried._tag === "Success") return { planned, outcome: tried.success, replans: number, planMs }
        const failure: AttemptLost | Refusal = tried.failure
        if (failure._tag === "Refusal") return yield* failure
        self.noteError("DeviceLost", failure.reason)
        yield* Effect.logDebug(`${job.id}: try ${number} lost: ${failure.reason}`)
        const expired = performance.now() >= job.deadlineMs
        if (expired) return yield* deadlineExpired(job)
        if (strategy !== undefined || number > options.remoteAttempts) {
          return yield* refusal("DeviceLost", failure.reason, "send the request again", true)
        }
        self.counters.replans++
        exclude =
          number + 1 >= options.remoteAttempts ? others() : [...new Set([...exclude, ...failure.blame])]
      }
    })

    const infer = (request: InferRequest, arrival: Arrival): Effect.Effect<InferReply, Refusal> =>
      Effect.gen(function* () {
        const limitMs = request.deadlineMs ?? options.defaultDeadlineMs
        const key = RequestId.make(`${self.device}-${self.identity.nonce}-${counter++}`)
        const job: Job = {
          id: request.id ?? key,
          key,
          request,
          arrivedMs: arrival.arrivedMs,
          deadlineMs: arrival.arrivedMs + limitMs,
          image: imageOf(request, self.emulated ? self.profile.decodeMs : 0),
        }
        const startedMs = performance.now()
        if (startedMs >= job.deadlineMs) return yield* deadlineExpired(job)
        const waitMs = admitted.predictedWaitMs()
        if (startedMs - arrival.arrivedMs + waitMs > limitMs) {
          const detail = `${admitted.inFlight()} requests are under way; this one would wait about ${Math.round(waitMs)} ms`
          return yield* refusal("Overloaded", detail, "send fewer at once, or allow a longer deadline", true)
        }
        const done = yield* admitted.run(slots.withPermits(1)(answer(job))).pipe(
          Effect.timeoutOrElse({
            duration: Math.max(1, job.deadlineMs - performance.now()),
            orElse: () => Effect.fail(deadlineExpired(job)),
          }),
        )
        const queueMs = startedMs - arrival.arrivedMs
        const reply = replyOf(self, job, done, queueMs)
        if (done.replans === 0) shared.worked(done.planned.strategy, reply)
        return reply
      }).pipe(
        Effect.tap((reply) =>
          Effect.sync(() => {
            self.counters.answered++
            const { predicted, breakdown } = reply
            admitted.observe(predicted.latencyMs, breakdown.executeMs)
            if (reply.replans === 0)
              planner.observe(predicted.latencyMs, breakdown.decodeMs + breakdown.executeMs)
          }),
        ),
        Effect.tapError((e) =>
          Effect.sync(() => {
            self.counters.refused++
            self.noteError(e.tag, e.detail)
          }),
        ),
        Effect.ensuring(Effect.sync(() => (self.counters.requests = admitted.inFlight()))),
      )

    yield* listen({
      subject: Subjects.result(self.device, Subjects.anyDevice),
      input: resultMessage,
      capacity: 4096,
      whenFull: "drop-newest",
      handle: (message, { subject }) => {
        // The bus vouches for the sender in the subject; a message that claims another one is a lie.
        if (subject !== Subjects.result(self.device, message.device)) {
          return Effect.sync(() => void self.counters.dropped++)
        }
        membership.heard(message.device)
        return actors.results.deliver(message)
      },
    })
    const endpoint = {
      input: inferRequest,
      output: inferReply,
      refuse: refuseInfer,
      concurrency: options.concurrency + options.queued,
      capacity: options.queued,
      handle: infer,
    }
    yield* serve({ ...endpoint, name: "infer", subject: Subjects.infer, queue: Subjects.inferQueue })
    yield* serve({ ...endpoint, name: "infer-here", subject: Subjects.inferAt(self.device) })
    return Scheduler.of({ infer })
  })

const deadlineExpired = (job: Job): Refusal => {
  const tookMs = Math.round(performance.now() - job.arrivedMs)
  const limitMs = Math.round(job.deadlineMs - job.arrivedMs)
  return refusal(
    "DeadlineExpired",
    `${tookMs} ms went by; the deadline was ${limitMs} ms`,
    "allow more time",
    true,
  )
}

interface Done {
  readonly planned: Plan
  readonly outcome: AttemptOutcome
  readonly replans: number
  readonly planMs: number
}

const replyOf = (self: Self["Service"], job: Job, done: Done, queueMs: number): InferReply => {
  const { planned, outcome, replans, planMs } = done
  const { request } = job
  const { decodeMs, reconfigMs, executeMs, prepared } = outcome
  const latencyMs = performance.now() - job.arrivedMs
  const { slo } = request
  const sloMet =
    slo.latencyMs === undefined ? planned.predicted.accuracy >= slo.accuracy : latencyMs <= slo.latencyMs
  return {
    id: job.id,
    device: self.device,
    classes: topClasses(outcome.logits, self.spec.classes, request.topK),
    latencyMs,
    breakdown: { queueMs, decodeMs, planMs, reconfigMs, executeMs },
    slo,
    sloMet,
    predicted: planned.predicted,
    strategyId: prepared.strategyId,
    summary: summarize(prepared),
    origin: replans > 0 && planned.strategy.devices.length === 1 ? "fallback" : planned.origin,
    replans,
    supernet: { name: self.spec.name, version: self.spec.version },
    trained: self.spec.trained,
    ...(request.include.includes("logits") ? { logits: [...outcome.logits] } : {}),
    ...(request.include.includes("strategy") ? { strategy: prepared.strategy } : {}),
    ...(request.include.includes("timeline") ? { timeline: [...outcome.timings] } : {}),
  }
}

export interface SchedulerShape {
  readonly infer: (request: InferRequest, arrival: Arrival) => Effect.Effect<InferReply, Refusal>
}

export class Scheduler extends Context.Service<Scheduler, SchedulerShape>()("actors/Scheduler") {
  static readonly layer = (options: SchedulerOptions = defaultSchedulerOptions) =>
    Layer.effect(Scheduler, make(options))
}
