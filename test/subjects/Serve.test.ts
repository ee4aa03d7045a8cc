import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { bareServer } from "../../deploy/LocalServer.ts"
import { Bus } from "../../subjects/Bus.ts"
import { codec } from "../../subjects/Codec.ts"
import { serve, serveTogether } from "../../subjects/Serve.ts"
import { waitUntil } from "../support/Wait.ts"

const Number_ = codec(Schema.Struct({ n: Schema.Finite }))
const one = Number_.encode({ n: 1 })

/** Asks until nobody takes it any more. */
const nobodyListens = Effect.fnUntraced(function* (subject: string) {
  const bus = yield* Bus
  const ask = Effect.flip(bus.request(subject, one, { timeoutMs: 20 }))
  yield* Effect.retry(
    Effect.filterOrFail(ask, (e) => e._tag === "NobodyListens"),
    { times: 100 },
  )
})

const subjects = ["first", "second"]

describe("several subjects that are served together", () => {
  it.live("take no more, all of them, while requests of any are finished", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      yield* Effect.gen(function* () {
        const bus = yield* Bus
        const gate = yield* Deferred.make<void>()
        const scope = yield* Scope.make()
        let running = 0
        const handle = (m: { n: number }) =>
          Effect.suspend(() => {
            running++
            return Effect.as(Deferred.await(gate), m)
          })
        yield* serveTogether(
          subjects.map((subject) => serve({ subject, input: Number_, output: Number_, handle })),
        ).pipe(Scope.provide(scope))
        const asked = yield* Effect.forEach(subjects, (subject) =>
          Effect.forkChild(bus.request(subject, one, { timeoutMs: 5000 })),
        )
        yield* waitUntil("handlers to run", () => running === 2)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* Effect.forEach(subjects, nobodyListens)
        assert.isUndefined(closing.pollUnsafe(), "what was taken is still finished")
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.forEach(asked, Fiber.join)
        yield* Fiber.join(closing)
      }).pipe(Effect.provide(Bus.layer({ servers: server.url, firstConnectMs: 5000 })))
    }).pipe(Effect.scoped),
  )
})
