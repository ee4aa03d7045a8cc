import { once } from "node:events"
import { createServer } from "node:net"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { describe } from "vitest"
import { bareServer, plainServer } from "../../deploy/LocalServer.ts"
import { Bus, type BusOptions } from "../../subjects/Bus.ts"

/** Accepts connections and never says a word; `dialled` resolves with the first. */
const silentServer = Effect.gen(function* () {
  const dialled = yield* Deferred.make<void>()
  const server = createServer(() => Deferred.doneUnsafe(dialled, Effect.void))
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () => Effect.sync(() => server.close()),
  )
  const address = server.address()
  const port = typeof address === "object" ? address?.port : undefined
  return { servers: `nats://127.0.0.1:${port}`, dialled: Deferred.await(dialled) }
})

describe("a program that waits for its first connection", () => {
  it.live("can be stopped while it waits", () =>
    Effect.gen(function* () {
      const { servers, dialled } = yield* silentServer
      const waiting = yield* Effect.forkChild(Effect.provide(Effect.never, Bus.layer({ servers })))
      yield* dialled
      const stopped = yield* Effect.timeoutOption(Fiber.interrupt(waiting), "1 second")
      assert.strictEqual(stopped._tag, "Some")
    }).pipe(Effect.scoped),
  )

  it.live("is told why there is none: nobody there, or no TLS there", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      const fails = (servers: string) =>
        Effect.flip(Effect.scoped(Layer.build(Bus.layer({ servers, firstConnectMs: 300 }))))
      const tls = Bus.layer({ servers: server.url, tls: {} })
      const unprotected = yield* Effect.flip(Effect.scoped(Layer.build(tls)))
      assert.strictEqual(unprotected.reason, "Tls")
      assert.include(unprotected.message, "does not offer it")
      yield* server.kill
      assert.strictEqual((yield* fails(server.url)).reason, "Unreachable")
    }).pipe(Effect.scoped),
  )

  it.live("is told that it is not authorised, which no waiting mends", () =>
    Effect.gen(function* () {
      const server = yield* plainServer("--user", "someone", "--pass", "known")
      // Only a server that is not there is tried again until then.
      const fails = (login: Pick<BusOptions, "user" | "password">) =>
        Effect.flip(
          Effect.scoped(Layer.build(Bus.layer({ servers: server.url, firstConnectMs: 300, ...login }))),
        )
      const wrong = yield* fails({ user: "someone", password: "guessed" })
      assert.strictEqual(wrong.reason, "NotAuthorized")
      assert.strictEqual((yield* fails({})).reason, "NotAuthorized")
      yield* server.kill
      const nobody = yield* fails({ user: "someone", password: "known" })
      assert.strictEqual(nobody.reason, "Unreachable")
    }).pipe(Effect.scoped),
  )
})
