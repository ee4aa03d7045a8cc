import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect } from "nats"
import sharp from "sharp"
import { describe } from "vitest"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"
import { secretsOf } from "../../deploy/ServerConfig.ts"
import { grids } from "../../supernet/Partition.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { localStrategy, sampleStrategy } from "../../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel } from "../../supernet/Submodel.ts"
import { ask, expectedLogits, sharedDevices, tensorOf, withDevices } from "../support/Devices.ts"
import { image, largestDifference, tinySpec } from "../supernet/Tiny.ts"

const logitsOf = (reply: { readonly logits?: ReadonlyArray<number> }) => Float32Array.from(reply.logits ?? [])
const include = ["logits", "strategy"] as const

/** Its classes are those of its logits, its objective is met or not as its own numbers say. */
const isConsistent = (reply: InferReply) => {
  const logits = reply.logits ?? []
  const powers = logits.map(Math.exp)
  const sum = powers.reduce((a, b) => a + b, 0)
  const order = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0))
  assert.deepStrictEqual(
    reply.classes.map((c) => [c.index, c.name]),
    order.map((i) => [i, tinySpec.classes[i]]),
  )
  for (const { index, probability } of reply.classes)
    assert.closeTo(probability, (powers[index] ?? Number.NaN) / sum, 1e-6)
  const { slo, sloMet, latencyMs, predicted } = reply
  assert.strictEqual(
    sloMet,
    slo.latencyMs === undefined ? predicted.accuracy >= slo.accuracy : latencyMs <= slo.latencyMs,
  )
}

const inSwarm = sharedDevices(4)

describe("a swarm", () => {
  it.live("answers with the logits of the strategy that it names, for any grids and placements", () =>
    inSwarm(({ devices, clients }) =>
      Effect.gen(function* () {
        const random = seededRandom(7)
        const ids = devices.map((d) => d.id)
        const seen = new Set<string>()
        for (let i = 0; i < 24; i++) {
          // Every device serves in turn: the one that is asked is the first of the strategy.
          const serving = i % ids.length
          const order = [...ids.slice(serving), ...ids.slice(0, serving)]
          const strategy = sampleStrategy(tinySpec, order, random, { bits: [32] })
          for (const b of strategy.blocks) seen.add(b.grid)
          const tensor = tensorOf(strategy.submodel.resolution, i)
          const reply = yield* ask(clients[serving], { tensor, strategy, include })
          assert.deepStrictEqual(reply.strategy, strategy)
          assert.strictEqual(reply.device, ids[serving])
          isConsistent(reply)
          const difference = largestDifference(logitsOf(reply), yield* expectedLogits(strategy, i))
          assert.isBelow(difference, 1e-4, JSON.stringify(strategy))
        }
        assert.deepStrictEqual([...seen].sort(), [...grids].sort())
      }),
    ),
  )

  it.live("answers planned requests, many in flight at once, each with its own logits", () =>
    inSwarm(({ devices, clients }) =>
      Effect.gen(function* () {
        const random = seededRandom(3)
        const ids = devices.slice(0, 3).map((d) => d.id)
        const spread = sampleStrategy(tinySpec, ids, random, {
          bits: [32],
          submodel: maxSubmodel(tinySpec, 64),
        })
        const one = Effect.fnUntraced(function* (i: number) {
          const tensor = tensorOf(64, i)
          const chosen = i % 2 === 0 ? { strategy: spread } : {}
          const slo = i % 3 === 0 ? { accuracy: 0.5 } : { latencyMs: 1 + i }
          const client = chosen.strategy === undefined ? clients[i % 3] : clients[0]
          const reply = yield* ask(client, { tensor, slo, include, ...chosen, id: `client-${i}` })
          assert.strictEqual(reply.id, `client-${i}`)
          isConsistent(reply)
          const { strategy } = reply
          if (strategy === undefined || strategy.submodel.resolution !== 64) return 0
          const difference = largestDifference(logitsOf(reply), yield* expectedLogits(strategy, i))
          assert.isBelow(difference, 1e-4, JSON.stringify(strategy))
          return 1
        })
        const checked = yield* Effect.forEach(
          Array.from({ length: 48 }, (_, i) => i),
          one,
          { concurrency: "unbounded" },
        )
        assert.isAtLeast(
          checked.reduce<number>((a, b) => a + b, 0),
          24,
        )
        for (const d of devices) assert.strictEqual(d.executor.active(), 0)
      }),
    ),
  )

  it.live("keeps requests apart whose clients chose the same id", () =>
    inSwarm(({ devices: [a, b], clients: [client] }) =>
      Effect.gen(function* () {
        assert(a !== undefined && b !== undefined)
        const strategy = sampleStrategy(tinySpec, [a.id, b.id], seededRandom(5), {
          bits: [32],
          submodel: maxSubmodel(tinySpec, 64),
        })
        yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => i),
          Effect.fnUntraced(function* (i) {
            const reply = yield* ask(client, { tensor: tensorOf(64, i), strategy, include, id: "mine" })
            assert.strictEqual(reply.id, "mine")
            assert.isBelow(largestDifference(logitsOf(reply), yield* expectedLogits(strategy, i)), 1e-4)
          }),
          { concurrency: "unbounded" },
        )
      }),
    ),
  )

  it.live("of one device answers alone, without anybody to ask, also when the hub is gone", () =>
    withDevices(1, ({ servers, clients: [client] }) =>
      Effect.gen(function* () {
        yield* servers.hub.kill
        const reply = yield* ask(client, { tensor: tensorOf(64, 1), slo: { accuracy: 0.3 }, include })
        assert.deepStrictEqual(reply.summary.devices, [DeviceId.make("pi-1")])
        assert.strictEqual(reply.summary.crossings, 0)
      }),
    ),
  )
})

