/** A hub and leaves as `deploy/` configures them, with all permissions, on free ports and in a temporary directory. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Layer, type Scope } from "effect"
import { freePort, type NatsServerFailed } from "../../deploy/NatsProcess.ts"
import { hubConfig, leafConfig, secretsOf } from "../../deploy/ServerConfig.ts"
import { newSwarm, type Swarm, users } from "../../deploy/Swarm.ts"
import { Bus } from "../../subjects/Bus.ts"
import type { CannotConnect } from "../../subjects/BusErrors.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { hubDomain } from "../../subjects/Subjects.ts"
import { serverWith, type TestServer } from "./NatsServer.ts"
import { waitUntil } from "./Wait.ts"

export interface TestSwarm {
  readonly swarm: Swarm
  readonly hub: TestServer
  readonly leaf: (device: DeviceId) => TestServer
  /** A device's own connection to its leaf. */
  readonly deviceBus: (device: DeviceId) => Layer.Layer<Bus, CannotConnect>
  /** A client of a device's leaf. */
  readonly clientBus: (device: DeviceId) => Layer.Layer<Bus, CannotConnect>
  /** The operator at the hub. */
  readonly operatorBus: Layer.Layer<Bus, CannotConnect>
  /** Resolves when every leaf is linked to the hub (again). */
  readonly linked: Effect.Effect<void>
}

export const ids = (...names: ReadonlyArray<string>): ReadonlyArray<DeviceId> =>
  names.map((name) => DeviceId.make(name))

const firstConnectMs = 10_000

/** Lines in a server's log that say that a leaf link is up, since the last time it went down. */
const isLinked = (server: TestServer): boolean => {
  const events = server.process().log.filter((l) => l.includes("Leafnode connection"))
  return (events.at(-1) ?? "").includes("created")
}

export const testSwarm = (
  devices: ReadonlyArray<DeviceId>,
): Effect.Effect<TestSwarm, NatsServerFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
    )
    const file = (name: string, text: string) => {
      const path = join(directory, name)
      writeFileSync(path, text, { mode: 0o600 })
      return path
    }
    const [clientPort, leafPort] = [yield* freePort, yield* freePort]
    const host = "127.0.0.1"
    const swarm = newSwarm({ host, devices, storeDir: join(directory, "jetstream"), clientPort, leafPort })
    const hub = yield* serverWith(clientPort, [
      "-c",
      file("hub.conf", hubConfig(swarm, { listenHost: host })),
    ])
    const leaves = new Map<DeviceId, TestServer>()
    for (const device of devices) {
      const port = yield* freePort
      const text = leafConfig(swarm, secretsOf(swarm, device), { clientPort: port })
      leaves.set(device, yield* serverWith(port, ["-c", file(`${device}.conf`, text)]))
    }
    const leaf = (device: DeviceId) => leaves.get(device) ?? hub
    const linked = Effect.forEach(
      devices,
      (d) => waitUntil(`${d} to be linked`, () => isLinked(leaf(d)), 15_000),
      {
        discard: true,
      },
    )
    yield* linked
    const { operatorPassword } = swarm.hub
    return {
      swarm,
      hub,
      leaf,
      linked,
      deviceBus: (device) => {
        const password = secretsOf(swarm, device).devicePassword
        return Bus.layer({
          servers: leaf(device).url,
          user: users.device,
          password,
          domain: hubDomain,
          firstConnectMs,
        })
      },
      clientBus: (device) => {
        const password = secretsOf(swarm, device).clientPassword
        return Bus.layer({ servers: leaf(device).url, user: users.client, password, firstConnectMs })
      },
      operatorBus: Bus.layer({
        servers: hub.url,
        user: users.operator,
        password: operatorPassword,
        firstConnectMs,
      }),
    }
  })
