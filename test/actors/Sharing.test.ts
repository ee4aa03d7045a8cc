import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schedule } from "effect"
import { asServedBy } from "../../actors/SharedStrategies.ts"
import { dilated } from "../../devices/profiles/DeviceProfile.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { createBuckets, openBucket } from "../../subjects/Buckets.ts"
import { deviceRecord, strategyRecord } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { normalizeStrategy, type Strategy, strategyId } from "../../supernet/Strategy.ts"
import { activeBlocks, minSubmodel } from "../../supernet/Submodel.ts"
import { tinySpec } from "../supernet/Tiny.ts"
import { connectAs, on } from "../support/Buses.ts"
import { type TestDevice, type TestSwarm, withDevices } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

const operator = (swarm: TestSwarm) =>
  Effect.gen(function* () {
    const bus = yield* connectAs(swarm.servers.operatorBus)
    yield* on(bus)(createBuckets)
    return bus
  })

const typesSeenBy = (device: TestDevice) => device.planner.condition([]).devices.map((d) => d.type)
const late = DeviceId.make("pi-9")

/** The smallest submodel with its middle on the other device. */
const split = (local: string, remote: string): Strategy => {
  const submodel = minSubmodel(tinySpec)
  const blocks = activeBlocks(tinySpec, submodel).map((b, i) => ({
    grid: "1x1" as const,
    bits: 8 as const,
    placement: [b.kind !== "head" && i > 1 ? 1 : 0],
  }))
  return normalizeStrategy(tinySpec, { submodel, devices: [local, remote], blocks })
}

describe("profiles in the bucket", () => {
  it.live("let devices plan with a peer of a type that only its own file describes", () =>
    withDevices(
      1,
      (swarm) =>
        Effect.gen(function* () {
          const bus = yield* operator(swarm)
          const [device] = swarm.devices
          assert(device !== undefined)
          const profile = { ...dilated(shippedProfile("raspberry-pi-4"), 1.7), name: "drone-camera" }
          yield* swarm.start(late, { profile })
          yield* waitUntil("pi-1 plans with it", () => typesSeenBy(device).includes("drone-camera"), 30_000)
          const plan = yield* device.planner.predict(split("pi-1", "pi-9"))
          assert.isAbove(plan.latencyMs, 0)
          const devices = yield* on(bus)(openBucket("devices", deviceRecord))
          // It has published its own by now, or does so at any moment: it had to wait for the bucket, too.
          yield* Effect.repeat(devices.get("pi-1"), {
            until: (o) => Option.isSome(o),
            schedule: Schedule.spaced("20 millis"),
            times: 500,
          })
          const own = Option.getOrThrow(yield* devices.get("pi-1"))
          assert.deepEqual(own.value.profile, shippedProfile("raspberry-pi-4"))
        }),
      { later: [late] },
    ),
  )
})

describe("strategies in the bucket", () => {
  it("change places when another device serves them", () => {
    const mine = asServedBy("b", split("a", "b"))
    assert.deepEqual(mine.devices, ["b", "a"])
    assert.deepEqual(asServedBy("c", split("a", "b")).devices, ["c", "b"])
    assert.deepEqual(asServedBy("a", split("a", "b")).devices, ["a", "b"])
  })

  it.live("come from a device where they kept their promise, and are known where they are taken", () =>
    withDevices(2, (swarm) =>
      Effect.gen(function* () {
        const bus = yield* operator(swarm)
        const [first, second] = swarm.devices
        assert(first !== undefined && second !== undefined)
        const strategy = split(first.id, second.id)
        const reply = {
          latencyMs: 40,
          predicted: { latencyMs: 45, accuracy: 0.8 },
          slo: { latencyMs: 60 },
          sloMet: true,
          origin: "policy" as const,
        }
        for (let i = 0; i < 2; i++) first.strategies.worked(strategy, reply)
        first.strategies.worked(strategy, { ...reply, sloMet: false })
        const bucket = yield* on(bus)(openBucket("strategies", strategyRecord))
        const id = strategyId(tinySpec, strategy)
        assert.isTrue(Option.isNone(yield* bucket.get(id)), "a miss starts the trial again")
        for (let i = 0; i < 3; i++) first.strategies.worked(strategy, { ...reply, latencyMs: 40 - i })
        const taken = () => second.strategies.taken()
        yield* waitUntil("the other device has taken it", () => taken().includes(id), 20_000)
        const record = Option.getOrThrow(yield* bucket.get(id)).value
        assert.strictEqual(record.by, first.id)
        assert.strictEqual(record.measuredMs, 38)
        assert.strictEqual(record.runs, 3)
      }),
    ),
  )

  it.live("of another supernet are left alone", () =>
    withDevices(1, (swarm) =>
      Effect.gen(function* () {
        const bus = yield* operator(swarm)
        const [device] = swarm.devices
        assert(device !== undefined)
        const bucket = yield* on(bus)(openBucket("strategies", strategyRecord))
        const record = (strategy: Strategy) => ({
          strategyId: strategyId(tinySpec, strategy),
          by: DeviceId.make("pi-7"),
          policies: "",
          strategy,
          slo: { latencyMs: 60 },
          accuracy: 0.8,
          measuredMs: 40,
          runs: 3,
        })
        const foreign = { ...record(split("pi-1", "pi-7")), strategyId: "0123456789abcdef" }
        yield* bucket.put(foreign.strategyId, foreign)
        const good = record(split("pi-7", "pi-1"))
        yield* bucket.put(good.strategyId, good)
        const taken = () => device.strategies.taken()
        yield* waitUntil("the good one is taken", () => taken().includes(good.strategyId), 20_000)
        assert.deepEqual(taken(), [good.strategyId])
      }),
    ),
  )
})
