import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { LinkTable } from "../../actors/LinkTable.ts"
import { predictorLayer } from "../../actors/Predictor.ts"
import { Self } from "../../actors/Self.ts"
import { Bus } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const [here, there] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const good = { peer: there, delayMs: 5, bandwidthMbps: 20, source: "probe" }

describe("forecasts", () => {
  it.effect("are published again after a round that ended in a fault", () => {
    let [rounds, published] = [0, 0]
    const table = { all: () => [good] }
    const publish = () => {
      if (rounds++ === 0) throw new Error("it does not encode")
      return Effect.sync(() => void published++)
    }
    const bus = { publish }
    const fakes = Layer.mergeAll(
      Layer.succeed(Bus, bus as unknown as Bus["Service"]),
      Layer.succeed(Self, { device: here } as unknown as Self["Service"]),
      Layer.succeed(LinkTable, table as unknown as LinkTable["Service"]),
    )
    const window = 1
    return Effect.gen(function* () {
      yield* Layer.build(Layer.provide(predictorLayer({ everyMs: 500, horizonsMs: [500], window }), fakes))
      yield* TestClock.adjust("2 seconds")
      assert.isAtLeast(rounds, 4)
      assert.strictEqual(published, rounds - 1)
    })
  })
})
