/**
 * The servers of a swarm on this machine: a hub and a leaf per device, configured as for real devices with all their grants,
 * on free ports and in a temporary directory. For benches and tests that need no device processes.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Layer, Schedule, Scope } from "effect"
import { freePort, type NatsServerFailed, onFreePorts } from "./NatsProcess.ts"
import { hubConfig, leafConfig, secretsOf } from "./ServerConfig.ts"
import { deviceSecrets, newSwarm, type Swarm, type TlsFiles, users } from "./Swarm.ts"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import type { CannotConnect } from "../subjects/BusErrors.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { hubDomain } from "../subjects/Subjects.ts"
import { serverWith, type LocalServer } from "./LocalServer.ts"

export interface LocalSwarm {
  readonly swarm: () => Swarm
  /** A new device, as 'deploy init' adds it: the hub reads its new configuration without a restart, a leaf starts. */
  readonly add: (device: DeviceId) => Effect.Effect<void, NatsServerFailed>
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

export interface LocalSwarmOptions {
  /** Hub and leaves speak TLS and show each other certificates. */
  readonly tls?: TlsFiles
}

const host = "127.0.0.1"

const withTls = (swarm: Swarm, tls: TlsFiles | undefined): Swarm =>
  tls === undefined ? swarm : { ...swarm, hub: { ...swarm.hub, tls }, leafTls: tls }

export const localSwarm = (
  devices: ReadonlyArray<DeviceId>,
  options: LocalSwarmOptions = {},
): Effect.Effect<LocalSwarm, NatsServerFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.Scope
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
    )
    const file = (name: string, text: string) => {
      const path = join(directory, name)
      writeFileSync(path, text, { mode: 0o600 })
      return path
    }
    const hubFile = (of: Swarm) => file("hub.conf", hubConfig(of, { listenHost: host }))
    const begun = yield* onFreePorts(
      Effect.gen(function* () {
        const [clientPort, leafPort] = [yield* freePort, yield* freePort]
        const storeDir = join(directory, "jetstream")
        const swarm = withTls(newSwarm({ host, devices, storeDir, clientPort, leafPort }), options.tls)
        return { swarm, hub: yield* serverWith(clientPort, ["-c", hubFile(swarm)], "hub") }
      }),
    )
    const { hub } = begun
    let { swarm } = begun
    const leaves = new Map<DeviceId, LocalServer>()
    const startLeaf = Effect.fnUntraced(function* (device: DeviceId) {
      const port = yield* freePort
      const text = leafConfig(swarm, secretsOf(swarm, device), { clientPort: port })
      leaves.set(device, yield* serverWith(port, ["-c", file(`${device}.conf`, text)], "leaf"))
    }, onFreePorts)
    yield* Effect.forEach(devices, startLeaf)
    const leaf = (device: DeviceId) => leaves.get(device) ?? hub
    const linked = Effect.suspend(() =>
      Effect.forEach(leaves, ([device, server]) => untilLinked(device, server), { discard: true }),
    )
    yield* linked
    const connection = (servers: string, user: string, password: string) => ({
      servers,
      user,
      password,
      firstConnectMs,
    })
    const deviceOptions = (device: DeviceId): BusOptions => ({
      ...connection(leaf(device).url, users.device, secretsOf(swarm, device).devicePassword),
      domain: hubDomain,
    })
    return {
      swarm: () => swarm,
      add: (device) =>
        Effect.gen(function* () {
          swarm = { ...swarm, devices: [...swarm.devices, deviceSecrets(device)] }
          hubFile(swarm)
          hub.process().signal("SIGHUP")
          yield* Scope.provide(startLeaf(device), scope)
          yield* linked
        }),
      hub,
      leaf,
      linked,
      deviceOptions,
      deviceBus: (device) => Bus.layer(deviceOptions(device)),
      clientBus: (device) =>
        Bus.layer(connection(leaf(device).url, users.client, secretsOf(swarm, device).clientPassword)),
      operatorBus: Bus.layer(connection(hub.url, users.operator, swarm.hub.operatorPassword)),
    }
  })
