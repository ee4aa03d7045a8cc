import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, vi } from "vitest"
import { imagePiece } from "../../devices/engine/Pieces.ts"
import { dilated } from "../../devices/profiles/DeviceProfile.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { inferRequest, resultMessage, swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { logitsBytes } from "../../subjects/PlanMessages.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { localStrategy, normalizeStrategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import {
  acquainted,
  ask,
  expectedLogits,
  middleMoved,
  plannable,
  sharedDevices,
  tensorOf,
} from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"
import { largestDifference, tinySpec } from "../supernet/Tiny.ts"

vi.setConfig({ testTimeout: 90_000 })

const [first, third, fourth] = [DeviceId.make("pi-1"), DeviceId.make("pi-3"), DeviceId.make("pi-4")]
const fifth = DeviceId.make("pi-5")
const waitMs = 30_000
/** So slow that a request of the tiny supernet takes a good second: there is time to do something to it. */
const slowProfile = dilated(shippedProfile("raspberry-pi-4"), 60)
const inSwarm = sharedDevices(2, {
  later: [third, fourth, fifth],
  device: { emulate: true, profile: slowProfile, scheduler: { concurrency: 3, queued: 20 } },
})

const submodel = maxSubmodel(tinySpec, 64)
const local = localStrategy(tinySpec, submodel, first)
const middleOn = (device: DeviceId) => middleMoved(local, device)

describe("devices that come and go", () => {
  it.live(
    "a new device carries tiles; after its farewell nobody plans with it, and what it held is answered",
    () =>
      inSwarm(({ devices: [a, b], clients: [client], start }) =>
        Effect.gen(function* () {
          assert(a !== undefined && b !== undefined)
          const c = yield* start(third)
          yield* acquainted([a, b, c])
          const strategy = middleOn(third)
          const asked = ask(client, {
            tensor: tensorOf(64, 1),
            strategy,
            include: ["logits", "timeline"],
            deadlineMs: 40_000,
          })
          const under = yield* Effect.forkChild(asked)
          yield* waitUntil("the new device has a tile", () => c.executor.active() > 0, waitMs)
          const leaving = yield* Effect.forkChild(c.leave)
          yield* waitUntil("its farewell is heard", () => !a.membership.isPresent(third), waitMs)
          assert.notInclude(plannable(a), third)
          // It finishes what it has before it is gone: a strategy that the client insists on cannot run elsewhere.
          const result = yield* Fiber.join(under)
          assert.strictEqual(result.replans, 0)
          assert.isTrue(result.timeline?.some((t) => t.device === third))
          const logits = Float32Array.from(result.logits ?? [])
          assert.isBelow(largestDifference(logits, yield* expectedLogits(strategy, 1)), 1e-4)
          yield* Fiber.join(leaving)
          const reply = yield* ask(client, { tensor: tensorOf(64, 1), deadlineMs: 40_000 })
          assert.notInclude(reply.summary.devices, third)
          assert.strictEqual(reply.replans, 0)
        }),
      ),
  )

  it.live(
    "a device that leaves takes what was planned before its farewell, and nothing after it let go",
    () =>
      inSwarm(({ devices: [a, b], clients: [client], start }) =>
        Effect.gen(function* () {
          assert(a !== undefined && b !== undefined)
          const c = yield* start(third)
          yield* acquainted([a, b, c])
          // In its last part: its tiles come when the farewell has long been said.
          const blocks = local.blocks.map((block, i) => ({ ...block, placement: [i > 10 ? 1 : 0] }))
          const late = normalizeStrategy(tinySpec, { ...local, devices: [first, third], blocks })
          const tensor = tensorOf(64, 1)
          yield* ask(client, { tensor, strategy: late, deadlineMs: 40_000 })
          const asked = ask(client, { tensor, strategy: late, include: ["timeline"], deadlineMs: 40_000 })
          const under = yield* Effect.forkChild(asked)
          yield* waitUntil("the first device computes", () => a.executor.active() > 0, waitMs)
          assert.strictEqual(c.executor.active(), 0)
          const leaving = yield* Effect.forkChild(c.leave)
          const reply = yield* Fiber.join(under)
          assert.strictEqual(reply.replans, 0)
          assert.isTrue(reply.timeline?.some((t) => t.device === third))
          yield* Fiber.join(leaving)
          assert.isFalse(c.membership.takesWork())
        }),
      ),
  )

  it.live(
    "a request whose device is cut off gets one reply, long before its deadline, and leaves nothing behind",
    () =>
      inSwarm(({ servers, devices: [a, b], clients: [client], start }) =>
        Effect.gen(function* () {
          assert(a !== undefined && b !== undefined)
          const d = yield* start(fourth)
          yield* acquainted([a, b, d])
          const before = performance.now()
          // The second device waits for a piece of the one that is cut off, which never comes.
          const blocks = local.blocks.map((block, i) =>
            i === 1
              ? { ...block, grid: "1x2" as const, placement: [1, 2] }
              : { ...block, placement: [i === 0 ? 0 : 1] },
          )
          const devices = [first, b.id, fourth]
          const strategy = normalizeStrategy(tinySpec, { ...local, devices, blocks })
          const asked = ask(client, { tensor: tensorOf(64, 1), strategy, deadlineMs: 80_000 })
          const under = yield* Effect.forkChild(Effect.result(asked))
          yield* waitUntil(
            "both have tiles",
            () => b.executor.active() > 0 && d.executor.active() > 0,
            waitMs,
          )
          yield* servers.leaf(fourth).kill
          const result = yield* Fiber.join(under)
          assert.strictEqual(result._tag === "Failure" ? result.failure.tag : "answer", "DeviceLost")
          assert.isBelow(performance.now() - before, 60_000)
          assert.notInclude(plannable(a), fourth)
          yield* waitUntil("what was held of it is dropped", () => b.executor.active() === 0, waitMs)
          const reply = yield* ask(client, { tensor: tensorOf(64, 2), deadlineMs: 40_000 })
          assert.notInclude(reply.summary.devices, fourth)
        }),
      ),
  )
})

describe("a device that is cut off when it has done its part", () => {
  it.live("is not missed by the request", () =>
    inSwarm(({ servers, devices: [a, b], clients: [client], start }) =>
      Effect.gen(function* () {
        assert(a !== undefined && b !== undefined)
        const e = yield* start(fifth)
        yield* acquainted([a, b, e])
        const [tensor, strategy] = [tensorOf(64, 1), middleOn(fifth)]
        const { strategyId, graph } = yield* a.engine.prepare(local)
        const image = graph.edges.map((edge) => imagePiece(edge.index, tensor.data, 64, edge.region))
        const wholeRun = (i: number) =>
          a.engine.run({ requestId: `busy-${i}`, strategyId, task: 0, pieces: structuredClone(image) })
        const include = ["logits"] as const
        const under = yield* Effect.forkChild(
          ask(client, { tensor, strategy, include: [...include], deadlineMs: 80_000 }),
        )
        yield* waitUntil("the device has a tile", () => e.executor.active() > 0, waitMs)
        // The last part waits behind these.
        const others = yield* Effect.forkChild(
          Effect.forEach([1, 2, 3, 4, 5], wholeRun, { concurrency: "unbounded" }),
          { startImmediately: true },
        )
        yield* waitUntil("its part is done and sent", () => e.executor.active() === 0, waitMs)
        yield* servers.leaf(fifth).kill
        yield* waitUntil("it is missed", () => !a.membership.isPresent(fifth), waitMs)
        assert.isUndefined(under.pollUnsafe())
        const reply = yield* Fiber.join(under)
        assert.strictEqual(reply.replans, 0)
        const logits = Float32Array.from(reply.logits ?? [])
        assert.isBelow(largestDifference(logits, yield* expectedLogits(strategy, 1)), 1e-4)
        yield* Fiber.join(others)
      }),
    ),
  )
})

describe("a device", () => {
  it.live("beats while it computes", () =>
    inSwarm(({ devices: [a, b], clients: [client] }) =>
      Effect.gen(function* () {
        assert(a !== undefined && b !== undefined)
        const beats: Array<number> = []
        const subscription = b.bus.nats.subscribe(Subjects.swarm(a.id), {
          callback: (_, m) => {
            if (swarmMessage.decode(m.subject, m.data)._tag === "Success") beats.push(performance.now())
          },
        })
        const reply = yield* ask(client, { tensor: tensorOf(64, 1), strategy: local, deadlineMs: 60_000 })
        subscription.unsubscribe()
        assert.isAbove(reply.breakdown.executeMs, 500)
        // One each 250 ms where nothing else uses the processor.
        assert.isAtLeast(beats.length, 2)
        assert.isTrue(b.membership.isPresent(a.id))
      }),
    ),
  )

  it.live("that is asked for more than it can do answers every request by its deadline", () =>
    inSwarm(({ clients: [client] }) =>
      Effect.gen(function* () {
        const asked = ask(client, { tensor: tensorOf(64, 1), strategy: local, deadlineMs: 3000 })
        const results = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, i) => i),
          () => Effect.result(asked),
          { concurrency: "unbounded" },
        )
        const tags = results.map((r) => (r._tag === "Success" ? "answer" : (r.failure.tag ?? r.failure._tag)))
        // The client itself gives up a second after the deadline: that would be "Late".
        for (const tag of tags) assert.include(["answer", "DeadlineExpired", "Overloaded"], tag)
        assert.isAbove(tags.filter((tag) => tag !== "answer").length, 20)
        const after = yield* ask(client, { tensor: tensorOf(64, 1), strategy: local, deadlineMs: 40_000 })
        assert.strictEqual(after.device, first)
      }),
    ),
  )

  it.live("answers a client that asks twice for the same with one result", () =>
    inSwarm(({ devices: [a], clients: [client] }) =>
      Effect.gen(function* () {
        assert(a !== undefined && client !== undefined)
        const before = a.self.counters.answered
        const tensor = tensorOf(64, 1)
        const key = RequestId.make("one-call")
        const body = { tensor, slo: { latencyMs: 500 }, strategy: local, topK: 1, include: [], key } as const
        const subject = Subjects.inferAt(a.id)
        const message = inferRequest.encode({ ...body, deadlineMs: 40_000 })
        const once = client.request(subject, message, { timeoutMs: 40_000 })
        const [one, two] = yield* Effect.all([once, once], { concurrency: 2 })
        assert.deepStrictEqual(one, two)
        assert.strictEqual(a.self.counters.answered, before + 1)
      }),
    ),
  )

  it.live("drops a result that comes too late, and counts it", () =>
    inSwarm(({ devices: [a, b] }) =>
      Effect.gen(function* () {
        assert(a !== undefined && b !== undefined)
        const before = a.self.counters.dropped
        const none = { gatherMs: 0, queueMs: 0, computeMs: 0, packMs: 0, bytesIn: 0, bytesOut: 0 }
        const late = resultMessage.encode({
          _tag: "Logits",
          requestId: RequestId.make("over"),
          strategyId: "0123456789abcdef",
          attempt: 0,
          device: b.id,
          logits: logitsBytes([1, 2, 3]),
          timing: { task: 0, device: b.id, ...none },
        })
        yield* b.bus.publish(Subjects.result(a.id, b.id), late)
        yield* waitUntil("it is counted", () => a.self.counters.dropped === before + 1, waitMs)
      }),
    ),
  )
})
