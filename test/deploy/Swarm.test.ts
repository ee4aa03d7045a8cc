import { assert, it } from "@effect/vitest"
import { Effect, Option, Schedule } from "effect"
import { describe } from "vitest"
import { type BlobRef } from "../../subjects/Manifests.ts"
import { getBlob, putBlob } from "../../subjects/Blobs.ts"
import { createBuckets, openBucket } from "../../subjects/Buckets.ts"
import * as Codecs from "../../subjects/Codecs.ts"
import { RequestId } from "../../subjects/DeviceId.ts"
import { endpointStats } from "../../subjects/EndpointStats.ts"
import { Bus } from "../../subjects/Bus.ts"
import { registerService } from "../../subjects/Services.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import type { Tile } from "../../subjects/TileCodec.ts"
import { makeTileReceiver } from "../../subjects/TileReceiver.ts"
import { makeTileSender } from "../../subjects/TileSender.ts"
import { users } from "../../deploy/Swarm.ts"
import { connectAs, on } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"
import {
  a,
  answering,
  ask,
  b,
  c,
  hearing,
  inSwarm,
  policyManifest,
  timeoutMs,
} from "../support/DeployedSwarm.ts"

describe("a deployed swarm", () => {
  it.live("hands infer.request to the nearest scheduler, and to another where there is none", () =>
    inSwarm(({ swarm, busA, busB, busC }) =>
      Effect.gen(function* () {
        const stopA = yield* answering(busA, Subjects.infer, a, Subjects.inferQueue)
        yield* answering(busB, Subjects.infer, b, Subjects.inferQueue)
        const client = yield* connectAs(swarm.clientBus(a))
        for (let i = 0; i < 20; i++) assert.strictEqual(yield* ask(client, Subjects.infer), a)
        assert.include([a, b], yield* ask(busC, Subjects.infer))
        stopA()
        yield* Effect.promise(() => busA.nats.flush())
        assert.strictEqual(yield* ask(client, Subjects.infer), b)
      }),
    ),
  )

  it.live("lets every device reach every other on every subject that is meant for it", () =>
    inSwarm(({ swarm, busA, busB }) =>
      Effect.gen(function* () {
        const client = yield* connectAs(swarm.clientBus(a))
        for (const subject of [Subjects.inferAt(b), Subjects.reconfig(b), Subjects.probe(b)]) {
          yield* answering(busB, subject, b)
          assert.strictEqual(yield* ask(busA, subject), b)
        }
        assert.strictEqual(yield* ask(client, Subjects.inferAt(b)), b)
        const patterns = [
          Subjects.result(b, "*"),
          Subjects.link("*"),
          Subjects.forecast("*"),
          Subjects.swarm("*"),
        ]
        const sent = [Subjects.result(b, a), Subjects.link(a), Subjects.forecast(a), Subjects.swarm(a)]
        for (const [i, pattern] of patterns.entries()) {
          const heard = yield* hearing(busB, pattern)
          yield* Effect.repeat(busA.publish(sent[i] ?? "", new Uint8Array(1)), {
            until: () => heard.length > 0,
            schedule: Schedule.spaced("2 millis"),
            times: 500,
          })
          assert.strictEqual(heard[0], sent[i])
        }
      }),
    ),
  )

  it.live("carries tiles from leaf to leaf", () =>
    inSwarm(({ busA, busB }) =>
      Effect.gen(function* () {
        const froms: Array<string> = []
        yield* makeTileReceiver({ device: b, accept: (_, from) => void froms.push(from) }).pipe(on(busB))
        const sender = yield* makeTileSender({ device: a }).pipe(on(busA))
        const bytes = new Uint8Array(200_000)
        const tile: Tile = {
          requestId: RequestId.make("r"),
          attempt: 0,
          strategyId: "0123456789abcdef",
          edge: 0,
          shape: [20, 100, 100],
          bits: 8,
          scale: 1,
          zeroPoint: 0,
          budgetMs: 0,
          bytes,
        }
        // Its interest has to travel from leaf to leaf first.
        yield* sender.send(b, tile, { timeoutMs }).pipe(
          Effect.retry({
            while: (e) => e._tag === "NobodyListens",
            schedule: Schedule.spaced("5 millis"),
            times: 200,
          }),
        )
        assert.deepStrictEqual(froms, [a])
      }),
    ),
  )

  it.live("does not let a device speak for another, or a client for a device", () =>
    inSwarm(({ swarm, busA, busB }) =>
      Effect.gen(function* () {
        const heard = yield* hearing(busB, ">")
        for (const subject of [Subjects.tile(b, "*"), Subjects.result(b, "*"), "swarm.*", "link.*"]) {
          yield* hearing(busB, subject)
        }
        const forged = [
          Subjects.tile(b, c),
          Subjects.result(b, c),
          Subjects.link(c),
          Subjects.swarm(c),
          "evil",
        ]
        const own = Subjects.swarm(a)
        yield* Effect.repeat(
          Effect.gen(function* () {
            for (const subject of [...forged, own]) yield* busA.publish(subject, new Uint8Array(1))
          }),
          {
            until: () => heard.filter((s) => s === own).length > 3,
            schedule: Schedule.spaced("5 millis"),
            times: 500,
          },
        )
        assert.deepStrictEqual(
          heard.filter((s) => forged.includes(s)),
          [],
        )
        const client = yield* connectAs(swarm.clientBus(a))
        const denied = yield* Effect.flip(
          client.request(Subjects.reconfig(b), new Uint8Array(1), { timeoutMs }),
        )
        assert.strictEqual(denied._tag, "NotPermitted")
      }),
    ),
  )

  it.live("lets a client hear replies to clients alone, at a leaf and at the hub", () =>
    inSwarm(({ swarm, busA, busB }) =>
      Effect.gen(function* () {
        yield* answering(busB, Subjects.inferAt(b), b)
        yield* answering(busB, Subjects.probe(b), b)
        const { clientPassword: password } = swarm.swarm().hub
        const atHub = Bus.layer({ servers: swarm.hub.url, user: users.client, password })
        for (const layer of [swarm.clientBus(a), atHub]) {
          const client = yield* connectAs(layer)
          assert.strictEqual(yield* ask(client, Subjects.inferAt(b)), b)
          const heard: Array<string> = []
          client.nats.subscribe("_INBOX.>", {
            callback: (error, m) => void heard.push(error === null ? m.subject : error.code),
          })
          yield* waitUntil("the refusal", () => heard.length > 0)
          assert.strictEqual(yield* ask(busA, Subjects.probe(b)), b)
          yield* Effect.promise(() => client.nats.flush())
          assert.deepStrictEqual(heard, ["PERMISSIONS_VIOLATION"])
        }
      }),
    ),
  )

  it.live("does not let a device take another's direct requests", () =>
    inSwarm(({ busA, busB, busC }) =>
      Effect.gen(function* () {
        yield* answering(busA, Subjects.inferAt(b), a)
        yield* answering(busB, Subjects.inferAt(b), b)
        for (let i = 0; i < 10; i++) assert.strictEqual(yield* ask(busC, Subjects.inferAt(b)), b)
      }),
    ),
  )

  it.live("shares manifests and blobs from the hub; devices write only what is theirs", () =>
    inSwarm(({ swarm, busA, busB }) =>
      Effect.gen(function* () {
        const operator = yield* connectAs(swarm.operatorBus)
        yield* createBuckets.pipe(on(operator))
        const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 253)
        const ref = yield* putBlob("policies/tiny/1/policy.onnx", bytes).pipe(on(operator))
        const fetched = yield* getBlob(ref).pipe(on(busA))
        assert.isTrue(Buffer.from(fetched).equals(bytes))
        const damaged: BlobRef = { ...ref, sha256: "0".repeat(64) }
        assert.strictEqual((yield* Effect.flip(getBlob(damaged).pipe(on(busA)))).reason, "WrongDigest")
        const missing = yield* Effect.flip(getBlob({ ...ref, object: "nothing" }).pipe(on(busA)))
        assert.strictEqual(missing.reason, "Missing")

        const manifest = policyManifest("1", ref)
        const mine = yield* openBucket("policies", Codecs.policyManifest).pipe(on(operator))
        yield* mine.put("tiny", manifest)
        const theirs = yield* openBucket("policies", Codecs.policyManifest).pipe(on(busB))
        const read = yield* theirs.get("tiny")
        assert.deepStrictEqual(Option.getOrThrow(read).value, manifest)
        assert.isTrue(Option.isNone(yield* theirs.get("other")))
        assert.deepStrictEqual(yield* theirs.keys, ["tiny"])
        assert.strictEqual((yield* Effect.flip(theirs.put("tiny", manifest)))._tag, "BucketUnavailable")

        const records = yield* openBucket("devices", Codecs.deviceRecord).pipe(on(busB))
        const record = { device: b, hostname: "host-b", profile: { name: "pi4" } }
        yield* records.put(b, record)
        assert.strictEqual((yield* Effect.flip(records.put(a, record)))._tag, "BucketUnavailable")
      }),
    ),
  )

  it.live("shows its services to nats micro ls, info and stats", () =>
    inSwarm(({ swarm, busA, busB }) =>
      Effect.gen(function* () {
        const stats = endpointStats("infer", Subjects.infer, Subjects.inferQueue)
        stats.requests = 3
        for (const [bus, device] of [
          [busA, a],
          [busB, b],
        ] as const) {
          const metadata = { device }
          const options = { name: "scheduler", version: "0.1.0", description: "serves requests", metadata }
          yield* registerService({ ...options, endpoints: () => [stats] }).pipe(on(bus))
        }
        const client = yield* connectAs(swarm.clientBus(a))
        const gather = (subject: string, count: number) =>
          Effect.promise(async () => {
            const answers: Array<Record<string, unknown>> = []
            const options = { strategy: "stall" as never, maxWait: 300 }
            for await (const m of await client.nats.requestMany(subject, new Uint8Array(), options)) {
              answers.push(m.json())
            }
            return answers
          }).pipe(Effect.repeat({ until: (found) => found.length === count, times: 10 }))
        const pings = yield* gather("$SRV.PING", 2)
        assert.deepStrictEqual(
          pings.map((p) => p["name"]),
          ["scheduler", "scheduler"],
        )
        const info = yield* gather(`$SRV.INFO.scheduler.${String(pings[0]?.["id"])}`, 1)
        assert.strictEqual(info[0]?.["type"], "io.nats.micro.v1.info_response")
        const shown = yield* gather("$SRV.STATS.scheduler", 2)
        assert.include(JSON.stringify(shown[0]?.["endpoints"]), '"num_requests":3')
      }),
    ),
  )
})
