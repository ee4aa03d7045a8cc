import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { LinkTable } from "../../actors/LinkTable.ts"
import { defaultPredictorOptions, predictorLayer } from "../../actors/Predictor.ts"
import { Self } from "../../actors/Self.ts"
import { Bus } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const [here, there] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const good = { peer: there, delayMs: 5, bandwidthMbps: 20, source: "probe" }

/** Of a device that was asked for nothing yet. */
const counters = () => ({ requests: 0, answered: 0, refused: 0 })

const fakes = (publish: () => Effect.Effect<void>, counts: ReturnType<typeof counters>) =>
  Layer.mergeAll(
    Layer.succeed(Bus, { publish } as unknown as Bus["Service"]),
    Layer.succeed(Self, { device: here, counters: counts } as unknown as Self["Service"]),
    Layer.succeed(LinkTable, { all: () => [good] } as unknown as LinkTable["Service"]),
  )

describe("forecasts", () => {
  it.effect("are published again after a round that ended in a fault", () => {
    let [rounds, published] = [0, 0]
    const publish = () => {
      if (rounds++ === 0) throw new Error("it does not encode")
      return Effect.sync(() => void published++)
    }
    const options = { ...defaultPredictorOptions, horizonsMs: [500], window: 1 }
    return Effect.gen(function* () {
      yield* Layer.build(Layer.provide(predictorLayer(options), fakes(publish, counters())))
      yield* TestClock.adjust("2 seconds")
      assert.isAtLeast(rounds, 4)
      assert.strictEqual(published, rounds - 1)
    })
  })

  it.effect(
    "are seldom while nobody asks for anything, and twice a second again as soon as somebody does",
    () => {
      let published = 0
      const counts = counters()
      const publish = () => Effect.sync(() => void published++)
      const options = { ...defaultPredictorOptions, horizonsMs: [500], idleAfterMs: 0 }
      const during = (time: "10 seconds" | "2 seconds") =>
        Effect.gen(function* () {
          const before = published
          yield* TestClock.adjust(time)
          return published - before
        })
      return Effect.gen(function* () {
        yield* Layer.build(Layer.provide(predictorLayer(options), fakes(publish, counts)))
        // A device that has just started counts as asked.
        yield* during("10 seconds")
        assert.strictEqual(yield* during("10 seconds"), 2)
        counts.requests = 1
        assert.strictEqual(yield* during("2 seconds"), 4)
        counts.requests = 0
        counts.answered = 1
        assert.isAtMost(yield* during("10 seconds"), 3)
      })
    },
  )
})
