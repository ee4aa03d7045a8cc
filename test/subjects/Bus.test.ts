import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Schema, Scope, Stream, SubscriptionRef } from "effect"
import { describe } from "vitest"
import { Bus, type BusState } from "../../subjects/Bus.ts"
import { codec } from "../../subjects/Codec.ts"
import { refusal } from "../../subjects/ErrorReply.ts"
import { listen, serve } from "../../subjects/Serve.ts"
import { bareServer, type LocalServer } from "../../deploy/LocalServer.ts"
import { pingTicks } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

const Number_ = codec(Schema.Struct({ n: Schema.Finite }))
const one = Number_.encode({ n: 1 })
const timeoutMs = 2000

/** Runs a test on a bus of its own server; the scope of the server is the test's. */
const onBus = <A, E>(test: (server: LocalServer) => Effect.Effect<A, E, Bus | Scope.Scope>) =>
  Effect.gen(function* () {
    const server = yield* bareServer
    return yield* Effect.provide(test(server), Bus.layer({ servers: server.url, firstConnectMs: 5000 }))
  }).pipe(Effect.scoped)

const echo = (subject: string) =>
  serve({ subject, input: Number_, output: Number_, concurrency: 8, handle: (m) => Effect.succeed(m) })

describe("request", () => {
  it.live("is answered in the form that it came in", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        yield* echo("echo")
        const cbor = yield* bus.request("echo", one, { timeoutMs })
        assert.deepStrictEqual(yield* Effect.fromResult(Number_.decode("echo", cbor)), { n: 1 })
        const json = yield* bus.request("echo", new TextEncoder().encode('{"n":2}'), { timeoutMs })
        assert.strictEqual(new TextDecoder().decode(json), '{"n":2}')
      }),
    ),
  )

  it.live("keeps nobody listens, late and refused apart", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        yield* serve({
          subject: "late",
          input: Number_,
          output: Number_,
          handle: (m) => Effect.delay(Effect.succeed(m), "300 millis"),
        })
        yield* serve({
          subject: "refuse",
          input: Number_,
          output: Number_,
          handle: () => Effect.fail(refusal("NoStrategy", "no device fits", "start a device")),
        })
        const nobody = yield* Effect.flip(bus.request("nobody", one, { timeoutMs }))
        assert.strictEqual(nobody._tag, "NobodyListens")
        const late = yield* Effect.flip(bus.request("late", one, { timeoutMs: 50 }))
        assert.strictEqual(late._tag, "Late")
        const refused = yield* Effect.flip(bus.request("refuse", one, { timeoutMs }))
        assert(refused._tag === "Refused")
        assert.strictEqual(refused.tag, "NoStrategy")
        assert.strictEqual(refused.hint, "start a device")
        assert.isFalse(refused.retryable)
      }),
    ),
  )

  it.live("above the payload limit fails before anything is sent", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const error = yield* Effect.flip(bus.request("echo", new Uint8Array(1_048_577), { timeoutMs }))
        assert.strictEqual(error._tag, "PayloadTooLarge")
        assert.strictEqual(error._tag === "PayloadTooLarge" && error.limitBytes, 1_048_576)
      }),
    ),
  )
})

