import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Schedule, type Scope } from "effect"
import { describe } from "vitest"
import { examine, report } from "../../cli/Doctor.ts"
import { examineBus } from "../../cli/DoctorBus.ts"
import { atLeast, type Finding, isHealthy } from "../../cli/DoctorCheck.ts"
import { examinePeers } from "../../cli/DoctorPeers.ts"
import { bareServer } from "../../deploy/LocalServer.ts"
import { localSwarm } from "../../deploy/LocalSwarm.ts"
import { freePort } from "../../deploy/NatsProcess.ts"
import { createBuckets } from "../../subjects/Buckets.ts"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import { probeReply, probeRequest, swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { serve } from "../../subjects/Serve.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { protocolVersion, type SwarmMessage } from "../../subjects/SwarmMessages.ts"
import { connectAs, on } from "../support/Buses.ts"

const [a, b] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]

const beat = (
  device: DeviceId,
  nonce: string,
  hostname: string,
  protocol = protocolVersion,
): SwarmMessage => ({
  _tag: "Beat",
  seq: 1,
  identity: {
    device,
    nonce,
    hostname,
    pid: 7,
    protocol,
    versions: { murmuration: "0.1.0" },
    profile: "raspberry-pi-4",
    emulated: false,
    cpus: 4,
    memoryMb: 4000,
  },
  status: {
    upMs: 1000,
    load: { requests: 0, tasksQueued: 0, busy: 0, rssMb: 100, eventLoopLagMs: 0 },
    strategies: 0,
    sessions: 0,
    built: 0,
    counts: { answered: 0, refused: 0, dropped: 0, tasks: 0, replans: 0 },
    peers: [],
  },
})

/** Beats, and answers pings, until the scope closes. */
const device = (bus: BusShape, message: SwarmMessage & { readonly _tag: "Beat" }) =>
  Effect.gen(function* () {
    const { device, nonce } = message.identity
    yield* serve({
      subject: Subjects.probe(device),
      input: probeRequest,
      output: probeReply,
      handle: ({ seq }) => Effect.succeed({ device, nonce, seq, processingMs: 0 }),
    })
    yield* Effect.forkScoped(
      bus
        .publish(Subjects.swarm(device), swarmMessage.encode(message))
        .pipe(Effect.repeat(Schedule.spaced("100 millis"))),
    )
  }).pipe(on(bus))

const asBeat = (message: SwarmMessage) => (message._tag === "Beat" ? message : assert.fail("not a beat"))
const summary = (found: ReadonlyArray<Finding>) => Object.fromEntries(found.map((f) => [f.name, f.status]))
const noPeers = () => Effect.succeed<ReadonlyArray<Finding>>([])
const run = <A, E>(test: Effect.Effect<A, E, Scope.Scope>) => Effect.scoped(test)

describe("doctor on the bus", () => {
  it.live("finds a deployed device healthy, step by step, and names buckets that are missing", () =>
    run(
      Effect.gen(function* () {
        const swarm = yield* localSwarm([a, b])
        const before = yield* examineBus(swarm.deviceOptions(a), a, noPeers)
        const steps = { name: "ok", port: "ok", login: "ok", grants: "ok", hub: "ok" } as const
        assert.deepStrictEqual(summary(before), { ...steps, buckets: "warning" })
        yield* createBuckets.pipe(on(yield* connectAs(swarm.operatorBus)))
        const after = yield* examineBus(swarm.deviceOptions(a), a, noPeers)
        assert.deepStrictEqual(summary(after), { ...steps, buckets: "ok" })
        assert.isTrue(isHealthy(after))
        yield* swarm.hub.kill
        const cut = yield* examineBus(swarm.deviceOptions(a), a, noPeers)
        assert.deepInclude(summary(cut), { login: "ok", hub: "failed", buckets: "skipped" })
      }),
    ),
  )

  it.live("tells wrong passwords, closed ports and unknown names apart", () =>
    run(
      Effect.gen(function* () {
        const swarm = yield* localSwarm([a])
        const wrong = { ...swarm.deviceOptions(a), password: "wrong" }
        assert.deepInclude(summary(yield* examineBus(wrong, a, noPeers)), { port: "ok", login: "failed" })
        const closed = { servers: `nats://127.0.0.1:${yield* freePort}` }
        assert.deepStrictEqual(summary(yield* examineBus(closed, a, noPeers)), { name: "ok", port: "failed" })
        const unknown = { servers: "nats://no-such-host.invalid:4222" }
        assert.deepInclude(summary(yield* examineBus(unknown, a, noPeers)), {
          name: "failed",
          port: "skipped",
        })
      }),
    ),
  )
})

describe("doctor among peers", () => {
  it.live("pings who is there, and finds old versions and ids that two hosts use, naming both", () =>
    run(
      Effect.gen(function* () {
        const server = yield* bareServer
        const bus = yield* connectAs(Bus.layer({ servers: server.url }))
        const alone = yield* examinePeers(bus)
        assert.deepStrictEqual(summary(alone), { devices: "failed", "round trips": "skipped" })
        yield* device(bus, asBeat(beat(a, "n1", "host-1")))
        yield* device(bus, asBeat(beat(b, "n2", "host-2", protocolVersion + 1)))
        const c = DeviceId.make("pi-3")
        yield* device(bus, asBeat(beat(c, "n3", "host-3")))
        yield* device(bus, asBeat(beat(c, "n4", "host-4")))
        const found = yield* examinePeers(bus)
        assert.match(
          found.find((f) => f.name === a && f.status === "ok")?.detail ?? "",
          /^\d+\.\d ms, host-1/,
        )
        assert.include(found.find((f) => f.name === b && f.status === "failed")?.detail, "protocol")
        const twice = found.find((f) => f.detail.startsWith("is used by"))
        assert.strictEqual(twice?.detail, "is used by host-3 (pid 7) and host-4 (pid 7)")
      }),
    ),
  )
})

describe("doctor's report", () => {
  it.live("checks the installation first, goes on without a bus, and says what to do", () =>
    run(
      Effect.gen(function* () {
        const directory = mkdtempSync(join(tmpdir(), "murmuration-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
        const credentials = join(directory, "device.json")
        const port = yield* freePort
        writeFileSync(credentials, JSON.stringify({ servers: `nats://127.0.0.1:${port}`, device: a }))
        chmodSync(credentials, 0o644)
        const found = yield* examine({ credentials, nats: "", supernet: "" })
        assert.deepInclude(summary(found), {
          node: "ok",
          onnxruntime: "ok",
          sharp: "ok",
          "nats-server": "ok",
          credentials: "warning",
          port: "failed",
        })
        const text = report(found)
        assert.match(text, /chmod 600/)
        assert.match(text, /One thing is wrong/)
        const nothing = yield* examine({ credentials: join(directory, "none.json"), nats: "", supernet: "" })
        assert.strictEqual(summary(nothing)["credentials"], "failed")
      }),
    ),
  )

  it("compares versions by their numbers", () => {
    assert.isTrue(atLeast("2.9.10", "2.9.10"))
    assert.isTrue(atLeast("2.10.0", "2.9.10"))
    assert.isFalse(atLeast("2.9.9", "2.9.10"))
    assert.isTrue(atLeast("22.18.0-rc.1", "22.18.0"))
  })
})
