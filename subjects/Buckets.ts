/**
 * Key-value buckets of JetStream with typed values. They live at the hub; devices reach them through its domain, from
 * their leaf. A watcher outlives every cut: after it, it delivers the newest value of each key by itself.
 */
import { Effect, Option, Result, Schedule, Schema, Stream } from "effect"
import { type KV, type KvEntry, NatsError } from "nats"
import { Bus, type BusShape } from "./Bus.ts"
import type { BadMessage, Codec } from "./Codec.ts"
import { type Bucket, buckets } from "./Subjects.ts"

/** The hub (or the way to it) is down, or the bucket does not exist, or these credentials may not use it. */
export class BucketUnavailable extends Schema.TaggedError<BucketUnavailable>()("BucketUnavailable", {
  bucket: Schema.String,
  operation: Schema.String,
  detail: Schema.String,
}) {
  readonly retryable = true
  readonly hint = "buckets need the hub; what was last watched stays usable"
  override get message() {
    return `bucket ${this.bucket}: ${this.operation}: ${this.detail}`
  }
}

export interface Entry<A> {
  readonly key: string
  readonly value: A
  /** Grows with every write to the bucket. */
  readonly revision: number
  /** When it was written, by the hub's clock. */
  readonly writtenAt: Date
}

export type Change<A> =
  | ({ readonly _tag: "Put" } & Entry<A>)
  | { readonly _tag: "Deleted"; readonly key: string; readonly revision: number }
  /** A value that this version does not understand: skipped, not fatal. */
  | {
      readonly _tag: "Unreadable"
      readonly key: string
      readonly revision: number
      readonly error: BadMessage
    }

export interface TypedBucket<A> {
  readonly get: (key: string) => Effect.Effect<Option.Option<Entry<A>>, BucketUnavailable | BadMessage>
  /** Gives the new revision. */
  readonly put: (key: string, value: A) => Effect.Effect<number, BucketUnavailable>
  readonly remove: (key: string) => Effect.Effect<void, BucketUnavailable>
  readonly keys: Effect.Effect<ReadonlyArray<string>, BucketUnavailable>
  /**
   * All present values, then every change; values that were missed while the hub was away come within two seconds of its
   * return, or within ten where it was away for so short a time that the leaf has not noticed. Waits for a hub that is not there
   * yet. Ends only with its scope.
   */
  readonly changes: Stream.Stream<Change<A>>
}

/** Keys may hold letters, digits and `-_./=`; anything else would be read as a pattern. */
const keyPattern = /^[-/_=.a-zA-Z0-9]+$/
const timeoutMs = 3000

const textOf = (cause: unknown) =>
  cause instanceof NatsError
    ? `${cause.code}${cause.message === cause.code ? "" : ` ${cause.message}`}`
    : String(cause)

const views = (bus: BusShape) => bus.nats.jetstream(domainOf(bus)).views

export const domainOf = (bus: BusShape) => {
  const { domain } = bus.options
  return domain === undefined ? { timeout: timeoutMs } : { domain, timeout: timeoutMs }
}

/** After so many days a strategy's devices and links are others. */
export const strategyDays = 7

/**
 * Creates the buckets that are missing. For the hub's operator; devices may not. History 1: a watcher that was away wants
 * the newest value only.
 */
export const createBuckets: Effect.Effect<void, BucketUnavailable, Bus> = Effect.gen(function* () {
  const bus = yield* Bus
  for (const bucket of Object.values(buckets)) {
    const ttl = bucket === buckets.strategies ? { ttl: strategyDays * 24 * 3600 * 1000 } : {}
    yield* attempt(bucket, "create", () => views(bus).kv(bucket, { history: 1, ...ttl }))
  }
})

const attempt = <A>(
  bucket: string,
  operation: string,
  run: () => Promise<A>,
): Effect.Effect<A, BucketUnavailable> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new BucketUnavailable({ bucket, operation, detail: textOf(cause) }),
  }).pipe(
    Effect.timeoutOrElse({
      duration: 2 * timeoutMs,
      orElse: () =>
        Effect.fail(new BucketUnavailable({ bucket, operation, detail: "no answer from the hub" })),
    }),
  )

/** A bucket that exists. Opening asks nobody: the first use binds it, at the price of one question to JetStream, and tells
 * whether it is there. */
export const openBucket = <A>(bucket: Bucket, codec: Codec<A>): Effect.Effect<TypedBucket<A>, never, Bus> =>
  Effect.map(Bus, (bus) => typedBucket(bus, buckets[bucket], codec))

const typedBucket = <A>(bus: BusShape, bucket: string, codec: Codec<A>): TypedBucket<A> => {
  let bound: Promise<KV> | undefined
  const bind = (): Promise<KV> => {
    bound ??= views(bus).kv(bucket, { bindOnly: true })
    bound.catch(() => (bound = undefined))
    return bound
  }
  const use = <B>(operation: string, run: (kv: KV) => Promise<B>) =>
    attempt(bucket, operation, () => bind().then(run))
  const checked = <B, E>(key: string, then: Effect.Effect<B, E>): Effect.Effect<B, E | BucketUnavailable> =>
    keyPattern.test(key)
      ? then
      : Effect.fail(
          new BucketUnavailable({ bucket, operation: "use", detail: `malformed key ${JSON.stringify(key)}` }),
        )
  const entryOf = ({ key, value, revision, created: writtenAt }: KvEntry) =>
    Result.map(codec.decode(`${bucket}.${key}`, value), (decoded) => ({
      key,
      value: decoded,
      revision,
      writtenAt,
    }))
  const changeOf = (e: KvEntry): Change<A> => {
    const { key, revision } = e
    if (e.operation !== "PUT") return { _tag: "Deleted", key, revision }
    const entry = entryOf(e)
    return Result.isSuccess(entry)
      ? { _tag: "Put", ...entry.success }
      : { _tag: "Unreadable", key, revision, error: entry.failure }
  }
  return {
    get: (key) =>
      checked(
        key,
        use("get", (kv) => kv.get(key)).pipe(
          Effect.flatMap((e) =>
            e === null || e.operation !== "PUT"
              ? Effect.succeedNone
              : Effect.map(Effect.fromResult(entryOf(e)), Option.some),
          ),
        ),
      ),
    put: (key, value) =>
      checked(
        key,
        use("put", (kv) => kv.put(key, codec.encode(value))),
      ),
    remove: (key) =>
      checked(
        key,
        use("remove", (kv) => kv.delete(key)),
      ),
    keys: use("keys", async (kv) => {
      const keys: Array<string> = []
      for await (const key of await kv.keys()) keys.push(key)
      return keys
    }),
    changes: Stream.suspend(() =>
      hubReturns(bus).pipe(
        Stream.switchMap(() => watch(use, bucket)),
        Stream.filter(fresh()),
        Stream.map(changeOf),
      ),
    ),
  }
}

