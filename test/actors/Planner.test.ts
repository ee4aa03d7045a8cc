import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { RequestId } from "../../subjects/DeviceId.ts"
import { sharedDevices } from "../support/Devices.ts"

// They wait for a decision twice as long.
const inSwarm = sharedDevices(1, { device: { decisionBudgetMs: 50 } })

describe("the planner", () => {
  it.live("answers all who ask for the same new condition at once, with one decision for all", () =>
    inSwarm(({ devices: [device] }) =>
      Effect.gen(function* () {
        assert(device !== undefined)
        // Nothing meets any of these, so that everybody has to wait for the thinking.
        const askAll = (latencyMs: number) =>
          Effect.forEach(
            [1, 2, 3, 4],
            (i) =>
              device.planner.plan({ requestId: RequestId.make(`r-${i}`), slo: { latencyMs }, exclude: [] }),
            { concurrency: "unbounded" },
          )
        let plans = yield* askAll(0.1)
        // On a busy machine the thread may be late, and they are told what is known: then the next new condition.
        const isLate = () => plans.some((p) => p.origin === "cache")
        for (let n = 2; isLate() && n < 40; n++) plans = yield* askAll(0.1 / n)
        assert.deepStrictEqual(
          plans.map((p) => [p.feasible, p.origin]),
          [1, 2, 3, 4].map(() => [false, "search"]),
        )
        // Each decision makes a plan of its own: this is one.
        for (const plan of plans) assert.strictEqual(plan, plans[0])
        assert.strictEqual(plans[0]?.strategy.devices[0], device.id)
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
