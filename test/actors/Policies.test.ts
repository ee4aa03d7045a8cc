import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, type Scope } from "effect"
import { pushPolicy, activatePolicy } from "../../cli/PolicyBucket.ts"
import { readPolicy } from "../../policies/PolicyArtifact.ts"
import { putBlob } from "../../subjects/Blobs.ts"
import type { BusShape } from "../../subjects/Bus.ts"
import { createBuckets, domainOf, openBucket } from "../../subjects/Buckets.ts"
import { policyManifest } from "../../subjects/Codecs.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import type { Finder } from "../../subjects/InferMessages.ts"
import { policyKeys } from "../../subjects/Manifests.ts"
import { objectStore } from "../../subjects/Subjects.ts"
import { tinySpec } from "../supernet/Tiny.ts"
import { connectAs, on } from "../support/Buses.ts"
import { ask, tensorOf, type TestDevice, type TestSwarm, withDevices } from "../support/Devices.ts"
import { untrainedPolicy } from "../support/TestPolicy.ts"
import { waitUntil } from "../support/Wait.ts"

const name = "untrained.latency"
const policy = (version: string, proposesLargest = false) =>
  Effect.promise(() =>
    untrainedPolicy(tinySpec, {
      version,
      seed: version.length,
      profile: "raspberry-pi-4",
      proposesLargest,
    }),
  )
const versionOf = (device: TestDevice) => device.self.counters.policy?.version
const uses = (device: TestDevice, version: string) =>
  waitUntil(`${device.id} uses policy ${version}`, () => versionOf(device) === version, 20_000)

/**
 * Resolves when the device has decided anew, and says that this is where its decision comes from. For itself alone: links that
 * are measured meanwhile would be other conditions.
 */
const decidesBy = ({ id, planner }: TestDevice, { devices }: TestSwarm, foundBy: Finder) => {
  const exclude = devices.map((d) => d.id).filter((other) => other !== id)
  const request = { requestId: RequestId.make("r"), slo: { latencyMs: 400 }, exclude }
  return planner.plan(request).pipe(
    Effect.filterOrFail((plan) => plan.foundBy === foundBy),
    Effect.retry({ times: 1000, schedule: Schedule.spaced("20 millis") }),
  )
}

