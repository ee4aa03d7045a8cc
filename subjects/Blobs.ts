/**
 * Large files (of policies) in JetStream's object store, named by what refers to them and checked against the
 * digest that the manifest names: a blob that was replaced or damaged on its way is refused, never run.
 */
import { createHash } from "node:crypto"
import { Effect, Schema } from "effect"
import { consumerOpts, NatsError, type ObjectStore } from "nats"
import { domainOf } from "./Buckets.ts"
import { Bus, type BusShape } from "./Bus.ts"
import { monotonicMs } from "./Connection.ts"
import type { BlobRef } from "./Manifests.ts"
import { objectStore } from "./Subjects.ts"

export class BlobUnavailable extends Schema.TaggedError<BlobUnavailable>()("BlobUnavailable", {
  object: Schema.String,
  reason: Schema.Literals(["Missing", "Unreachable", "WrongDigest"]),
  detail: Schema.String,
}) {
  get retryable() {
    return this.reason === "Unreachable"
  }
  override get message() {
    return `object ${this.object}: ${this.detail}`
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** So long nothing may come before a read is given up: a large bundle over a slow link takes longer as a whole. */
const silenceLimitMs = 300_000
/** Of a write as a whole: of its pieces the library tells nothing. */
const writeLimit = "5 minutes"

const stores = new WeakMap<BusShape, Promise<ObjectStore>>()

/** Opening asks the hub twice, which is worth remembering where links are slow. */
const open = (bus: BusShape): Promise<ObjectStore> => {
  const known = stores.get(bus)
  if (known !== undefined) return known
  const store = bus.nats.jetstream(domainOf(bus)).views.os(objectStore)
  stores.set(bus, store)
  store.catch(() => stores.delete(bus))
  return store
}

/**
 * The library's own `get` asks the hub for the stream's name, which we know, and hashes in JavaScript, what `getBlob` does
 * natively: this takes two questions instead of three. Null where there is no such object. An object that is replaced
 * meanwhile never comes to an end: whoever gives up says so with the signal, and the subscription goes. `onPiece` is called
 * whenever some of it has come.
 */
const read = async (
  bus: BusShape,
  object: string,
  signal: AbortSignal,
  onPiece: () => void,
): Promise<Uint8Array | null> => {
  const info = await (await open(bus)).info(object)
  if (info === null || info.deleted) return null
  const bytes = new Uint8Array(info.size)
  if (info.size === 0) return bytes
  const options = consumerOpts()
  options.orderedConsumer()
  options.bindStream(`OBJ_${objectStore}`)
  const pieces = await bus.nats
    .jetstream(domainOf(bus))
    .subscribe(`$O.${objectStore}.C.${info.nuid}`, options)
  const stop = () => pieces.unsubscribe()
  signal.addEventListener("abort", stop, { once: true })
  if (signal.aborted) stop()
  try {
    let at = 0
    for await (const { data, info: delivery } of pieces) {
      onPiece()
      bytes.set(data.subarray(0, info.size - at), at)
      at += data.length
      if (delivery.pending === 0) break
    }
  } finally {
    signal.removeEventListener("abort", stop)
    stop()
  }
  return bytes
}

const unreachable = (object: string) => (cause: unknown) => {
  const detail =
    cause instanceof NatsError && cause.code === "503" ? "the hub cannot be reached" : String(cause)
  return new BlobUnavailable({ object, reason: "Unreachable", detail })
}

/** Stores bytes under a name, replacing what was there; gives the reference for a manifest. Needs the operator's rights. */
export const putBlob = (object: string, bytes: Uint8Array): Effect.Effect<BlobRef, BlobUnavailable, Bus> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    yield* Effect.tryPromise({
      try: () => open(bus).then((store) => store.putBlob({ name: object }, bytes)),
      catch: unreachable(object),
    }).pipe(
      Effect.timeoutOrElse({
        duration: writeLimit,
        orElse: () => Effect.fail(unreachable(object)(`not stored within ${writeLimit}`)),
      }),
    )
    return { object, bytes: bytes.length, sha256: sha256(bytes) }
  })

/** Resolves when so long nothing has been heard. */
const silence = (heardMs: () => number, limitMs: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const leftMs = heardMs() + limitMs - monotonicMs()
    return leftMs <= 0 ? Effect.void : Effect.andThen(Effect.sleep(leftMs), silence(heardMs, limitMs))
  })

/** The bytes of an object, null where there is none; fails when nothing comes any more. */
const readUnlessSilent = (bus: BusShape, object: string, limitMs: number) =>
  Effect.suspend(() => {
    let heardMs = monotonicMs()
    const reading = Effect.tryPromise({
      try: (signal) => read(bus, object, signal, () => void (heardMs = monotonicMs())),
      catch: unreachable(object),
    })
    const gaveUp = Effect.flatMap(
      silence(() => heardMs, limitMs),
      () => Effect.fail(unreachable(object)(`nothing came for ${Math.round(limitMs / 1000)} s`)),
    )
    return Effect.raceFirst(reading, gaveUp)
  })

/** The bytes that a manifest refers to, or why not. Silence of the hub for `limitMs` ends it. */
export const getBlob = (
  ref: BlobRef,
  limitMs = silenceLimitMs,
): Effect.Effect<Uint8Array, BlobUnavailable, Bus> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const bytes = yield* readUnlessSilent(bus, ref.object, limitMs)
    const fail = (reason: "Missing" | "WrongDigest", detail: string) =>
      Effect.fail(new BlobUnavailable({ object: ref.object, reason, detail }))
    if (bytes === null) return yield* fail("Missing", "not in the object store")
    const digest = sha256(bytes)
    if (digest === ref.sha256) return bytes
    return yield* fail(
      "WrongDigest",
      `${bytes.length} bytes with sha256 ${digest}; the manifest says ${ref.sha256}`,
    )
  })
