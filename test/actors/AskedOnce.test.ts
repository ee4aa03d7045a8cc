import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { askedOnce } from "../../actors/AskedOnce.ts"
import { type Refusal, refusal } from "../../subjects/ErrorReply.ts"
import type { InferReply, InferRequest } from "../../subjects/InferMessages.ts"
import type { Arrival } from "../../subjects/Serve.ts"

const request = { key: "r-1", slo: { latencyMs: 100 }, topK: 1, include: [] } as unknown as InferRequest
const arrival = { client: "_INBOX.a" } as unknown as Arrival

/** Answers that the test gives, one for each time that the work is begun. */
const answering = () => {
  const begun: Array<Deferred.Deferred<InferReply, Refusal>> = []
  const infer = askedOnce(() => {
    const answer = Deferred.makeUnsafe<InferReply, Refusal>()
    begun.push(answer)
    return Deferred.await(answer)
  })
  const ask = Effect.forkChild(infer(request, arrival), { startImmediately: true })
  return { begun, ask }
}
const reply = { device: "pi-1" } as unknown as InferReply

describe("a request that is asked again while it is answered", () => {
  it.effect("is answered once, for both", () =>
    Effect.gen(function* () {
      const { begun, ask } = answering()
      const both = [yield* ask, yield* ask]
      assert.strictEqual(begun.length, 1)
      if (begun[0] !== undefined) yield* Deferred.succeed(begun[0], reply)
      assert.deepStrictEqual(yield* Effect.forEach(both, Fiber.join), [reply, reply])
      yield* ask
      assert.strictEqual(begun.length, 2)
    }),
  )

  it.effect("is refused for both where it is refused", () =>
    Effect.gen(function* () {
      const { begun, ask } = answering()
      const both = [yield* ask, yield* ask]
      const leaving = refusal("Leaving", "shutting down", "", true)
      if (begun[0] !== undefined) yield* Deferred.fail(begun[0], leaving)
      const refused = yield* Effect.forEach(both, (f) => Effect.flip(Fiber.join(f)))
      assert.deepStrictEqual(refused, [leaving, leaving])
    }),
  )

  it.effect("is answered anew, once for all who still wait, when the first is called off", () =>
    Effect.gen(function* () {
      const { begun, ask } = answering()
      const [first, ...others] = [yield* ask, yield* ask, yield* ask]
      yield* Fiber.interrupt(first)
      yield* Effect.yieldNow
      assert.strictEqual(begun.length, 2)
      if (begun[1] !== undefined) yield* Deferred.succeed(begun[1], reply)
      assert.deepStrictEqual(yield* Effect.forEach(others, Fiber.join), [reply, reply])
    }),
  )
})
