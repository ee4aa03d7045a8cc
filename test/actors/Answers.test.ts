import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { seededRandom } from "../../supernet/Random.ts"
import { grids } from "../../supernet/Partition.ts"
import { sampleStrategy } from "../../supernet/Strategy.ts"
import { ask, expectedLogits, tensorOf, withDevices } from "../support/Devices.ts"
import { largestDifference, tinySpec } from "../supernet/Tiny.ts"

describe("a swarm", () => {
  it.live("answers with the logits of the strategy that it names, for any grids and placements", () =>
    withDevices(4, ({ devices, clients: [client] }) =>
      Effect.gen(function* () {
        assert.isDefined(client)
        if (client === undefined) return
        const random = seededRandom(7)
        const ids = devices.map((d) => d.id)
        const seen = new Set<string>()
        for (let i = 0; i < 40; i++) {
          const strategy = sampleStrategy(tinySpec, ids, random, { bits: [32] })
          for (const b of strategy.blocks) seen.add(b.grid)
          const tensor = tensorOf(strategy.submodel.resolution, i)
          const reply = yield* ask(client, { tensor, strategy, include: ["logits", "strategy"] })
          assert.deepStrictEqual(reply.strategy, strategy)
          assert.strictEqual(reply.device, "pi-1")
          const expected = yield* expectedLogits(strategy, i)
          const difference = largestDifference(Float32Array.from(reply.logits ?? []), expected)
          assert.isBelow(difference, 1e-4, JSON.stringify(strategy))
        }
        assert.deepStrictEqual([...seen].sort(), [...grids].sort())
      }),
    ),
  )
})
