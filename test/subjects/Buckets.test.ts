import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { plainServer } from "../../deploy/LocalServer.ts"
import { createBuckets, fresh, type HubAnswer, hubVerdict, openBucket } from "../../subjects/Buckets.ts"
import { Bus } from "../../subjects/Bus.ts"
import { monotonicMs } from "../../subjects/Connection.ts"
import { deviceRecord } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { connectAs, on } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

const record = (hostname: string) => ({ device: DeviceId.make("pi-1"), hostname, profile: {} })

const storeDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)

describe("a watched bucket", () => {
  it.live("tells what is put after the hub lost its data, although revisions begin again", () =>
    Effect.gen(function* () {
      const directory = yield* storeDirectory
      const hub = yield* plainServer("-js", "-sd", directory)
      const bus = yield* connectAs(Bus.layer({ servers: hub.url, firstConnectMs: 5000 }))
      const bucket = yield* on(bus)(openBucket("devices", deviceRecord))
      const seen: Array<string> = []
      yield* bucket.changes.pipe(
        Stream.runForEach((c) => Effect.sync(() => void (c._tag === "Put" && seen.push(c.value.hostname)))),
        Effect.forkScoped({ startImmediately: true }),
      )
      const put = (hostname: string) =>
        Effect.andThen(on(bus)(createBuckets), bucket.put("pi-1", record(hostname)))
      assert.strictEqual(yield* put("before"), 1)
      yield* waitUntil("the first value", () => seen.includes("before"))
      yield* hub.kill
      yield* waitUntil("the loss is seen", () => !bus.isUp())
      const lostMs = monotonicMs()
      yield* waitUntil("the watcher has asked for it meanwhile", () => monotonicMs() - lostMs > 2500)
      rmSync(directory, { recursive: true })
      yield* hub.restart
      yield* bus.awaitUp
      assert.strictEqual(yield* Effect.retry(put("after"), { times: 20 }), 1)
      yield* waitUntil("the value after it", () => seen.includes("after"), 20_000)
    }).pipe(Effect.scoped),
  )

  it("remembers a bounded number of keys, those seen last", () => {
    const isNew = fresh(2)
    const created = new Date(0)
    const entries = ["a", "b", "a", "c", "a", "b"].map((key) => isNew({ key, revision: 1, created }))
    assert.deepStrictEqual(entries, [true, true, false, true, false, true])
  })
})

describe("the hub", () => {
  const after = (...answers: ReadonlyArray<HubAnswer>) => answers.map(hubVerdict())

  it("is not away because its answers are late, nor there because of it", () => {
    assert.deepStrictEqual(after("late", "answered", "late", "late", "answered"), [
      false,
      true,
      true,
      true,
      true,
    ])
  })

  it("is away at once where the bus finds nobody, and where nothing comes for long", () => {
    assert.deepStrictEqual(after("answered", "nobody", "late", "answered"), [true, false, false, true])
    const silent = after("answered", ...Array.from({ length: 8 }, () => "late" as const), "answered")
    assert.deepStrictEqual(silent.slice(-3), [true, false, true])
  })
})
