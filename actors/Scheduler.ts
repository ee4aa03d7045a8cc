/**
 * Serves clients: validates a request, asks the Planner what to run, tries it, and replies exactly once: an answer or a
 * typed error, within the deadline. When a try is lost to a device, the request is planned anew over those that remain, at
 * worst fully here. The device that a client asks is the one that serves it.
 */
import { Context, Effect, Layer } from "effect"
import { inferReply, inferRequest, resultMessage } from "../subjects/Codecs.ts"
import { RequestId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import { type InferReply, type InferRequest, refuseInfer } from "../subjects/InferMessages.ts"
import { type Arrival, listen, serve, serveTogether } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { admission, type Admission } from "./Admission.ts"
import { askedOnce } from "./AskedOnce.ts"
import { Backlog } from "./Backlog.ts"
import { type DecodingRoom, decodingRoom } from "./DecodingRoom.ts"
import { Executor } from "./Executor.ts"
import { gate } from "./FairQueue.ts"
import { deadlineExpired, imageOf, type Job, replyOf } from "./Job.ts"
import { Membership } from "./Membership.ts"
import { Planner } from "./Planner.ts"
import { Reconfig } from "./Reconfig.ts"
import { Results } from "./Results.ts"
import { Self, type SelfShape } from "./Self.ts"
import { SharedStrategies } from "./SharedStrategies.ts"
import { makeTries, type TryActors } from "./Tries.ts"

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

/** A request as it came in, with its deadline running. */
const jobOf = (self: SelfShape, request: InferRequest, { arrivedMs }: Arrival, options: JobOptions): Job => {
  const key = RequestId.make(`${self.device}-${self.identity.nonce}-${options.number}`)
  return {
    id: request.id ?? key,
    key,
    request,
    arrivedMs,
    deadlineMs: arrivedMs + (request.deadlineMs ?? options.defaultDeadlineMs),
    image: imageOf(request, self.emulated ? self.profile.decodeMs : 0, options.room),
  }
}

interface JobOptions {
  readonly room: DecodingRoom
  /** Of the requests of this session. */
  readonly number: number
  readonly defaultDeadlineMs: number
}

/** Fails where the request would still wait when its deadline passes. */
const refuseIfLate = (job: Job, admitted: Admission, waitMs: number) => {
  const nowMs = performance.now()
  if (nowMs >= job.deadlineMs) return Effect.fail(deadlineExpired(job))
  if (nowMs + waitMs <= job.deadlineMs) return Effect.void
  const detail = `${admitted.inFlight()} requests are under way; this one would wait about ${Math.round(waitMs)} ms`
  return Effect.fail(refusal("Overloaded", detail, "send fewer at once, or allow a longer deadline", true))
}

/** Gives the function that answers a client's request, within its deadline. */
const answering = (options: SchedulerOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const planner = yield* Planner
    const shared = yield* SharedStrategies
    const membership = yield* Membership
    const actors: TryActors = {
      executor: yield* Executor,
      reconfig: yield* Reconfig,
      results: yield* Results,
      backlog: yield* Backlog,
      membership,
      planner,
      self,
    }
    const admitted = admission(options.concurrency)
    // They wait here with their deadline running: in the bus' queue nobody would tell them that it passed.
    const others = () => membership.usable().filter((m) => m.identity.device !== self.device).length
    const turns = gate(() => Math.min(options.concurrency, perDevice * (1 + others())), options.queued)
    const answer = makeTries(actors, admitted, options)
    const room = decodingRoom(self.memory.decodingBytes)
    let number = 0

    const learn = (strategy: Strategy, reply: InferReply) => {
      const { predicted, breakdown, latencyMs } = reply
      self.counters.answered++
      admitted.observe(predicted.latencyMs, breakdown.executeMs)
      if (reply.replans > 0) return
      shared.worked(strategy, reply)
      // Deciding and making ready are for the first request of a kind; waiting for a turn says nothing about the models.
      const { queueMs, planMs, reconfigMs } = breakdown
      const decidingMs = reply.origin === "cache" ? 0 : planMs
      planner.observe(predicted.latencyMs, latencyMs - queueMs - decidingMs - reconfigMs)
    }
    const refused = ({ tag, detail }: Refusal) => {
      self.counters.refused++
      self.noteError(tag, detail)
    }
    return (request: InferRequest, arrival: Arrival): Effect.Effect<InferReply, Refusal> =>
      Effect.gen(function* () {
        const { defaultDeadlineMs } = options
        const job = jobOf(self, request, arrival, { number: number++, defaultDeadlineMs, room })
        let startedMs = performance.now()
        const begin = Effect.suspend(() => {
          startedMs = performance.now()
          self.counters.requests = admitted.inFlight()
          return answer(job)
        })
        const client = arrival.client === "" ? job.key : arrival.client
        yield* refuseIfLate(job, admitted, admitted.predictedWaitMs(turns.ahead(client)))
        const done = yield* admitted.run(turns.run(client, full, begin)).pipe(
          Effect.timeoutOrElse({
            duration: Math.max(1, job.deadlineMs - performance.now()),
            orElse: () => Effect.fail(deadlineExpired(job)),
          }),
        )
        const reply = replyOf(self, job, done, startedMs - arrival.arrivedMs)
        learn(done.planned.strategy, reply)
        return reply
      }).pipe(
        Effect.tapError((e) => Effect.sync(() => refused(e))),
        Effect.ensuring(Effect.sync(() => (self.counters.requests = admitted.inFlight()))),
      )
  })

/** What devices tell about the work of a request that this one serves. */
const hearResults = Effect.gen(function* () {
  const self = yield* Self
  const membership = yield* Membership
  const executor = yield* Executor
  const results = yield* Results
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
      return message._tag === "GivenUp" ? executor.abandon(message) : results.deliver(message)
    },
  })
})

const make = (options: SchedulerOptions) =>
  Effect.gen(function* () {
    const { device } = yield* Self
    const infer = askedOnce(yield* answering(options))
    yield* hearResults
    const endpoint = {
      input: inferRequest,
      output: inferReply,
      refuse: refuseInfer,
      concurrency: options.concurrency + options.queued,
      capacity: options.queued,
      handle: infer,
    }
    // One after the other they would take as long again to drain, and the first would go on taking requests meanwhile.
    yield* serveTogether([
      serve({ ...endpoint, name: "infer", subject: Subjects.infer, queue: Subjects.inferQueue }),
      serve({ ...endpoint, name: "infer-here", subject: Subjects.inferAt(device) }),
    ])
    return Scheduler.of({ infer })
  })

export interface SchedulerShape {
  readonly infer: (request: InferRequest, arrival: Arrival) => Effect.Effect<InferReply, Refusal>
}

export class Scheduler extends Context.Service<Scheduler, SchedulerShape>()("actors/Scheduler") {
  static readonly layer = (options: SchedulerOptions = defaultSchedulerOptions) =>
    Layer.effect(Scheduler, make(options))
}
