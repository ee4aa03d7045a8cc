/**
 * The connection to the own nats-server (a leaf on a device): made with patience, kept for ever, with its state as a
 * value that can be watched. nats.js drops what is published while it is disconnected, so publishing is gated on the state.
 */
import { Duration, Effect, Option, Schedule, Stream, SubscriptionRef } from "effect"
import type { Scope } from "effect"
import { connect, type ConnectionOptions, type NatsConnection, NatsError } from "nats"
import { CannotConnect } from "./BusErrors.ts"
import { clientInbox, clientUser } from "./Subjects.ts"

export interface BusOptions {
  /** `nats://host:port`, or several. */
  readonly servers: string | ReadonlyArray<string>
  readonly user?: string
  readonly password?: string
  /** Shown by the server's monitoring. */
  readonly name?: string
  /** JetStream domain of buckets and objects: `hub` on a device, absent for a client of the hub itself. */
  readonly domain?: string
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string }
  /** How long to try for the first connection. Default: for ever. Later losses are always retried for ever. */
  readonly firstConnectMs?: number
}

export type BusState =
  | { readonly _tag: "Up"; readonly server: string; readonly sinceMs: number; readonly reconnects: number }
  | {
      readonly _tag: "Down"
      readonly sinceMs: number
      readonly attempts: number
      readonly lastError: string
      readonly reconnects: number
    }
  | { readonly _tag: "Closed" }

export interface Connection {
  readonly nats: NatsConnection
  /** Times are of the monotonic clock (`monotonicMs`). */
  readonly state: SubscriptionRef.SubscriptionRef<BusState>
}

/** Monotonic time, ms. */
export const monotonicMs = (): number => performance.now()

/** The servers as text for people. */
export const serverNames = ({ servers }: Pick<BusOptions, "servers">): string => [servers].flat().join(", ")

/** A loss of a quarter of a second is worth a redial; the jitter keeps a swarm from redialling in step. */
const redial = { reconnectTimeWait: 250, reconnectJitter: 100 }

const natsOptions = (o: BusOptions): ConnectionOptions => ({
  servers: typeof o.servers === "string" ? o.servers : [...o.servers],
  ...(o.name === undefined ? {} : { name: o.name }),
  ...(o.user === undefined ? {} : { user: o.user }),
  ...(o.password === undefined ? {} : { pass: o.password }),
  // Of all inboxes, clients may listen to those with their own prefix only.
  ...(o.user === clientUser ? { inboxPrefix: clientInbox } : {}),
  ...(o.tls === undefined ? {} : { tls: o.tls }),
  maxReconnectAttempts: -1,
  ignoreAuthErrorAbort: true,
  ...redial,
  // A stalled own server is noticed in 6-9 s. Not less: a PONG queues behind tiles (docs: deploy/README.md, pings).
  pingInterval: 3000,
  maxPingOut: 2,
  timeout: 2000,
})

/** An option of the connection that the server does not have. */
const noSuchOption = "SERVER_OPT_NA"

const cannotConnect = (servers: string, cause: unknown): CannotConnect => {
  const code = cause instanceof NatsError ? cause.code : ""
  const text = cause instanceof Error ? cause.message : String(cause)
  // The library says no more than "tls". It is the one option that we ask a server for.
  const detail = code === noSuchOption ? "TLS is wanted, and the server does not offer it" : text
  const reason =
    code.includes("AUTH") || detail.includes("Authorization")
      ? "NotAuthorized"
      : code === "TLS" || code === noSuchOption || detail.includes("certificate")
        ? "Tls"
        : code === "INVALID_OPTION" || cause instanceof TypeError
          ? "Invalid"
          : "Unreachable"
  return new CannotConnect({ servers, reason, detail })
}

const dial = (options: BusOptions): Effect.Effect<NatsConnection, CannotConnect> => {
  const servers = serverNames(options)
  let lastFailure = "no answer yet"
  const once = Effect.tryPromise({
    // Whoever stops waiting in the middle of an attempt gets nothing, so a connection made after that is closed here.
    try: (signal) =>
      connect(natsOptions(options)).then(async (nats) => {
        if (signal.aborted) await nats.close()
        return nats
      }),
    catch: (cause) => cannotConnect(servers, cause),
  }).pipe(Effect.tapError((error) => Effect.sync(() => void (lastFailure = error.detail))))
  const patience = Schedule.spaced("250 millis").pipe(
    Schedule.setInputType<CannotConnect>(),
    Schedule.while(
      ({ input, elapsed }) =>
        input.reason === "Unreachable" && elapsed < (options.firstConnectMs ?? Infinity),
    ),
  )
  const waiting = Effect.suspend(() =>
    Effect.logInfo(`waiting for nats-server at ${servers}: ${lastFailure}`),
  ).pipe(Effect.delay("3 seconds"), Effect.repeat(Schedule.spaced("10 seconds")))
  return Effect.raceFirst(Effect.retry(once, patience), Effect.andThen(waiting, Effect.never))
}

/** Leaves politely: what was published is flushed, but a dead server does not hold the process. */
const leave = (nats: NatsConnection): Effect.Effect<void> =>
  nats.isClosed()
    ? Effect.void
    : Effect.promise(() => nats.drain().catch(() => undefined)).pipe(
        Effect.timeoutOption(Duration.seconds(2)),
        Effect.andThen(Effect.promise(() => nats.close())),
      )

/** The state after one status event of nats.js; the same where the event says nothing of it, such as every ping's. */
const next = (now: BusState, type: string, text: string): BusState => {
  const reconnects = now._tag === "Closed" ? 0 : now.reconnects
  const sinceMs = monotonicMs()
  if (type === "disconnect") {
    return { _tag: "Down", sinceMs, attempts: 0, lastError: "connection lost", reconnects }
  }
  if (type === "reconnect") return { _tag: "Up", server: text, sinceMs, reconnects: reconnects + 1 }
  if (now._tag !== "Down") return now
  if (type === "reconnecting") return { ...now, attempts: now.attempts + 1 }
  return type === "error" ? { ...now, lastError: text } : now
}

const watch = (nats: NatsConnection, state: SubscriptionRef.SubscriptionRef<BusState>) =>
  Stream.fromAsyncIterable(nats.status(), () => "closed" as const).pipe(
    Stream.runForEach((status) =>
      SubscriptionRef.updateSome(state, (now) => {
        const then = next(now, status.type, typeof status.data === "string" ? status.data : "")
        // Whoever watches the state is told of changes alone.
        return then === now ? Option.none() : Option.some(then)
      }),
    ),
    Effect.ignore,
    Effect.andThen(SubscriptionRef.set(state, { _tag: "Closed" })),
  )

export const openConnection = (options: BusOptions): Effect.Effect<Connection, CannotConnect, Scope.Scope> =>
  Effect.gen(function* () {
    // A device may wait for its leaf for ever; it must be possible to stop it meanwhile.
    const nats = yield* Effect.acquireRelease(dial(options), leave, { interruptible: true })
    const server = nats.getServer()
    const state = yield* SubscriptionRef.make<BusState>({
      _tag: "Up",
      server,
      sinceMs: monotonicMs(),
      reconnects: 0,
    })
    yield* Effect.forkScoped(watch(nats, state), { startImmediately: true })
    return { nats, state }
  })