type Use = <B>(operation: string, run: (kv: KV) => Promise<B>) => Effect.Effect<B, BucketUnavailable>

/** All present values, then changes; begins again where the hub ends it, and never fails. */
const watch = (use: Use, bucket: string): Stream.Stream<KvEntry> =>
  Stream.unwrap(
    Effect.acquireRelease(
      use("watch", (kv) => kv.watch()),
      (iterator) => Effect.sync(() => iterator.stop()),
    ).pipe(Effect.map((iterator) => Stream.fromAsyncIterable(iterator, textOf))),
  ).pipe(
    Stream.concat(Stream.fail("the subscription was closed")),
    // The bucket may be created after its watchers have started; until then there is nothing to see.
    Stream.tapError((cause) => Effect.logDebug(`bucket ${bucket}: watch ended`, cause)),
    Stream.retry(Schedule.spaced("1 second")),
    Stream.orDie,
  )

/** Keys whose newest entry is remembered: all of any bucket of a swarm, and what strategies leave behind within some weeks. */
const mostSeen = 4096

/**
 * Lets each key's newest entry pass once: a watch that starts anew repeats what was seen. By revision and time: where the hub
 * lost its data, revisions begin again at 1. Of keys that expire a watcher hears nothing, so the oldest are forgotten.
 */
export const fresh = (most = mostSeen) => {
  const seen = new Map<string, string>()
  return ({ key, revision, created }: Pick<KvEntry, "key" | "revision" | "created">): boolean => {
    const mark = `${revision} ${created.getTime()}`
    const isNew = seen.get(key) !== mark
    seen.delete(key)
    seen.set(key, mark)
    if (seen.size > most) seen.delete(seen.keys().next().value ?? "")
    return isNew
  }
}

/**
 * Emits when the hub's JetStream is reached for the first time, and after every loss. The library's own watcher also
 * recovers, but only after two missed heartbeats (10 s); a small question each second makes it one.
 */
const hubReturns = (bus: BusShape): Stream.Stream<void> => {
  let before = false
  return Stream.tick("1 second").pipe(
    Stream.mapEffect(() => Effect.promise(() => hubReached(bus))),
    Stream.filter((now) => {
      const returned = now && !before
      before = now
      return returned
    }),
    Stream.map(() => undefined),
  )
}

/** What became of a question to the hub: answered, not yet, or the bus says that there is nobody to answer. */
export type HubAnswer = "answered" | "late" | "nobody"

/** Late answers in a row, a second each, that make the hub count as away: just before a leaf gives up a silent link itself. */
const silentQuestions = 8

/**
 * Whether the hub counts as reached after each answer. One that is late tells of a busy link: what is watched comes through it
 * too, only later, and would otherwise all be fetched again through that same link. A hub that is gone says nothing, but the leaf
 * does, at once where the link is closed and after nine seconds where it is silent. What was missed in a shorter silence, by a
 * hub that started again in it, the library's own watcher finds.
 */
export const hubVerdict = (): ((answer: HubAnswer) => boolean) => {
  let [isReached, late] = [false, 0]
  return (answer) => {
    late = answer === "late" ? late + 1 : 0
    if (answer !== "late") isReached = answer === "answered"
    else if (late >= silentQuestions) isReached = false
    return isReached
  }
}

interface Asked {
  readonly atMs: number
  readonly answer: Promise<boolean>
  readonly verdict: ReturnType<typeof hubVerdict>
}

const askedHub = new WeakMap<BusShape, Asked>()
/** All watchers of a connection share one question a second: its answer is some 600 bytes, which a slow link feels. */
const askEveryMs = 900

const hubReached = (bus: BusShape): Promise<boolean> => {
  const known = askedHub.get(bus)
  const nowMs = performance.now()
  if (known !== undefined && nowMs - known.atMs < askEveryMs) return known.answer
  const { domain } = bus.options
  const api = domain === undefined ? "$JS.API.INFO" : `$JS.${domain}.API.INFO`
  const verdict = known?.verdict ?? hubVerdict()
  const answer = Effect.runPromise(
    bus.request(api, new Uint8Array(), { timeoutMs: 1000 }).pipe(
      Effect.match({
        onSuccess: (): HubAnswer => "answered",
        onFailure: (e): HubAnswer => (e._tag === "Late" ? "late" : "nobody"),
      }),
      // Not of errors alone: the promise must not fail, for it would end all watches for ever.
      Effect.catchCause(() => Effect.succeed<HubAnswer>("nobody")),
      Effect.map(verdict),
    ),
  )
  askedHub.set(bus, { atMs: nowMs, answer, verdict })
  return answer
}
