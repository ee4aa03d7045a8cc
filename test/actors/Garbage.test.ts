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
    expect(await simulated(300, 100e3, () => true)).toEqual([119, 239])
  })

  it("does not gather without end while something always is", async () => {
    expect(await simulated(60, 10e6, () => true)).toEqual([19, 39, 59])
    expect(await simulated(120, 1e6, () => true)).toEqual([40, 80, 120])
  })

  it("is collected every two minutes where it gathers slowly", async () => {
    expect(await simulated(300, 20e3, () => false)).toEqual([119, 239])
  })

  it("stays where nothing is gained", async () => {
    expect(await simulated(60, 0, () => false)).toEqual([])
  })
})