describe("serving", () => {
  it.live("goes on after garbage, failures, defects and handlers that interrupt themselves", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const stats = yield* serve({
          subject: "rough",
          input: Number_,
          output: Number_,
          handle: (m) =>
            m.n === 1 ? Effect.die(new Error("bug")) : m.n === 2 ? Effect.interrupt : Effect.succeed(m),
        })
        const tagOf = (bytes: Uint8Array) =>
          bus.request("rough", bytes, { timeoutMs }).pipe(
            Effect.flip,
            Effect.map((e) => (e._tag === "Refused" ? e.tag : e._tag)),
          )
        for (const garbage of [
          new Uint8Array(),
          new Uint8Array([0xff, 0x00]),
          Buffer.from("{"),
          Buffer.from("hello"),
        ]) {
          assert.strictEqual(yield* tagOf(garbage), "BadRequest")
        }
        assert.strictEqual(yield* tagOf(Number_.encode({ n: 1 })), "Internal")
        assert.strictEqual(yield* tagOf(Number_.encode({ n: 2 })), "Internal")
        yield* bus.request("rough", Number_.encode({ n: 3 }), { timeoutMs })
        assert.deepInclude(stats, { requests: 7, errors: 6, bad: 4 })
      }),
    ),
  )

  it.live("refuses as Overloaded at once when the queue is full, and answers what it took", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const gate = yield* Deferred.make<void>()
        const stats = yield* serve({
          subject: "slow",
          input: Number_,
          output: Number_,
          capacity: 2,
          handle: (m) => Effect.as(Deferred.await(gate), m),
        })
        const requests = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 12 }),
            () =>
              bus.request("slow", one, { timeoutMs: 5000 }).pipe(
                Effect.as("answered"),
                Effect.catch((e) => Effect.succeed(e._tag === "Refused" ? e.tag : e._tag)),
              ),
            { concurrency: 12 },
          ),
        )
        yield* waitUntil("refusals", () => stats.dropped >= 8)
        yield* Deferred.succeed(gate, undefined)
        const outcomes = yield* Fiber.join(requests)
        assert.strictEqual(outcomes.filter((o) => o === "Overloaded").length, stats.dropped)
        assert.strictEqual(outcomes.filter((o) => o === "answered").length, 12 - stats.dropped)
      }),
    ),
  )

  it.live("finishes the requests it has when its scope closes, and takes no more", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const gate = yield* Deferred.make<void>()
        const scope = yield* Scope.make()
        let running = 0
        yield* serve({
          subject: "drain",
          input: Number_,
          output: Number_,
          handle: (m) =>
            Effect.suspend(() => {
              running++
              return Effect.as(Deferred.await(gate), m)
            }),
        }).pipe(Scope.provide(scope))
        const request = yield* Effect.forkChild(bus.request("drain", one, { timeoutMs: 5000 }))
        yield* waitUntil("handler to run", () => running === 1)
        const closing = yield* Effect.forkChild(Scope.close(scope, yield* Effect.exit(Effect.void)))
        yield* Effect.retry(
          bus.request("drain", one, { timeoutMs: 20 }).pipe(
            Effect.flip,
            Effect.filterOrFail((e) => e._tag === "NobodyListens"),
          ),
          { times: 100 },
        )
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(request)
        yield* Fiber.join(closing)
      }),
    ),
  )

  it.live(
    "refuses what it cannot finish in time when its scope closes, so that nobody is left without a reply",
    () =>
      onBus(() =>
        Effect.gen(function* () {
          const bus = yield* Bus
          const scope = yield* Scope.make()
          let running = 0
          const stats = yield* serve({
            subject: "stuck",
            input: Number_,
            output: Number_,
            drain: Duration.millis(50),
            handle: () =>
              Effect.andThen(
                Effect.sync(() => running++),
                Effect.never,
              ),
          }).pipe(Scope.provide(scope))
          const ask = Effect.flip(bus.request("stuck", one, { timeoutMs: 5000 }))
          const requests = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(ask))
          yield* waitUntil("handler to run", () => running === 1)
          // The other two wait in the inbox.
          yield* Effect.promise(() => bus.nats.flush())
          yield* Scope.close(scope, yield* Effect.exit(Effect.void))
          for (const request of requests) {
            const refused = yield* Fiber.join(request)
            assert.strictEqual(refused._tag === "Refused" && refused.tag, "Leaving")
          }
          assert.strictEqual(stats.errors, 3)
        }),
      ),
  )

  it.live("spreads a queue group over its members, each request to one", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        let handled = 0
        const handle = (m: { n: number }) => Effect.sync(() => (handled++, m))
        for (const _ of [1, 2, 3]) {
          yield* serve({ subject: "group", queue: "g", input: Number_, output: Number_, handle })
        }
        yield* Effect.forEach(Array.from({ length: 30 }), () => bus.request("group", one, { timeoutMs }))
        assert.strictEqual(handled, 30)
      }),
    ),
  )
})

describe("listening", () => {
  it.live("counts and drops what is not the subject's message", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const seen: Array<number> = []
        const stats = yield* listen({
          subject: "news.*",
          input: Number_,
          handle: (m) => Effect.sync(() => void seen.push(m.n)),
        })
        yield* bus.publish("news.a", new Uint8Array([0xff]))
        yield* bus.publish("news.a", Buffer.from('{"n":"x"}'))
        yield* bus.publish("news.b", one)
        yield* waitUntil("the good message", () => seen.length === 1)
        assert.strictEqual(stats.bad, 2)
      }),
    ),
  )

  it.live("with drop-oldest keeps the newest messages of a flood", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const gate = yield* Deferred.make<void>()
        const seen: Array<number> = []
        const stats = yield* listen({
          subject: "flood",
          input: Number_,
          capacity: 4,
          handle: (m) =>
            Effect.andThen(
              Deferred.await(gate),
              Effect.sync(() => void seen.push(m.n)),
            ),
        })
        for (let n = 0; n < 100; n++) yield* bus.publish("flood", Number_.encode({ n }))
        yield* Effect.promise(() => bus.nats.flush())
        yield* waitUntil("drops", () => stats.dropped > 80)
        yield* Deferred.succeed(gate, undefined)
        yield* waitUntil("the last message", () => seen.includes(99))
        assert.isAtMost(seen.length, 16)
      }),
    ),
  )
})

describe("connection", () => {
  it.live("is down while the server is, says since when, refuses to publish, and serves again after", () =>
    onBus((server) =>
      Effect.gen(function* () {
        const bus = yield* Bus
        yield* echo("echo")
        const states: Array<BusState["_tag"]> = []
        yield* SubscriptionRef.changes(bus.state).pipe(
          Stream.runForEach((s) => Effect.sync(() => void states.push(s._tag))),
          Effect.forkScoped({ startImmediately: true }),
        )
        yield* server.kill
        yield* waitUntil("down", () => !bus.isUp())
        const error = yield* Effect.flip(bus.publish("echo", one))
        assert.strictEqual(error._tag, "BusDown")
        const asked = yield* Effect.flip(bus.request("echo", one, { timeoutMs }))
        assert.strictEqual(asked._tag, "BusDown")
        assert.match(asked.message, /^echo: not connected to nats:\S+ for \d+ ms; nothing was sent$/)
        yield* server.restart
        yield* bus.awaitUp
        yield* bus.request("echo", one, { timeoutMs })
        yield* pingTicks(bus)
        yield* Effect.repeat(
          Effect.promise(() => bus.nats.flush()),
          { times: 3 },
        )
        assert.deepStrictEqual([...new Set(states)], ["Up", "Down"])
        assert.strictEqual(states.at(-1), "Up")
        assert.lengthOf(
          states.filter((s) => s === "Up"),
          2,
        )
      }),
    ),
  )
})
