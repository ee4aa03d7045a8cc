/**
 * The servers of a swarm on this machine: a hub and a leaf per device, configured as for real devices with all their grants,
 * on free ports and in a temporary directory. For benches and tests that need no device processes.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Layer, Schedule, type Scope } from "effect"
import { freePort, type NatsServerFailed } from "./NatsProcess.ts"
import { hubConfig, leafConfig, secretsOf } from "./ServerConfig.ts"
import { newSwarm, type Swarm, users } from "./Swarm.ts"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import type { CannotConnect } from "../subjects/BusErrors.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { hubDomain } from "../subjects/Subjects.ts"
import { serverWith, type LocalServer } from "./LocalServer.ts"

export interface LocalSwarm {
  readonly swarm: Swarm
  readonly hub: LocalServer
  readonly leaf: (device: DeviceId) => LocalServer
  /** A device's own connection to its leaf. */
  readonly deviceOptions: (device: DeviceId) => BusOptions
  readonly deviceBus: (device: DeviceId) => Layer.Layer<Bus, CannotConnect>
  /** A client of a device's leaf. */
  readonly clientBus: (device: DeviceId) => Layer.Layer<Bus, CannotConnect>
  /** The operator at the hub. */
  readonly operatorBus: Layer.Layer<Bus, CannotConnect>
  /** Resolves when every leaf is linked to the hub (again). */
  readonly linked: Effect.Effect<void>
}

const firstConnectMs = 10_000

/** Lines in a server's log that say that a leaf link is up, since the last time it went down. */
const isLinked = (server: LocalServer): boolean => {
  const events = server.process().log.filter((l) => l.includes("Leafnode connection"))
  return (events.at(-1) ?? "").includes("created")
}

const linkLimit = "15 seconds"

const untilLinked = (device: DeviceId, leaf: LocalServer): Effect.Effect<void> =>
  Effect.sync(() => isLinked(leaf)).pipe(
    Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: (linked: boolean) => linked }),
    Effect.timeoutOrElse({
      duration: linkLimit,
      orElse: () => Effect.die(new Error(`${device} was not linked to the hub within ${linkLimit}`)),
    }),
    Effect.asVoid,
  )

export const localSwarm = (
  devices: ReadonlyArray<DeviceId>,
): Effect.Effect<LocalSwarm, NatsServerFailed, Scope.Scope> =>
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
    const leaves = new Map<DeviceId, LocalServer>()
    for (const device of devices) {
      const port = yield* freePort
      const text = leafConfig(swarm, secretsOf(swarm, device), { clientPort: port })
      leaves.set(device, yield* serverWith(port, ["-c", file(`${device}.conf`, text)]))
    }
    const leaf = (device: DeviceId) => leaves.get(device) ?? hub
    const linked = Effect.forEach(devices, (d) => untilLinked(d, leaf(d)), {
      discard: true,
    })
    yield* linked
    const { operatorPassword } = swarm.hub
    const deviceOptions = (device: DeviceId): BusOptions => ({
      servers: leaf(device).url,
      user: users.device,
      password: secretsOf(swarm, device).devicePassword,
      domain: hubDomain,
      firstConnectMs,
    })
    return {
      swarm,
      hub,
      leaf,
      linked,
      deviceOptions,
      deviceBus: (device) => Bus.layer(deviceOptions(device)),
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
