import { spawnSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
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
const run = (program: string, root: string, ...args: ReadonlyArray<string>) =>
  spawnSync("sh", [program, ...args], { env: { ...process.env, DESTDIR: root }, encoding: "utf8" })
const install = (root: string, ...args: ReadonlyArray<string>) => run(script, root, ...args)

/** A project of a few files, as an uploader with a lax umask and an id of his own may have copied it. */
const copiedProject = (project: string, files: Readonly<Record<string, number>>) => {
  cpSync(dirname(script), join(project, "deploy"), { recursive: true })
  for (const [name, mode] of Object.entries(files)) {
    const path = join(project, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, "")
    chmodSync(path, mode)
    // Only root may, and where it does it is root's install that must not keep it.
    if (process.getuid?.() === 0) chownSync(path, 12_345, 12_345)
  }
}

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
      assert.strictEqual(started.match(/^StartLimitIntervalSec=0\n\n\[Service\]/gm)?.length, 2)
      assert.notInclude(started, "ReadWritePaths")
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
      const operator = join(root, "etc/murmuration/operator.json")
      mkdirSync(dirname(operator), { recursive: true })
      writeFileSync(operator, "as earlier versions left it")
      assert.strictEqual(install(root, "hub", join(directory, "hub")).status, 0)
      assert.isTrue(existsSync(join(root, "etc/murmuration/client.json")))
      assert.isFalse(existsSync(operator))
      const unit = readFileSync(join(root, "etc/systemd/system/murmuration-hub.service"), "utf8")
      assert.match(unit, /^StartLimitIntervalSec=0\n\n\[Service\]/m)
      for (const [name, value] of Object.entries(serverRuntime.hub)) assert.include(unit, `${name}=${value}`)
      assert.isFalse(existsSync(join(root, "opt")))
      for (const args of [[], ["hub"], ["leaf", join(directory, "hub")]]) {
        const wrong = install(root, ...args)
        assert.strictEqual(wrong.status, 1)
        assert.include(wrong.stderr, "usage:")
      }
      assert.include(install(root, "device", join(directory, "hub")).stderr, "leaf.conf")
    }).pipe(Effect.scoped),
  )

  it.effect(
    "makes the program the installer's own, and runs nothing that the service could have left in it",
    () =>
      Effect.gen(function* () {
        const [directory, root, project] = [yield* temporary, yield* temporary, yield* temporary]
        yield* initDeployment({ directory, devices: [DeviceId.make("pi-1")], host: "hub.local" })
        copiedProject(project, {
          "cli/murmuration.mjs": 0o777,
          "cli/main.ts": 0o666,
          "my-swarm/swarm.json": 0o600,
          "demo-client.json": 0o600,
          ".cache/stripped/cli/main.ts.js": 0o666,
        })
        const program = join(root, "opt/murmuration")
        const left = join(program, ".cache/stripped/cli/main.ts.js")
        mkdirSync(dirname(left), { recursive: true })
        writeFileSync(left, "as the service may have left it")
        const done = run(join(project, "deploy/install.sh"), root, "device", join(directory, "pi-1"))
        assert.strictEqual(done.status, 0, done.stderr)
        const modes = { "cli/murmuration.mjs": 0o755, "cli/main.ts": 0o644, "my-swarm/swarm.json": 0o600 }
        for (const [name, mode] of Object.entries(modes)) {
          const found = statSync(join(program, name))
          assert.strictEqual(found.mode & 0o777, mode, name)
          assert.strictEqual(found.uid, process.getuid?.())
        }
        assert.isFalse(existsSync(left))
        assert.isFalse(existsSync(join(program, "demo-client.json")))
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
