/**
 * The loops behind subjects. `serve` answers requests, `listen` takes one-way messages. Both keep running whatever
 * arrives: bytes that do not decode, handlers that fail, die or interrupt themselves. Both drain when their scope closes.
 */
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { headers, type Msg } from "nats"
import { Bus, type Inbox, type Incoming } from "./Bus.ts"
import { type BadMessage, type Codec, formatOf, type WireFormat } from "./Codec.ts"
import { errorReply } from "./Codecs.ts"
import { monotonicMs } from "./Connection.ts"
import { type EndpointStats, endpointStats, tracked } from "./EndpointStats.ts"
import { type ErrorBody, errorBody, errorBodyOf, errorHeader, type Refusal, refusal } from "./ErrorReply.ts"

const drainLimit = Duration.seconds(5)
/** And then for the refusal of what was not done by then (`run`, at the end). */
const refuseLimit = Duration.seconds(1)

export interface Arrival {
  readonly subject: string
  readonly arrivedMs: number
  readonly bytes: number
  readonly format: WireFormat
  /** Where an answer is expected; empty where none is. */
  readonly reply: string
  /** The connection that asks, as far as the bus tells: the part of its reply subject that all its requests share. */
  readonly client: string
}

/** `_INBOX.<connection>.<request>`, or with the prefix of clients: what comes before the last dot. */
const clientOf = (reply: string): string => reply.slice(0, Math.max(0, reply.lastIndexOf(".")))

const arrivalOf = ({ subject, data, arrivedMs, reply }: Incoming): Arrival => ({
  subject,
  arrivedMs,
  bytes: data.length,
  format: formatOf(data),
  reply,
  client: clientOf(reply),
})

export interface ServeOptions<In, Out, E, R> {
  /** Endpoint name in the services API. Default: the subject's first word. */
  readonly name?: string
  readonly subject: string
  readonly queue?: string
  readonly input: Codec<In>
  readonly output: Codec<Out>
  /** Handlers that may run at once. Default 1: in order. */
  readonly concurrency?: number
  /** Requests that may wait beside those that run; further ones are refused as Overloaded at once. Default 256. */
  readonly capacity?: number
  /** How long handlers may go on after the scope began to close; what is not done then is refused. Default: 5 s. */
  readonly drain?: Duration.Duration
  /** How undecodable input is refused. Default: BadRequest. */
  readonly refuse?: (bad: BadMessage) => Refusal
  /** Fails with a `Refusal` to choose the error reply; any other failure or defect is answered as Internal. */
  readonly handle: (input: In, arrival: Arrival) => Effect.Effect<Out, E, R>
}

const badRequest = (bad: BadMessage): Refusal =>
  refusal("BadRequest", bad.detail, "see docs/clients.md for the message's form")

/** Sends a typed error; the body has the form (CBOR or JSON) of the request. */
const respondError = (message: Msg, error: ErrorBody, format: WireFormat): boolean => {
  const h = headers()
  h.set(errorHeader, error.tag)
  h.set("Nats-Service-Error", error.message.replaceAll(/\s+/g, " ").slice(0, 500))
  h.set("Nats-Service-Error-Code", error.retryable ? "503" : "400")
  return message.respond(errorReply.encode({ error }, format), { headers: h })
}

/** Resolves once the server knows the subscription. */
export const serve = <In, Out, E, R>(
  o: ServeOptions<In, Out, E, R>,
): Effect.Effect<EndpointStats, never, Bus | Scope.Scope | R> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const name = o.name ?? o.subject.split(".")[0] ?? o.subject
    const stats = yield* tracked(bus.endpoints, endpointStats(name, o.subject, o.queue))
    const inbox = yield* bus.inbox(o.subject, {
      ...(o.queue === undefined ? {} : { queue: o.queue }),
      capacity: o.capacity ?? 256,
      onDrop: (message) => {
        stats.dropped++
        const full = refusal("Overloaded", "the queue is full", "try again later, or elsewhere", true)
        respondError(message, errorBodyOf(full), formatOf(message.data))
      },
    })
    const outOfTime = yield* Deferred.make<never, Refusal>()
    const answer = (incoming: Incoming) => {
      const arrival = arrivalOf(incoming)
      const { format } = arrival
      return Effect.fromResult(o.input.decode(incoming.subject, incoming.data)).pipe(
        Effect.mapError((bad) => {
          stats.bad++
          return (o.refuse ?? badRequest)(bad)
        }),
        Effect.flatMap((input) => Effect.raceFirst(o.handle(input, arrival), Deferred.await(outOfTime))),
        Effect.map((out) => o.output.encode(out, format)),
        Effect.exit,
        Effect.flatMap((exit) => reply(bus.payloadLimitBytes(), incoming, format, exit, stats)),
      )
    }
    const leaving = refusal("Leaving", "the device is shutting down", "send the request again", true)
    const giveUp = Deferred.fail(outOfTime, leaving)
    yield* run(inbox, answer, o.concurrency ?? 1, { limit: o.drain ?? drainLimit, giveUp })
    return stats
  })

