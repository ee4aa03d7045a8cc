import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { plainServer } from "../../deploy/LocalServer.ts"
import { unlimited } from "../../devices/links/Direction.ts"
import { LinkShaper } from "../../devices/links/Shaper.ts"
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

/** As when it is replaced between the question and the pieces. */
const withoutPieces = (bus: BusShape) =>
  Effect.promise(async () => {
    const manager = await bus.nats.jetstreamManager()
    await manager.streams.purge(`OBJ_${objectStore}`, { filter: `$O.${objectStore}.C.>` })
  })

/** A server that keeps blobs. */
const hubServer = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
  )
  return yield* plainServer("-js", "-sd", directory)
})

/** The server's port behind a link of 8 Mbps: 7 pieces a second. */
const behindLink = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const direction = { ...unlimited, mbps: 8 }
      const target = { host: "127.0.0.1", port }
      return new LinkShaper({ target, settings: { up: direction, down: direction } })
    }),
    (shaper) => Effect.promise(() => shaper.close()),
  ).pipe(Effect.flatMap((shaper) => Effect.promise(() => shaper.listen())))

describe("a blob", () => {
  it.live("is waited for as long as its pieces come, and no longer", () =>
    Effect.gen(function* () {
      const hub = yield* hubServer
      const operator = yield* connectAs(Bus.layer({ servers: hub.url, firstConnectMs: 5000 }))
      const port = yield* behindLink(hub.port)
      const bus = yield* connectAs(Bus.layer({ servers: `nats://127.0.0.1:${port}`, firstConnectMs: 5000 }))
      const ref = yield* on(operator)(putBlob("large", new Uint8Array(3_000_000).fill(7)))
      const silenceMs = 2000
      const beganMs = performance.now()
      assert.strictEqual((yield* on(bus)(getBlob(ref, silenceMs))).length, ref.bytes)
      assert.isAbove(performance.now() - beganMs, silenceMs)
      yield* withoutPieces(operator)
      const error = yield* Effect.flip(on(operator)(getBlob(ref, 500)))
      assert.include(error.detail, "nothing came")
    }).pipe(Effect.scoped),
  )

  it.live("whose pieces never come leaves no subscription behind when nobody waits any more", () =>
    Effect.gen(function* () {
      const hub = yield* hubServer
      const bus = yield* connectAs(Bus.layer({ servers: hub.url, firstConnectMs: 5000 }))
      const ref = yield* on(bus)(putBlob("policy", new Uint8Array(300_000).fill(7)))
      assert.strictEqual((yield* on(bus)(getBlob(ref))).length, 300_000)
      yield* withoutPieces(bus)
      const before = subscriptions(bus)
      const reading = yield* Effect.forkChild(on(bus)(getBlob(ref)), { startImmediately: true })
      yield* waitUntil("its subscription", () => subscriptions(bus) > before)
      yield* Fiber.interrupt(reading)
      yield* waitUntil("none", () => subscriptions(bus) === before)
    }).pipe(Effect.scoped),
  )
})
