import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { FairQueue, gate } from "../../actors/FairQueue.ts"

describe("a fair queue", () => {
  it("serves clients in turn, each in its own order", () => {
    const queue = new FairQueue<string>(10)
    for (const item of ["a1", "a2", "a3"]) queue.push("a", item)
    for (const item of ["b1", "b2"]) queue.push("b", item)
    queue.push("c", "c1")
    const served = Array.from({ length: 7 }, () => queue.shift())
    assert.deepStrictEqual(served, ["a1", "b1", "c1", "a2", "b2", "a3", undefined])
    assert.strictEqual(queue.size, 0)
  })

  it("when full turns away the newest of whoever has most, be it the newcomer", () => {
    const queue = new FairQueue<string>(3)
    for (const item of ["a1", "a2", "a3"]) assert.isUndefined(queue.push("a", item))
    assert.strictEqual(queue.push("a", "a4"), "a4")
    assert.strictEqual(queue.push("b", "b1"), "a3")
    assert.strictEqual(queue.push("c", "c1"), "a2")
    assert.strictEqual(queue.push("b", "b2"), "b2")
    assert.deepStrictEqual([queue.shift(), queue.shift(), queue.shift()], ["a1", "b1", "c1"])
  })

  it("tells how many go before a new one", () => {
    const queue = new FairQueue<number>(100)
    for (let i = 0; i < 20; i++) queue.push("greedy", i)
    assert.strictEqual(queue.ahead("modest"), 1)
    queue.push("modest", 0)
    assert.strictEqual(queue.ahead("modest"), 3)
    assert.strictEqual(queue.ahead("greedy"), 21)
  })
})

describe("a gate", () => {
  it.effect("lets so many run at once, and lets go who gives up waiting", () =>
    Effect.gen(function* () {
      const turns = gate(() => 1, 10)
      const order: Array<string> = []
      const ends = yield* Effect.forEach(["a1", "a2", "a3", "b1"], () => Deferred.make<void>())
      const start = (i: number, name: string) =>
        Effect.forkChild(
          turns.run(
            name.slice(0, 1),
            "full",
            Effect.andThen(
              Effect.sync(() => void order.push(name)),
              Effect.suspend(() => {
                const end = ends[i]
                return end === undefined ? Effect.void : Deferred.await(end)
              }),
            ),
          ),
          { startImmediately: true },
        )
      const fibers = yield* Effect.forEach(["a1", "a2", "a3", "b1"], (name, i) => start(i, name))
      assert.deepStrictEqual(order, ["a1"])
      assert.strictEqual(turns.ahead("c"), 3)
      if (fibers[1] !== undefined) yield* Fiber.interrupt(fibers[1])
      for (const [i, end] of ends.entries()) {
        yield* Deferred.succeed(end, undefined)
        if (i !== 1 && fibers[i] !== undefined && i === 0) yield* Fiber.join(fibers[i])
      }
      for (const i of [2, 3]) if (fibers[i] !== undefined) yield* Fiber.join(fibers[i])
      assert.deepStrictEqual(order, ["a1", "a3", "b1"])
      assert.strictEqual(turns.ahead("c"), 0)
    }),
  )

  it.effect("refuses at once when there is no room to wait", () =>
    Effect.gen(function* () {
      const turns = gate(() => 0, 1)
      yield* Effect.forkChild(turns.run("a", "full", Effect.void), { startImmediately: true })
      assert.strictEqual(yield* Effect.flip(turns.run("a", "full", Effect.void)), "full")
    }),
  )
})
