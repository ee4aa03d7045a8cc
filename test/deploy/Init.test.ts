import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { initDeployment, type InitOptions } from "../../deploy/Init.ts"
import { isExposed, readCredentials } from "../../subjects/Credentials.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const [a, b, c] = [DeviceId.make("pi-1"), DeviceId.make("pi-2"), DeviceId.make("pi-3")]

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)
const filesOf = (directory: string) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name))

describe("deploy init", () => {
  it.effect("writes a directory for the hub and one per device, readable by the owner only", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      // What a run that was cut off may leave: neither used nor kept.
      writeFileSync(join(directory, "swarm.json.new"), "{", { mode: 0o644 })
      yield* initDeployment({ directory, devices: [a, b], host: "hub.local" })
      const files = filesOf(directory)
        .map((f) => f.slice(directory.length + 1))
        .sort()
      assert.deepStrictEqual(files, [
        "hub/client.json",
        "hub/hub.conf",
        "hub/operator.json",
        "pi-1/client.json",
        "pi-1/device.json",
        "pi-1/leaf.conf",
        "pi-2/client.json",
        "pi-2/device.json",
        "pi-2/leaf.conf",
        "swarm.json",
      ])
      for (const file of filesOf(directory)) {
        assert.strictEqual(statSync(file).mode & 0o777, 0o600, file)
        assert.isFalse(isExposed(file))
      }
      const credentials = yield* readCredentials(join(directory, "pi-1/device.json"))
      assert.strictEqual(credentials.device, a)
      assert.strictEqual(credentials.domain, "hub")
    }).pipe(Effect.scoped),
  )

  it.effect("run again with another device keeps all secrets and adds its own", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const before = yield* initDeployment({ directory, devices: [a, b], host: "hub.local" })
      const kept = readFileSync(join(directory, "pi-1/leaf.conf"), "utf8")
      const after = yield* initDeployment({ directory, devices: [b, c] })
      assert.deepStrictEqual(after.added, [c])
      assert.deepStrictEqual(after.swarm.devices.slice(0, 2), before.swarm.devices)
      assert.strictEqual(readFileSync(join(directory, "pi-1/leaf.conf"), "utf8"), kept)
      assert.include(readFileSync(join(directory, "hub/hub.conf"), "utf8"), `user: "pi-3"`)
    }).pipe(Effect.scoped),
  )

  it.effect("makes room on a machine that is hub and device: the hub's port is said once, and kept", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* initDeployment({ directory, devices: [a], host: "pi-1.local", hubPort: 4223 })
      yield* initDeployment({ directory, devices: [b] })
      const text = (name: string) => readFileSync(join(directory, name), "utf8")
      assert.include(text("hub/hub.conf"), `listen: "0.0.0.0:4223"`)
      assert.include(text("hub/operator.json"), "nats://pi-1.local:4223")
      assert.include(text("pi-1/leaf.conf"), `listen: "127.0.0.1:4222"`)
      assert.include(text("pi-1/device.json"), "nats://127.0.0.1:4222")
    }).pipe(Effect.scoped),
  )

  it.effect("gives no two users the same secret, and no device another's", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { swarm } = yield* initDeployment({ directory, devices: [a, b], host: "hub.local" })
      const { operatorPassword, clientPassword, systemPassword } = swarm.hub
      const ofDevices = swarm.devices.flatMap((d) => [d.linkPassword, d.devicePassword, d.clientPassword])
      const all = [operatorPassword, clientPassword, systemPassword, ...ofDevices]
      assert.strictEqual(new Set(all).size, all.length)
      const own = new Set(Object.values(swarm.devices[0] ?? {}))
      const text = filesOf(join(directory, "pi-1"))
        .map((f) => readFileSync(f, "utf8"))
        .join("\n")
      for (const secret of all) assert.strictEqual(text.includes(secret), own.has(secret as never))
    }).pipe(Effect.scoped),
  )

  it.effect("refuses what cannot work, says why, and writes nothing", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const tls = { caFile: "/ca.pem", certFile: "/cert.pem", keyFile: "/key.pem" }
      const wrong: ReadonlyArray<readonly [Partial<InitOptions>, string]> = [
        ...["", "hub.local:4222", "nats://hub.local", "fe80::1", "[::1]", "192.168.1.300", "a b", "-hub"].map(
          (host) => [{ host }, "no host name"] as const,
        ),
        [{ hubPort: 7422 }, "7422"],
        ...["hub", "operator", "client", "system"].map(
          (id) => [{ devices: [a, DeviceId.make(id)] }, `'${id}'`] as const,
        ),
        [{ hubTls: tls }, "the hub only"],
        [{ leafTls: tls }, "the leaves only"],
      ]
      for (const [options, said] of wrong) {
        const error = yield* Effect.flip(
          initDeployment({ directory, devices: [a], host: "hub.local", ...options }),
        )
        assert.include(error.message, said)
        assert.isNotEmpty(error.hint)
        assert.isEmpty(filesOf(directory))
      }
      for (const host of ["192.168.1.10", "hub", "hub.local", "Pi-1.example.org"]) {
        yield* initDeployment({ directory: join(directory, host), devices: [a], host })
      }
      yield* initDeployment({ directory, devices: [a], host: "hub.local", hubTls: tls, leafTls: tls })
    }).pipe(Effect.scoped),
  )

  it.effect("says what is missing: the hub's address, or a readable state", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const error = yield* Effect.flip(initDeployment({ directory, devices: [a] }))
      assert.include(error.hint, "--hub")
    }).pipe(Effect.scoped),
  )
})
