import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect, it } from "vitest"
import { collectWhenIdle } from "../../actors/Garbage.ts"

/** A heap that grows by so many bytes a second, and is empty after each collection. */
const simulated = (seconds: number, bytesPerSecond: number, isBusy: (second: number) => boolean) =>
  Effect.gen(function* () {
    let [second, collectedAt] = [0, 0]
    const collections: Array<number> = []
    const heap = {
      bytes: () => (second - collectedAt) * bytesPerSecond,
      collect: () => {
        collections.push(second)
        collectedAt = second
      },
    }
    const fiber = yield* Effect.forkChild(collectWhenIdle(() => isBusy(second), heap))
    for (second = 1; second <= seconds; second++) yield* TestClock.adjust(1000)
    yield* Fiber.interrupt(fiber)
    return collections
  }).pipe(Effect.provide(TestClock.layer()), Effect.scoped, Effect.runPromise)

describe("garbage of a device", () => {
  it("is collected when enough has gathered, with a rest in between", async () => {
    expect(await simulated(20, 10e6, () => false)).toEqual([4, 9, 14, 19])
    expect(await simulated(20, 2e6, () => false)).toEqual([8, 16])
  })

  it("waits while anything is under way, but not for ever", async () => {
    expect(await simulated(20, 10e6, (second) => second < 13)).toEqual([13, 18])
    expect(await simulated(300, 10e6, () => true)).toEqual([119, 239])
  })

  it("is collected every two minutes where it gathers slowly", async () => {
    expect(await simulated(300, 20e3, () => false)).toEqual([119, 239])
  })

  it("stays where nothing is gained", async () => {
    expect(await simulated(60, 0, () => false)).toEqual([])
  })
})