const operator = (swarm: TestSwarm) =>
  Effect.gen(function* () {
    const bus = yield* connectAs(swarm.servers.operatorBus)
    yield* on(bus)(createBuckets)
    return bus
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)

/** A swarm of one device that keeps its policies in a directory. */
const withOneIn = (
  state: string,
  test: (swarm: TestSwarm, device: TestDevice, bus: BusShape) => Effect.Effect<void, unknown, Scope.Scope>,
) =>
  withDevices(
    1,
    (swarm) =>
      Effect.gen(function* () {
        const bus = yield* operator(swarm)
        const [device] = swarm.devices
        assert(device !== undefined)
        yield* test(swarm, device, bus)
      }),
    { device: { state } },
  )

/** An object whose content is gone: whoever reads it waits. */
const emptyObject = (bus: BusShape, object: string) =>
  Effect.promise(async () => {
    const info = await (await bus.nats.jetstream(domainOf(bus)).views.os(objectStore)).info(object)
    const manager = await bus.nats.jetstreamManager(domainOf(bus))
    await manager.streams.purge(`OBJ_${objectStore}`, { filter: `$O.${objectStore}.C.${info?.nuid}` })
  })

describe("policies at run time", () => {
  it.live("a pushed policy decides on every device, a newer one replaces it, a rollback brings it back", () =>
    withDevices(2, (swarm) =>
      Effect.gen(function* () {
        const bus = yield* operator(swarm)
        const everywhere = (version: string, foundBy: Finder) =>
          Effect.gen(function* () {
            yield* Effect.forEach(swarm.devices, (d) => uses(d, version))
            yield* Effect.forEach(swarm.devices, (d) => decidesBy(d, swarm, foundBy))
            const reply = yield* ask(swarm.clients[0], { tensor: tensorOf(64, 1), slo: { latencyMs: 60 } })
            assert.strictEqual(reply.device, swarm.devices[0]?.id)
          })
        // In so much time nothing is better than the largest submodel: what the first one proposes stands, and that of random
        // weights is worth less than what is known.
        yield* on(bus)(pushPolicy(yield* policy("one", true)))
        yield* everywhere("one", "policy")
        yield* on(bus)(pushPolicy(yield* policy("second")))
        yield* everywhere("second", "search")
        yield* on(bus)(activatePolicy(name, "one"))
        yield* everywhere("one", "policy")
      }),
    ),
  )

  it.live(
    "refuses a policy for another supernet and one whose bytes are not the manifest's, keeps the old one, says so",
    () =>
      withDevices(1, (swarm) =>
        Effect.gen(function* () {
          const bus = yield* operator(swarm)
          const [device] = swarm.devices
          assert(device !== undefined)
          const good = yield* policy("good")
          yield* on(bus)(pushPolicy(good))
          yield* uses(device, "good")
          const lastError = () => device.self.counters.lastError?.message ?? ""
          const other = {
            ...good,
            manifest: { ...good.manifest, version: "x", supernet: { name: "other", version: "9" } },
          }
          yield* on(bus)(pushPolicy(other))
          yield* waitUntil("the refusal to name the supernet", () => lastError().includes("supernet other 9"))
          const wrong = { ...good.manifest.onnx, sha256: "0".repeat(64) }
          const policies = yield* on(bus)(openBucket("policies", policyManifest))
          yield* policies.put(policyKeys.active(name), { ...good.manifest, version: "y", onnx: wrong })
          yield* waitUntil("the refusal to name the digest", () => lastError().includes("sha256"))
          assert.strictEqual(versionOf(device), "good")
          yield* ask(swarm.clients[0], { tensor: tensorOf(64, 1), slo: { latencyMs: 60 } })
        }),
      ),
  )

  it.live("a policy whose bytes cannot be had holds up neither its own correction nor another policy", () =>
    withDevices(1, (swarm) =>
      Effect.gen(function* () {
        const bus = yield* operator(swarm)
        const [device] = swarm.devices
        assert(device !== undefined)
        const [lost, good] = [yield* policy("lost"), yield* policy("corrected")]
        const first = yield* on(bus)(pushPolicy(yield* policy("one")))
        yield* uses(device, "one")
        yield* on(bus)(putBlob(lost.manifest.onnx.object, lost.onnx))
        yield* emptyObject(bus, lost.manifest.onnx.object)
        const policies = yield* on(bus)(openBucket("policies", policyManifest))
        yield* policies.put(policyKeys.active(name), { ...lost.manifest, files: first.files })
        const another = { ...good.manifest, name: "untrained.accuracy", kind: "accuracy" as const }
        yield* on(bus)(pushPolicy({ ...good, manifest: another }))
        const isAmong = () => device.self.counters.policy?.name.includes(another.name) === true
        yield* waitUntil("the other one to be used too", isAmong, 20_000)
        assert.strictEqual(versionOf(device), "one")
        yield* on(bus)(pushPolicy(good))
        yield* uses(device, "corrected")
      }),
    ),
  )

  it.live("a device pinned to a version stays there until it is unpinned", () =>
    withDevices(2, (swarm) =>
      Effect.gen(function* () {
        const bus = yield* operator(swarm)
        const [free, held] = swarm.devices
        assert(free !== undefined && held !== undefined)
        const first = yield* policy("one")
        yield* on(bus)(pushPolicy(first))
        yield* Effect.forEach(swarm.devices, (d) => uses(d, "one"))
        const policies = yield* on(bus)(openBucket("policies", policyManifest))
        yield* policies.put(policyKeys.pin(held.id, name), first.manifest)
        yield* on(bus)(pushPolicy(yield* policy("second")))
        yield* uses(free, "second")
        assert.strictEqual(versionOf(held), "one")
        yield* policies.remove(policyKeys.pin(held.id, name))
        yield* uses(held, "second")
      }),
    ),
  )

  it.live("a device that cannot keep a policy uses it all the same, and the next one too", () =>
    Effect.gen(function* () {
      const state = yield* temporary
      // A file where the directory of kept policies should be.
      writeFileSync(join(state, "policies"), "")
      yield* withOneIn(state, (_, device, bus) =>
        Effect.gen(function* () {
          for (const version of ["one", "second"]) {
            yield* on(bus)(pushPolicy(yield* policy(version)))
            yield* uses(device, version)
          }
        }),
      )
    }),
  )

  it.live(
    "a device that starts without the hub decides with the last good policy; one that was away catches up",
    () =>
      Effect.gen(function* () {
        const state = yield* temporary
        yield* withOneIn(state, (swarm, device, bus) =>
          Effect.gen(function* () {
            yield* on(bus)(pushPolicy(yield* policy("one")))
            yield* uses(device, "one")
            assert.strictEqual((yield* readPolicy(join(state, "policies", name))).manifest.version, "one")
            yield* device.leave
            yield* on(bus)(pushPolicy(yield* policy("second")))
            yield* swarm.servers.hub.kill
            const alone = yield* swarm.start(DeviceId.make("pi-1"))
            assert.strictEqual(versionOf(alone), "one")
            yield* swarm.servers.hub.restart
            yield* waitUntil("the device to catch up", () => versionOf(alone) === "second", 20_000)
          }),
        )
      }),
  )
})
