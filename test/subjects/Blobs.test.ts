import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { serverWith } from "../../deploy/LocalServer.ts"
import { freePort } from "../../deploy/NatsProcess.ts"
import { getBlob, putBlob } from "../../subjects/Blobs.ts"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import { objectStore } from "../../subjects/Subjects.ts"
import { connectAs, on } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

/** What the client library keeps open; it has no other way to ask. */
const subscriptions = (bus: BusShape): number =>
  (
    bus.nats as unknown as { protocol: { subscriptions: { size: () => number } } }
  ).protocol.subscriptions.size()

describe("a blob", () => {
  it.live("whose pieces never come leaves no subscription behind when nobody waits any more", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
      )
      const port = yield* freePort
      const hub = yield* serverWith(
        port,
        ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", directory],
        "hub",
      )
      const bus = yield* connectAs(Bus.layer({ servers: hub.url, firstConnectMs: 5000 }))
      const ref = yield* on(bus)(putBlob("policy", new Uint8Array(300_000).fill(7)))
      assert.strictEqual((yield* on(bus)(getBlob(ref))).length, 300_000)
      // As when it is replaced between the question and the pieces.
      const manager = yield* Effect.promise(() => bus.nats.jetstreamManager())
      yield* Effect.promise(() =>
        manager.streams.purge(`OBJ_${objectStore}`, { filter: `$O.${objectStore}.C.>` }),
      )
      const before = subscriptions(bus)
      const reading = yield* Effect.forkChild(on(bus)(getBlob(ref)), { startImmediately: true })
      yield* waitUntil("its subscription", () => subscriptions(bus) > before)
      yield* Fiber.interrupt(reading)
      yield* waitUntil("none", () => subscriptions(bus) === before)
    }).pipe(Effect.scoped),
  )
})
