import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { swarmMessage } from "../../subjects/Codecs.ts"
import { localStrategy } from "../../supernet/Strategy.ts"
import { uniformSubmodel } from "../../supernet/Submodel.ts"
import { sharedDevices } from "../support/Devices.ts"
import { tinySpec } from "../supernet/Tiny.ts"
import { waitUntil } from "../support/Wait.ts"

const inSwarm = sharedDevices(1)

describe("what a device says of itself", () => {
  it.live("stays small, however long the text of its last error is", () =>
    inSwarm(({ devices: [device] }) =>
      Effect.sync(() => {
        assert(device !== undefined)
        const { self } = device
        self.noteError("ProfileRefused", "x".repeat(2_000_000))
        const status = self.status([], 0, 0, {})
        const beat = swarmMessage.encode({ _tag: "Beat", seq: 1, identity: self.identity, status })
        assert.isBelow(beat.length, 4000)
      }),
    ),
  )

  it.live("counts the strategies that are prepared now, not those that ever were", () =>
    inSwarm(({ devices: [device] }) =>
      Effect.gen(function* () {
        assert(device !== undefined)
        const { engine, self } = device
        const prepared = yield* Effect.forEach([3, 5, 7], (kernel) =>
          engine.prepare(localStrategy(tinySpec, uniformSubmodel(tinySpec, 64, 2, kernel, 3), device.id)),
        )
        yield* Effect.forEach(prepared, (p) => engine.release(p.strategyId))
        const { strategies } = yield* engine.stats
        yield* waitUntil("its count", () => self.counters.strategies === strategies)
        yield* engine.prepare(prepared[0]!.strategy)
        yield* waitUntil("one more", () => self.counters.strategies === strategies + 1)
      }),
    ),
  )
})
