/**
 * The bus as a service: publish, request, inbox. Everything else (serving, tiles, buckets) is built on these in its own
 * file. Bytes in, bytes out: codecs are applied by the callers.
 */
import {
  type Cause,
  Context,
  Effect,
  Layer,
  Queue,
  Result,
  type Scope,
  Stream,
  SubscriptionRef,
} from "effect"
import { type Msg, type NatsConnection, NatsError } from "nats"
import {
  BusDown,
  type CannotConnect,
  Late,
  NobodyListens,
  NotPermitted,
  PayloadTooLarge,
  type PublishError,
  Refused,
  type RequestError,
} from "./BusErrors.ts"
import { errorReply } from "./Codecs.ts"
import {
  type BusOptions,
  type BusState,
  type Connection,
  monotonicMs,
  openConnection,
  serverNames,
} from "./Connection.ts"
import type { EndpointStats } from "./EndpointStats.ts"
import { errorHeader } from "./ErrorReply.ts"

export type { BusOptions, BusState } from "./Connection.ts"

/** A message as it arrived. `reply` is empty where no answer is expected. */
export interface Incoming {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string
  /** Monotonic ms at which the client library delivered it. */
  readonly arrivedMs: number
  readonly message: Msg
}

export interface InboxOptions {
  readonly queue?: string
  /** Messages that may wait. Default 1024. */
  readonly capacity?: number
  /** When full: drop what arrives (default), or the oldest. */
  readonly whenFull?: "drop-newest" | "drop-oldest"
  /** Called for each message dropped, with the one that arrived, in the network callback: be quick. */
  readonly onDrop?: (arrived: Msg) => void
}

export interface Inbox {
  readonly messages: Stream.Stream<Incoming>
  /** Stops the intake, then ends the stream; what has been taken in is still delivered. */
  readonly close: Effect.Effect<void>
}

export interface RequestOptions {
  readonly timeoutMs: number
}

export interface BusShape {
  readonly state: SubscriptionRef.SubscriptionRef<BusState>
  readonly isUp: () => boolean
  /** Resolves once connected (at once, when it is). */
  readonly awaitUp: Effect.Effect<void>
  /** Largest message that the server takes, bytes. */
  readonly payloadLimitBytes: () => number
  readonly publish: (subject: string, bytes: Uint8Array, reply?: string) => Effect.Effect<void, PublishError>
  /** The reply's bytes, or why there is none: one error for each thing that a caller can do about it. */
  readonly request: (
    subject: string,
    bytes: Uint8Array,
    options: RequestOptions,
  ) => Effect.Effect<Uint8Array, RequestError>
  /** Resolves once the server knows the subscription. */
  readonly inbox: (subject: string, options?: InboxOptions) => Effect.Effect<Inbox, never, Scope.Scope>
  /** What this connection serves and listens to now. */
  readonly endpoints: Set<EndpointStats>
  /** For code in this folder that needs more of nats.js. */
  readonly nats: NatsConnection
  readonly options: BusOptions
}

export class Bus extends Context.Service<Bus, BusShape>()("murmuration/Bus") {
  static readonly layer = (options: BusOptions): Layer.Layer<Bus, CannotConnect> =>
    Layer.effect(
      Bus,
      Effect.map(openConnection(options), (c) => makeBus(c, options)),
    )
}

/** Interest in a new subscription takes up to a few ms to reach all leaves: one more try is worth it at the start. */
const startMs = 2000
const secondTryAfter = "25 millis"

type Line = Pick<BusShape, "state" | "options">

/** The error of a message that could not go, or whose way is unknown (`detail`), because there is no connection. */
export const busDown = ({ state, options }: Line, subject: string, detail: string): BusDown => {
  const now = SubscriptionRef.getUnsafe(state)
  const downMs = now._tag === "Down" ? monotonicMs() - now.sinceMs : 0
  return new BusDown({ subject, downMs, server: serverNames(options), detail })
}

/** Just after connecting, a request that nobody listens to is made once more. */
export const againAtStart = <A>(
  state: SubscriptionRef.SubscriptionRef<BusState>,
  once: Effect.Effect<A, RequestError>,
): Effect.Effect<A, RequestError> => {
  const justStarted = () => {
    const now = SubscriptionRef.getUnsafe(state)
    return now._tag === "Up" && monotonicMs() - now.sinceMs < startMs
  }
  return Effect.catchIf(
    once,
    (e) => e._tag === "NobodyListens" && justStarted(),
    () => Effect.delay(once, secondTryAfter),
  )
}