const reply = <E>(
  limitBytes: number,
  incoming: Incoming,
  format: WireFormat,
  exit: Exit.Exit<Uint8Array, E>,
  stats: EndpointStats,
) => {
  stats.requests++
  stats.processingNs += Math.round((monotonicMs() - incoming.arrivedMs) * 1e6)
  const tooLarge = Exit.isSuccess(exit) && exit.value.length > limitBytes
  if (Exit.isSuccess(exit) && !tooLarge) {
    if (incoming.reply !== "") incoming.message.respond(exit.value)
    return Effect.void
  }
  const error = Exit.isSuccess(exit)
    ? errorBodyOf(refusal("PayloadTooLarge", `the reply has ${exit.value.length} bytes`, "ask for less"))
    : errorBody(Cause.squash(exit.cause))
  stats.errors++
  stats.lastError = `${error.tag}: ${error.message}`
  if (incoming.reply !== "") respondError(incoming.message, error, format)
  return Exit.isFailure(exit) && error.tag === "Internal"
    ? Effect.logError(`${incoming.subject}: handler failed`, exit.cause)
    : Effect.void
}

export interface ListenOptions<In, E, R> {
  readonly name?: string
  readonly subject: string
  readonly input: Codec<In>
  readonly concurrency?: number
  readonly capacity?: number
  /** State that repeats (beats, links) drops the oldest; work drops what arrives. Default: drop-oldest. */
  readonly whenFull?: "drop-newest" | "drop-oldest"
  readonly handle: (input: In, arrival: Arrival) => Effect.Effect<void, E, R>
}

/** Takes one-way messages; bad ones are counted and dropped. Resolves once the server knows the subscription. */
export const listen = <In, E, R>(
  o: ListenOptions<In, E, R>,
): Effect.Effect<EndpointStats, never, Bus | Scope.Scope | R> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const name = o.name ?? o.subject.split(".")[0] ?? o.subject
    const stats = yield* tracked(bus.endpoints, endpointStats(name, o.subject))
    const onDrop = () => stats.dropped++
    const whenFull = o.whenFull ?? "drop-oldest"
    const inbox = yield* bus.inbox(o.subject, { capacity: o.capacity ?? 1024, whenFull, onDrop })
    const take = (incoming: Incoming) => {
      const { subject, data, arrivedMs } = incoming
      stats.requests++
      return Effect.fromResult(o.input.decode(subject, data)).pipe(
        Effect.tapError((bad) =>
          Effect.sync(() => {
            stats.bad++
            stats.lastError = bad.message
          }),
        ),
        Effect.flatMap((input) => o.handle(input, arrivalOf(incoming))),
        Effect.exit,
        Effect.flatMap((exit) => {
          stats.processingNs += Math.round((monotonicMs() - arrivedMs) * 1e6)
          if (Exit.isSuccess(exit)) return Effect.void
          const failure = Cause.squash(exit.cause)
          if ((failure as { _tag?: string })._tag === "BadMessage") return Effect.void
          stats.errors++
          stats.lastError = errorBody(failure).message
          return Effect.logError(`${subject}: handler failed`, exit.cause)
        }),
      )
    }
    yield* run(inbox, take, o.concurrency ?? 1, { limit: drainLimit, giveUp: Effect.void })
    return stats
  })

/** Serves several subjects that end together: all take no more when the scope closes, and then drain at the same time. */
export const serveTogether = <A, E, R>(
  endpoints: ReadonlyArray<Effect.Effect<A, E, R>>,
): Effect.Effect<ReadonlyArray<A>, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const all = yield* Scope.fork(yield* Effect.scope, "parallel")
    return yield* Effect.forEach(endpoints, (endpoint) =>
      // What one of them has to close is closed in its order.
      Effect.flatMap(Scope.fork(all, "sequential"), (own) => Scope.provide(endpoint, own)),
    )
  })

/**
 * Runs `each` for every message until the scope closes; then stops the intake and finishes what is queued and running, for as
 * long as the limit allows. What is left then is told so (`giveUp`), and interrupted if that does not end it.
 * A handler that interrupts itself ends in a failed exit above, never here.
 */
const run = <R>(
  inbox: Inbox,
  each: (incoming: Incoming) => Effect.Effect<void, never, R>,
  concurrency: number,
  { limit, giveUp }: { readonly limit: Duration.Duration; readonly giveUp: Effect.Effect<unknown> },
) =>
  Effect.gen(function* () {
    // Nor may an answer that cannot be sent (the connection closes, the server's limit has shrunk) end the loop.
    const guarded = (incoming: Incoming) =>
      Effect.catchCause(each(incoming), (cause) =>
        Effect.logError(`${incoming.subject}: not answered`, cause),
      )
    const loop = inbox.messages.pipe(
      Stream.mapEffect(guarded, { concurrency, unordered: true }),
      Stream.runDrain,
    )
    const fiber = yield* Effect.forkScoped(loop)
    const done = (within: Duration.Duration) =>
      Fiber.await(fiber).pipe(Effect.interruptible, Effect.timeoutOption(within))
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* inbox.close
        if (Option.isSome(yield* done(limit))) return
        yield* giveUp
        yield* done(refuseLimit)
      }),
    )
  })