describe("a request", () => {
  it.live("whose objective cannot be met is answered all the same, and told that it was missed", () =>
    inSwarm(({ devices: [device], clients: [client] }) =>
      Effect.gen(function* () {
        assert(device !== undefined)
        const tensor = tensorOf(64, 1)
        // The smallest submodel is far from always right.
        const strategy = localStrategy(tinySpec, minSubmodel(tinySpec), device.id)
        for (const asked of [{ slo: { latencyMs: 0.1 } }, { slo: { accuracy: 0.99 }, strategy }]) {
          const missed = yield* ask(client, { tensor, include, ...asked })
          assert.isFalse(missed.sloMet)
          isConsistent(missed)
        }
        for (const asked of [{ slo: { latencyMs: 60_000 } }, { slo: { accuracy: 0.01 }, strategy }]) {
          const met = yield* ask(client, { tensor, include, ...asked })
          assert.isTrue(met.sloMet)
          isConsistent(met)
        }
      }),
    ),
  )

  it.live("in JSON is answered in JSON, as `nats req` would send it; a JPEG as well as raw pixels", () =>
    inSwarm(({ servers, devices: [device] }) =>
      Effect.gen(function* () {
        assert(device !== undefined)
        const { clientPassword } = secretsOf(servers.swarm(), device.id)
        const raw = yield* Effect.promise(() =>
          connect({
            servers: servers.leaf(device.id).url,
            user: "client",
            pass: clientPassword,
            inboxPrefix: "_INBOX_client",
          }),
        )
        const jpeg = yield* Effect.promise(() =>
          sharp(image(64, 1), { raw: { width: 64, height: 64, channels: 3 } })
            .jpeg()
            .toBuffer(),
        )
        const body = JSON.stringify({ image: jpeg.toString("base64"), slo: { latencyMs: 200 }, topK: 2 })
        const message = yield* Effect.promise(() => raw.request("infer.request", body, { timeout: 5000 }))
        const reply = message.json<{ classes: ReadonlyArray<{ name: string }>; trained: boolean }>()
        assert.strictEqual(reply.classes.length, 2)
        assert.include(tinySpec.classes, reply.classes[0]?.name)
        assert.isFalse(reply.trained)
        yield* Effect.promise(() => raw.close())
      }),
    ),
  )

  it.live("for a strategy is served by the strategy's first device and nobody else", () =>
    inSwarm(({ devices: [a, b], clients: [client] }) =>
      Effect.gen(function* () {
        assert(a !== undefined && b !== undefined)
        const strategy = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), b.id)
        const tensor = tensorOf(64, 1)
        const error = yield* Effect.flip(ask(client, { tensor, strategy, device: a.id }))
        assert.strictEqual(error.tag, "NoStrategy")
        assert.include(error.message, "pi-2")
        const reply = yield* ask(client, { tensor, strategy, device: b.id, id: RequestId.make("x") })
        assert.strictEqual(reply.device, b.id)
      }),
    ),
  )
})
