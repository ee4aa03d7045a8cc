import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { admission } from "../../actors/Admission.ts"

/** Requests that end when told to, on a clock that moves when told to. */
const scene = (concurrency = 96) => {
  let nowMs = 0
  const admitted = admission(concurrency, () => nowMs)
  const running: Array<{
    readonly done: Deferred.Deferred<void, string>
    readonly fiber: Fiber.Fiber<void, string>
  }> = []
  const begin = Effect.gen(function* () {
    const done = yield* Deferred.make<void, string>()
    const fiber = yield* Effect.forkChild(admitted.run(Deferred.await(done)), { startImmediately: true })
    running.push({ done, fiber })
  })
  const end = Effect.fnUntraced(function* (afterMs: number, how: "answer" | "fail" = "answer") {
    nowMs += afterMs
    const next = running.shift()
    assert(next !== undefined)
    yield* how === "answer" ? Deferred.succeed(next.done, undefined) : Deferred.fail(next.done, "late")
    yield* Fiber.await(next.fiber)
  })
  return { admitted, begin, end, wait: (ms: number) => void (nowMs += ms) }
}

/** Keeps `level` requests in flight while `count` are answered, one each `ms`. */
const load = Effect.fnUntraced(function* (
  { admitted, begin, end }: ReturnType<typeof scene>,
  level: number,
  count: number,
  ms: number,
) {
  for (let i = 0; i < count; i++) {
    while (admitted.inFlight() < level) yield* begin
    yield* end(ms)
  }
})

describe("admission", () => {
  it.effect("predicts the wait from the rate of answers while busy", () =>
    Effect.gen(function* () {
      const s = scene()
      yield* load(s, 16, 40, 10)
      assert.strictEqual(s.admitted.inFlight(), 15)
      assert.closeTo(s.admitted.predictedWaitMs(s.admitted.inFlight()), 150, 1)
    }),
  )

  it.effect("does not take rare requests for a slow device", () =>
    Effect.gen(function* () {
      const s = scene()
      yield* load(s, 1, 40, 60_000)
      for (let i = 0; i < 20; i++) yield* s.begin
      assert.strictEqual(s.admitted.predictedWaitMs(s.admitted.inFlight()), 0)
    }),
  )

  it.effect("keeps knowing the rate when requests time out, and after a pause", () =>
    Effect.gen(function* () {
      const s = scene()
      yield* load(s, 16, 40, 10)
      while (s.admitted.inFlight() > 0) yield* s.end(0, "fail")
      s.wait(600_000)
      for (let i = 0; i < 20; i++) yield* s.begin
      assert.closeTo(s.admitted.predictedWaitMs(s.admitted.inFlight()), 200, 1)
    }),
  )

  it("is more patient with a try when tries usually take longer than predicted", () => {
    const { admitted } = scene()
    const before = admitted.patienceMs(50)
    for (let i = 0; i < 20; i++) admitted.observe(50, 150)
    assert.isAbove(admitted.patienceMs(50), before + 2 * 100 - 1)
  })
})
