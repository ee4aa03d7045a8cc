import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { initDeployment } from "../../deploy/Init.ts"
import { serverRuntime } from "../../deploy/NatsProcess.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"

const script = join(import.meta.dirname, "../../deploy/install.sh")

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)
const install = (root: string, ...args: ReadonlyArray<string>) =>
  spawnSync("sh", [script, ...args], { env: { ...process.env, DESTDIR: root }, encoding: "utf8" })

describe("install script", () => {
  it.effect("puts configuration, program and units of a device where the units look for them", () =>
    Effect.gen(function* () {
      const [directory, root] = [yield* temporary, yield* temporary]
      yield* initDeployment({ directory, devices: [DeviceId.make("pi-1")], host: "hub.local" })
      writeFileSync(join(directory, "pi-1", "node.key"), "a key")
      const done = install(root, "device", join(directory, "pi-1"))
      assert.strictEqual(done.status, 0, done.stderr)
      for (const name of ["leaf.conf", "device.json", "client.json", "node.key"]) {
        assert.strictEqual(statSync(join(root, "etc/murmuration", name)).mode & 0o777, 0o600)
      }
      const unit = (name: string) => readFileSync(join(root, "etc/systemd/system", name), "utf8")
      const started = [unit("murmuration.service"), unit("murmuration-leaf.service")].join("\n")
      for (const path of ["/etc/murmuration/device.json", "/etc/murmuration/leaf.conf", "/opt/murmuration"]) {
        assert.include(started, path)
        assert.isTrue(existsSync(join(root, path)), path)
      }
      for (const [name, value] of Object.entries(serverRuntime.leaf)) {
        assert.include(unit("murmuration-leaf.service"), `${name}=${value}`)
      }
      const command = join(root, readlinkSync(join(root, "usr/local/bin/murmuration")))
      assert.strictEqual(statSync(command).mode & 0o111, 0o111)
      assert.isFalse(existsSync(join(root, "opt/murmuration/node_modules")))
      assert.isFalse(existsSync(join(root, "etc/systemd/system/murmuration-hub.service")))
    }).pipe(Effect.scoped),
  )

  it.effect("installs a hub without the program, and explains wrong usage", () =>
    Effect.gen(function* () {
      const [directory, root] = [yield* temporary, yield* temporary]
      yield* initDeployment({ directory, devices: [], host: "hub.local" })
      assert.strictEqual(install(root, "hub", join(directory, "hub")).status, 0)
      const unit = readFileSync(join(root, "etc/systemd/system/murmuration-hub.service"), "utf8")
      for (const [name, value] of Object.entries(serverRuntime.hub)) assert.include(unit, `${name}=${value}`)
      assert.isFalse(existsSync(join(root, "opt")))
      const wrong = install(root, "leaf", join(directory, "hub"))
      assert.strictEqual(wrong.status, 1)
      assert.include(wrong.stderr, "usage:")
      assert.include(install(root, "device", join(directory, "hub")).stderr, "leaf.conf")
    }).pipe(Effect.scoped),
  )

  it.effect(
    "on a machine that is hub and device, clients go through the leaf, in whatever order it is run",
    () =>
      Effect.gen(function* () {
        const [directory, root] = [yield* temporary, yield* temporary]
        yield* initDeployment({
          directory,
          devices: [DeviceId.make("pi-1")],
          host: "pi-1.local",
          hubPort: 4223,
        })
        const steps = [
          ["hub", "hub"],
          ["device", "pi-1"],
          ["hub", "hub"],
        ] as const
        for (const [role, name] of steps) {
          const done = install(root, role, join(directory, name))
          assert.strictEqual(done.status, 0, done.stderr)
        }
        const at = (path: string) => readFileSync(join(root, path), "utf8")
        assert.strictEqual(
          at("etc/murmuration/client.json"),
          readFileSync(join(directory, "pi-1/client.json"), "utf8"),
        )
        assert.include(at("etc/murmuration/hub.conf"), "4223")
      }).pipe(Effect.scoped),
  )
})
