/** Ports that were free a moment ago: what happens where somebody else takes one before the server does. */
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { serverWith } from "../../deploy/LocalServer.ts"
import { freePort, natsProcess, NatsServerFailed, onFreePorts } from "../../deploy/NatsProcess.ts"

/** A port that this process has. */
const takenPort = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    return server
  }),
  (server) => Effect.sync(() => server.close()),
).pipe(Effect.map((server) => (server.address() as AddressInfo).port))

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)

/** A server on the first of these ports, then on the next: and how often it was begun. */
const beginning = (ports: ReadonlyArray<number>) => {
  const begun: Array<number> = []
  const begin = Effect.gen(function* () {
    const port = ports[begun.length] ?? (yield* freePort)
    begun.push(port)
    return yield* serverWith(port, ["-a", "127.0.0.1", "-p", String(port)], "hub")
  })
  return { begun, begin }
}

describe("a server whose port somebody else took", () => {
  it.live("is begun again on another one, and runs there", () =>
    Effect.gen(function* () {
      const taken = yield* takenPort
      const { begun, begin } = beginning([taken, taken])
      const server = yield* onFreePorts(begin)
      assert.deepStrictEqual(begun, [taken, taken, server.port])
      assert.notStrictEqual(server.port, taken)
      assert.isTrue(server.process().running())
    }).pipe(Effect.scoped),
  )

  it.live("is given up after some tries, with what it said", () =>
    Effect.gen(function* () {
      const taken = yield* takenPort
      const { begun, begin } = beginning(Array.from({ length: 100 }, () => taken))
      const error = yield* Effect.flip(onFreePorts(begin))
      assert.instanceOf(error, NatsServerFailed)
      assert.include(error.message, "address already in use")
      assert.isBelow(begun.length, 10)
    }).pipe(Effect.scoped),
  )

  it.live("is told from one that cannot run at all, which is not tried again", () =>
    Effect.gen(function* () {
      let begun = 0
      const begin = Effect.suspend(() => {
        begun++
        return natsProcess(["--no-such-flag"], "hub")
      })
      assert.instanceOf(yield* Effect.flip(onFreePorts(begin)), NatsServerFailed)
      assert.strictEqual(begun, 1)
    }).pipe(Effect.scoped),
  )

  it.live("is known by the port for leaves, too", () =>
    Effect.gen(function* () {
      const [taken, directory] = [yield* takenPort, yield* temporaryDirectory]
      let begun = 0
      const begin = Effect.gen(function* () {
        const [port, leafPort] = [yield* freePort, begun++ === 0 ? taken : yield* freePort]
        const file = join(directory, "hub.conf")
        const listen = (p: number) => `listen: "127.0.0.1:${p}"`
        writeFileSync(file, `${listen(port)}\nleafnodes { ${listen(leafPort)} }\n`)
        return yield* natsProcess(["-c", file], "hub")
      })
      const server = yield* onFreePorts(begin)
      assert.strictEqual(begun, 2)
      assert.isTrue(server.running())
    }).pipe(Effect.scoped),
  )
})
