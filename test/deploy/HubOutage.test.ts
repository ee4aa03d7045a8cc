import { assert, it } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { describe } from "vitest"
import { createBuckets, openBucket } from "../../subjects/Buckets.ts"
import * as Codecs from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { connectAs, on } from "../support/Buses.ts"
import { a, answering, ask, b, inSwarm, policyManifest } from "../support/DeployedSwarm.ts"
import { waitUntil } from "../support/Wait.ts"

/** Between two looks at whether something has arrived. */
const soon = Schedule.spaced("10 millis")

describe("a deployed swarm whose hub changes", () => {
  it.live("goes on locally while the hub is down, and catches up by itself when it returns", () =>
    inSwarm(({ swarm, busA }) =>
      Effect.gen(function* () {
        const operator = yield* connectAs(swarm.operatorBus)
        yield* createBuckets.pipe(on(operator))
        const mine = yield* openBucket("policies", Codecs.policyManifest).pipe(on(operator))
        const onnx = { object: "nothing", bytes: 0, sha256: "0".repeat(64) }
        const manifest = (version: string) => policyManifest(version, onnx)
        const theirs = yield* openBucket("policies", Codecs.policyManifest).pipe(on(busA))
        const seen: Array<string> = []
        yield* theirs.changes.pipe(
          Stream.runForEach((change) =>
            Effect.sync(() => (change._tag === "Put" ? void seen.push(change.value.version) : undefined)),
          ),
          Effect.forkScoped({ startImmediately: true }),
        )
        yield* mine.put("tiny", manifest("1"))
        yield* waitUntil("the first version", () => seen.includes("1"))
        yield* answering(busA, Subjects.infer, a, Subjects.inferQueue)
        const client = yield* connectAs(swarm.clientBus(a))
        yield* swarm.hub.kill
        assert.strictEqual(yield* ask(client, Subjects.infer), a)
        assert.isTrue(busA.isUp())
        assert.strictEqual((yield* Effect.flip(theirs.get("tiny")))._tag, "BucketUnavailable")
        yield* swarm.hub.restart
        yield* operator.awaitUp
        yield* Effect.retry(mine.put("tiny", manifest("2")), { times: 20 })
        yield* swarm.linked
        yield* waitUntil("the second version", () => seen.includes("2"), 20_000)
      }),
    ),
  )

  it.live("takes in a new device while the others go on: the hub only reads its configuration again", () =>
    inSwarm(({ swarm, busA, busB }) =>
      Effect.gen(function* () {
        yield* answering(busB, Subjects.probe(b), b)
        assert.strictEqual(yield* ask(busA, Subjects.probe(b)), b)
        const d = DeviceId.make("pi-4")
        yield* swarm.add(d)
        const busD = yield* connectAs(swarm.deviceBus(d))
        assert.strictEqual(yield* ask(busD, Subjects.probe(b)), b)
        yield* answering(busD, Subjects.probe(d), d)
        assert.strictEqual(yield* ask(busA, Subjects.probe(d)), d)
        const senders: Array<number> = []
        busB.nats.subscribe(Subjects.swarm(d), { callback: (_, m) => void senders.push(m.data.length) })
        const bothSpeak = Effect.gen(function* () {
          yield* busA.publish(Subjects.swarm(d), new Uint8Array(1))
          yield* busD.publish(Subjects.swarm(d), new Uint8Array(2))
        })
        const heardFromD = () => senders.filter((n) => n === 2).length
        yield* Effect.repeat(bothSpeak, { until: () => heardFromD() > 2, schedule: soon, times: 500 })
        assert.isTrue(busA.isUp() && busB.isUp())

        // The new rule (nobody speaks for pi-4) reaches the links that exist only when they are made anew.
        yield* swarm.hub.kill
        yield* swarm.hub.restart
        yield* swarm.linked
        senders.length = 0
        yield* Effect.repeat(bothSpeak, { until: () => heardFromD() > 5, schedule: soon, times: 500 })
        assert.isAbove(heardFromD(), 5)
        assert.notInclude(senders, 1)
      }),
    ),
  )

  it.live(
    "with a frozen hub answers local requests at once; remote ones are late, not silent, until it thaws",
    () =>
      inSwarm(({ swarm, busA, busB }) =>
        Effect.gen(function* () {
          yield* answering(busA, Subjects.infer, a, Subjects.inferQueue)
          yield* answering(busB, Subjects.inferAt(b), b)
          assert.strictEqual(yield* ask(busA, Subjects.inferAt(b)), b)
          const client = yield* connectAs(swarm.clientBus(a))
          yield* swarm.hub.freeze
          yield* Effect.addFinalizer(() => swarm.hub.thaw)
          assert.strictEqual(yield* ask(client, Subjects.infer), a)
          // The signal takes a moment to stop all threads of the server.
          const remote = client.request(Subjects.inferAt(b), new Uint8Array(1), { timeoutMs: 200 }).pipe(
            Effect.as("answered"),
            Effect.catch((e) => Effect.succeed(e._tag)),
          )
          const outcome = yield* Effect.repeat(remote, { until: (o) => o !== "answered", times: 50 })
          assert.strictEqual(outcome, "Late")
          yield* swarm.hub.thaw
          assert.strictEqual(yield* Effect.retry(ask(client, Subjects.inferAt(b)), { times: 10 }), b)
        }).pipe(Effect.scoped),
      ),
  )
})
