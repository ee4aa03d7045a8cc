import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { RequestId } from "../../subjects/DeviceId.ts"
import { sharedDevices } from "../support/Devices.ts"

const inSwarm = sharedDevices(1)

describe("the planner", () => {
  it.live("answers all who ask for the same new condition at once, with one decision for all", () =>
    inSwarm(({ devices: [device] }) =>
      Effect.gen(function* () {
        assert(device !== undefined)
        // Nothing meets it, so that everybody has to wait for the thinking.
        const slo = { latencyMs: 0.1 }
        const ask = (i: number) =>
          device.planner.plan({ requestId: RequestId.make(`r-${i}`), slo, exclude: [] })
        const plans = yield* Effect.forEach([1, 2, 3, 4], ask, { concurrency: "unbounded" })
        assert.deepStrictEqual(
          plans.map((p) => p.feasible),
          [false, false, false, false],
        )
        for (const plan of plans) assert.strictEqual(plan.strategy.devices[0], device.id)
      }),
    ),
  )

  it.live("answers from the cache once a condition was thought about", () =>
    inSwarm(({ devices: [device] }) =>
      Effect.gen(function* () {
        assert(device !== undefined)
        const request = { requestId: RequestId.make("r"), slo: { latencyMs: 500 }, exclude: [] }
        const first = yield* device.planner.plan(request)
        assert.isTrue(first.feasible)
        assert.isAtMost(first.predicted.latencyMs, 500)
        const again = yield* device.planner.plan(request)
        assert.strictEqual(again.origin, "cache")
        assert.isDefined(again.foundBy)
      }),
    ),
  )
})
