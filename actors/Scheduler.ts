/**
 * Serves clients: validates a request, asks the Planner what to run, tries it, and replies exactly once: an answer or a
 * typed error, within the deadline. When a try is lost to a device, the request is planned anew over those that remain, at
 * worst fully here. The device that a client asks is the one that serves it.
 */
import { Context, Deferred, Effect, Layer } from "effect"
import { inferReply, inferRequest, resultMessage } from "../subjects/Codecs.ts"
import { RequestId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { type InferReply, type InferRequest, refuseInfer } from "../subjects/InferMessages.ts"
import { type Arrival, listen, serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { admission, type Admission } from "./Admission.ts"
import { Backlog } from "./Backlog.ts"
import { Executor } from "./Executor.ts"
import { gate } from "./FairQueue.ts"
import { deadlineExpired, imageOf, type Job, replyOf } from "./Job.ts"
import { Membership } from "./Membership.ts"
import { Planner } from "./Planner.ts"
import { Reconfig } from "./Reconfig.ts"
import { Results } from "./Results.ts"
import { Self } from "./Self.ts"
import { SharedStrategies } from "./SharedStrategies.ts"
import { makeTries } from "./Tries.ts"

export interface SchedulerOptions {
  /** Requests served at once at most; further ones wait in a queue of `queued`, each client in turn, then are refused. */
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

/**
 * Requests under way for each device of the swarm: enough that nobody idles while an image is decoded or a tile travels, and
 * few enough that the next client's turn comes soon.
 */
const perDevice = 4

const full = refusal("Overloaded", "the queue is full", "try again later, or elsewhere", true)

const make = (options: SchedulerOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const planner = yield* Planner
    const shared = yield* SharedStrategies
    const backlog = yield* Backlog
    const membership = yield* Membership
    const actors = {
      executor: yield* Executor,
      reconfig: yield* Reconfig,
      results: yield* Results,
      membership,
    }
    const admitted: Admission = admission(options.concurrency)
    // They wait here with their deadline running: in the bus' queue nobody would tell them that it passed.
    const others = () => membership.usable().filter((m) => m.identity.device !== self.device).length
    const turns = gate(() => Math.min(options.concurrency, perDevice * (1 + others())), options.queued)
    let counter = 0

    const answer = makeTries({ ...actors, self, planner, backlog }, admitted, options)
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
        const client = arrival.client === "" ? key : arrival.client
        const waitMs = admitted.predictedWaitMs(turns.ahead(client))
        if (startedMs - arrival.arrivedMs + waitMs > limitMs) {
          const detail = `${admitted.inFlight()} requests are under way; this one would wait about ${Math.round(waitMs)} ms`
          return yield* refusal("Overloaded", detail, "send fewer at once, or allow a longer deadline", true)
        }
        const done = yield* admitted.run(turns.run(client, full, answer(job))).pipe(
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

    const repeats = new Map<string, Deferred.Deferred<InferReply, Refusal>>()
    /** A client that asks again, because no answer has come, gets the one that is being made. */
    const inferOnce: SchedulerShape["infer"] = (request, arrival) =>
      Effect.suspend(() => {
        if (request.key === undefined) return infer(request, arrival)
        const key = `${arrival.client}/${request.key}`
        const running = repeats.get(key)
        if (running !== undefined) return Deferred.await(running)
        const answer = Deferred.makeUnsafe<InferReply, Refusal>()
        repeats.set(key, answer)
        return infer(request, arrival).pipe(
          Effect.onExit((exit) => {
            repeats.delete(key)
            return Deferred.done(answer, exit)
          }),
        )
      })

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
        return message._tag === "GivenUp" ? actors.executor.abandon(message) : actors.results.deliver(message)
      },
    })
    const endpoint = {
      input: inferRequest,
      output: inferReply,
      refuse: refuseInfer,
      concurrency: options.concurrency + options.queued,
      capacity: options.queued,
      handle: inferOnce,
    }
    yield* serve({ ...endpoint, name: "infer", subject: Subjects.infer, queue: Subjects.inferQueue })
    yield* serve({ ...endpoint, name: "infer-here", subject: Subjects.inferAt(self.device) })
    return Scheduler.of({ infer })
  })

export interface SchedulerShape {
  readonly infer: (request: InferRequest, arrival: Arrival) => Effect.Effect<InferReply, Refusal>
}

export class Scheduler extends Context.Service<Scheduler, SchedulerShape>()("actors/Scheduler") {
  static readonly layer = (options: SchedulerOptions = defaultSchedulerOptions) =>
    Layer.effect(Scheduler, make(options))
}
