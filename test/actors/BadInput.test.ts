import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { describe, vi } from "vitest"
import type { Expectation } from "../../bench/BadMessage.ts"
import { badInputs } from "../../bench/BadInputs.ts"
import { pictures, throwAll } from "../../bench/BadInputRun.ts"
import type { BusShape } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { type Strategy, sampleStrategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { ask, expectedLogits, sharedDevices, tensorOf, type TestSwarm } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"
import { largestDifference, tinySpec } from "../supernet/Tiny.ts"

/** The bench throws all of them at a real process; here some subjects get a third, unless everything is asked for. */
const full = process.env["MURMURATION_FULL"] === "1"
const inSwarm = sharedDevices(2)
const [device, peer] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]

/** Another client goes on asking the same device for a strategy of both, and checks every answer. */
const bystander = (client: BusShape, strategy: Strategy, asked: { count: number }) =>
  Effect.gen(function* () {
    const expected = yield* expectedLogits(strategy, 1)
    const once = Effect.gen(function* () {
      const asking = ask(client, { tensor: tensorOf(64, 1), strategy, include: ["logits"] })
      // The first one may come before everything is built; after it there is no excuse.
      const reply = yield* Effect.retry(asking, { times: 10, while: () => asked.count === 0 })
      const difference = largestDifference(Float32Array.from(reply.logits ?? []), expected)
      assert.isBelow(difference, 1e-4)
      asked.count++
    })
    return yield* Effect.repeat(once, Schedule.spaced("50 millis"))
  })

const survives = (kinds: ReadonlyArray<Expectation["kind"]>, prefix: string) => (swarm: TestSwarm) =>
  Effect.gen(function* () {
    const [client] = swarm.clients
    const [attacked] = swarm.devices
    assert(client !== undefined && attacked !== undefined)
    const submodel = maxSubmodel(tinySpec, 64)
    const strategy = sampleStrategy(tinySpec, [device, peer], seededRandom(9), { bits: [32], submodel })
    const target = { spec: tinySpec, device, peer, ...(yield* Effect.promise(pictures)) }
    const inputs = badInputs(target)
      .filter((i) => kinds.includes(i.expect.kind) && i.name.startsWith(prefix))
      .filter((_, i) => full || prefix === "infer" || prefix === "tile" || i % 3 === 0)
    const asked = { count: 0 }
    const other = yield* Effect.forkChild(bystander(client, strategy, asked))
    const answered = (times: number) =>
      waitUntil(`the other client has ${times} answers`, () => asked.count >= times, 30_000)
    yield* answered(1)
    const verdicts = yield* throwAll(attacked.bus, target, inputs)
    assert.isAbove(inputs.length, 0)
    const wrong = verdicts.filter((v) => !v.right)
    assert.deepStrictEqual(
      wrong.map((v) => `${v.input.name}: ${v.outcome} ${v.tag} ${v.message.slice(0, 200)}`),
      [],
    )
    assert.isBelow(Math.max(...verdicts.map((v) => v.replyBytes)), 5000)
    assert.isUndefined(other.pollUnsafe(), "the other client was not served")
    yield* answered(asked.count + 1)
    yield* Fiber.interrupt(other)
  })

vi.setConfig({ testTimeout: 90_000 })

describe("a device that gets bad input answers with a typed error and goes on serving others", () => {
  it.live("on infer.request", () => inSwarm(survives(["request"], "infer")))
  it.live("on plan", () => inSwarm(survives(["request"], "plan")))
  it.live("on reconfig", () => inSwarm(survives(["request"], "reconfig")))
  it.live("on probe", () => inSwarm(survives(["request"], "probe")))
  it.live("on tile", () => inSwarm(survives(["tile"], "tile")))
  it.live(
    "on subjects without answers, where it counts what it drops",
    () => inSwarm(survives(["notice", "unheard"], "")),
    60_000,
  )
})

describe("a payload above the server's limit", () => {
  it.live("is an error for the sender, who stays connected", () =>
    inSwarm(({ clients: [client] }) =>
      Effect.gen(function* () {
        assert(client !== undefined)
        const image = new Uint8Array(client.payloadLimitBytes() + 1)
        const error = yield* Effect.flip(ask(client, { image }))
        assert.strictEqual(error._tag, "PayloadTooLarge")
        const reply = yield* ask(client, { tensor: tensorOf(64, 1) })
        assert.strictEqual(reply.device, device)
      }),
    ),
  )
})