const makeBus = (connection: Connection, options: BusOptions): BusShape => {
  const { nats, state } = connection
  const line: Line = { state, options }
  const isUp = () => SubscriptionRef.getUnsafe(state)._tag === "Up" && !nats.isClosed()
  const payloadLimitBytes = () => nats.info?.max_payload ?? 1_048_576

  /** What forbids sending now, if anything does. */
  const obstacle = (subject: string, bytes: Uint8Array): PublishError | undefined => {
    if (!isUp()) return busDown(line, subject, "nothing was sent")
    const limitBytes = payloadLimitBytes()
    return bytes.length > limitBytes
      ? new PayloadTooLarge({ subject, bytes: bytes.length, limitBytes })
      : undefined
  }

  const publish: BusShape["publish"] = (subject, bytes, reply) =>
    Effect.suspend(() => {
      const error = obstacle(subject, bytes)
      if (error !== undefined) return Effect.fail(error)
      nats.publish(subject, bytes, reply === undefined ? {} : { reply })
      return Effect.void
    })

  const requestOnce = (subject: string, bytes: Uint8Array, timeoutMs: number) =>
    Effect.suspend(() => {
      const error = obstacle(subject, bytes)
      if (error !== undefined) return Effect.fail<RequestError>(error)
      return Effect.tryPromise({
        try: () => nats.request(subject, bytes, { timeout: Math.max(1, timeoutMs) }),
        catch: (cause) => requestError(line, subject, timeoutMs, cause),
      }).pipe(Effect.flatMap((reply) => Effect.fromResult(replyBytes(subject, reply))))
    })

  const request: BusShape["request"] = (subject, bytes, { timeoutMs }) =>
    againAtStart(state, requestOnce(subject, bytes, timeoutMs))

  return {
    state,
    isUp,
    awaitUp: SubscriptionRef.changes(state).pipe(
      Stream.filter((s) => s._tag === "Up"),
      Stream.runHead,
      Effect.asVoid,
    ),
    payloadLimitBytes,
    publish,
    request,
    inbox: (subject, inboxOptions) => openInbox(nats, subject, inboxOptions ?? {}),
    endpoints: new Set(),
    nats,
    options,
  }
}

const requestError = (bus: Line, subject: string, timeoutMs: number, cause: unknown): RequestError => {
  const code = cause instanceof NatsError ? cause.code : ""
  if (code === "503") return new NobodyListens({ subject })
  if (code === "TIMEOUT") return new Late({ subject, timeoutMs })
  if (code === "PERMISSIONS_VIOLATION") return new NotPermitted({ subject })
  const detail = cause instanceof Error ? cause.message : String(cause)
  return busDown(bus, subject, `${detail}; the request may have been sent`)
}

/** The bytes of a reply, unless it is marked as an error. */
export const replyBytes = (subject: string, reply: Msg): Result.Result<Uint8Array, Refused> => {
  const tag = reply.headers?.get(errorHeader)
  if (tag === undefined || tag === "") return Result.succeed(reply.data)
  const decoded = errorReply.decode(subject, reply.data)
  const { message, ...rest } = Result.isSuccess(decoded)
    ? decoded.success.error
    : { tag, message: "(unreadable error reply)", retryable: false, hint: "" }
  return Result.fail(new Refused({ subject, detail: message, ...rest }))
}

const openInbox = (
  nats: NatsConnection,
  subject: string,
  options: InboxOptions,
): Effect.Effect<Inbox, never, Scope.Scope> =>
  Effect.gen(function* () {
    const capacity = options.capacity ?? 1024
    const sliding = options.whenFull === "drop-oldest"
    const queue = yield* Queue.make<Incoming, Cause.Done>({
      capacity,
      strategy: sliding ? "sliding" : "dropping",
    })
    const dropped = (message: Msg) => options.onDrop?.(message)
    const callback = (error: NatsError | null, message: Msg) => {
      if (error !== null) return
      const { data, reply = "" } = message
      const incoming = { subject: message.subject, data, reply, arrivedMs: monotonicMs(), message }
      if (sliding && Queue.sizeUnsafe(queue) >= capacity) dropped(message)
      if (!Queue.offerUnsafe(queue, incoming)) dropped(message)
    }
    const subscription = yield* Effect.acquireRelease(
      Effect.sync(() =>
        nats.subscribe(subject, {
          callback,
          ...(options.queue === undefined ? {} : { queue: options.queue }),
        }),
      ),
      (s) => Effect.sync(() => s.unsubscribe()),
    )
    yield* Effect.promise(() => nats.flush().catch(() => undefined))
    const close = Effect.promise(() => subscription.drain().catch(() => undefined)).pipe(
      Effect.timeoutOption("1 second"),
      Effect.andThen(Queue.end(queue)),
      Effect.asVoid,
    )
    return { messages: Stream.fromQueue(queue), close }
  })
