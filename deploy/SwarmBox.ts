/**
 * A swarm in a box: on one machine, as real processes, a hub with JetStream, and per device a leaf node, a link shaper
 * between leaf and hub, and `murmuration up`. Used by the demo, the benches and the tests; whatever it starts ends with its
 * scope. Links and devices can be changed, cut, frozen and killed while it runs.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Deferred, Effect, Layer, Scope } from "effect"
import {
  linkChange,
  type ShapedLink,
  type ShaperProcess,
  startShaper,
} from "../devices/links/ShaperProcess.ts"
import type { Link } from "../devices/latency/Condition.ts"
import { createBuckets } from "../subjects/Buckets.ts"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type BoxDevice, type DeviceFailed, startDevice } from "./DeviceProcess.ts"
import {
  freePort,
  type NatsProcess,
  natsProcess,
  type NatsServerFailed,
  onFreePorts,
  type ServerRole,
} from "./NatsProcess.ts"
import { hubConfig, leafConfig, secretsOf } from "./ServerConfig.ts"
import { newSwarm, type Swarm, users } from "./Swarm.ts"

export interface BoxOptions {
  readonly devices: ReadonlyArray<BoxDevice>
  /** Artifact directory; default: the project's. */
  readonly supernet?: string
  /** Lines that a device prints, for whoever wants to show them. */
  readonly onLine?: (device: DeviceId, line: string) => void
}

export interface BoxDeviceHandle {
  readonly id: DeviceId
  readonly pid: () => number
  readonly leaf: () => NatsProcess
  /** Absent for a device without a shaped link. */
  readonly link: ShapedLink | undefined
  readonly setLink: (link: Link) => Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => void
  /** Exit code, once the process has ended. */
  readonly exited: Effect.Effect<number>
  /** Starts the process again after its end; resolves when it is up. */
  readonly start: Effect.Effect<void, DeviceFailed>
  readonly startLeaf: Effect.Effect<void, NatsServerFailed>
  /** For a client of this device's leaf. */
  readonly client: BusOptions
}

export interface SwarmBox {
  readonly swarm: Swarm
  readonly devices: ReadonlyArray<BoxDeviceHandle>
  readonly device: (id: DeviceId) => BoxDeviceHandle
  readonly hub: () => NatsProcess
  readonly startHub: Effect.Effect<void, NatsServerFailed>
  /** For an operator at the hub: sees everything. */
  readonly operator: BusOptions
}

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)

/** The box's directory, its servers' addresses, and the scope in which everything runs. */
interface Ground {
  readonly options: BoxOptions
  readonly swarm: Swarm
  readonly directory: string
  readonly leafPort: number
  readonly scope: Scope.Scope
  readonly shaper: ShaperProcess | undefined
}

const host = "127.0.0.1"
const firstConnectMs = 10_000

const writeConfig = (directory: string, name: string, text: string): string => {
  const path = join(directory, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

/** A device with its leaf and its link; resolves when it is up. */
const startOne = Effect.fnUntraced(function* (ground: Ground, device: BoxDevice) {
  const { options, swarm, directory, leafPort, scope, shaper } = ground
  const { id, link } = device
  const secrets = secretsOf(swarm, id)
  const target = { host, port: leafPort }
  const opened =
    shaper === undefined || link === undefined
      ? undefined
      : yield* Effect.promise(() => shaper.open({ name: id, target, set: linkChange(link) }))
  const hubAddress = `${host}:${opened?.port ?? leafPort}`
  const { port, leaf } = yield* onFreePorts(
    Effect.gen(function* () {
      const clientPort = yield* freePort
      const config = writeConfig(
        directory,
        `${id}.conf`,
        leafConfig(swarm, secrets, { clientPort, hubAddress }),
      )
      return { port: clientPort, leaf: yield* restartable(scope, ["-c", config], "leaf") }
    }),
  )
  const nats = `nats://${host}:${port}`
  const state = join(directory, `${id}-state`)
  const password = secrets.devicePassword
  const start = { device, supernet: options.supernet, nats, password, state, onLine: options.onLine }
  const begin = Scope.provide(startDevice(start), scope)
  let running = yield* begin
  const handle: BoxDeviceHandle = {
    id,
    pid: () => running.child.pid ?? 0,
    leaf: leaf.current,
    link: opened,
    setLink: (next) =>
      opened === undefined ? Effect.void : Effect.promise(() => opened.set(linkChange(next))),
    signal: (signal) => void running.child.kill(signal),
    exited: Effect.suspend(() => Deferred.await(running.exited)),
    start: Effect.map(begin, (next) => {
      running = next
    }),
    startLeaf: leaf.start,
    client: { servers: nats, user: users.client, password: secrets.clientPassword, firstConnectMs },
  }
  return handle
})

/** A new swarm, and its hub. */
const startHub = (options: BoxOptions, directory: string, scope: Scope.Scope) =>
  onFreePorts(
    Effect.gen(function* () {
      const [clientPort, leafPort] = [yield* freePort, yield* freePort]
      const devices = options.devices.map((d) => d.id)
      const storeDir = join(directory, "jetstream")
      const swarm = newSwarm({ host, devices, storeDir, clientPort, leafPort })
      const file = writeConfig(directory, "hub.conf", hubConfig(swarm, { listenHost: host }))
      return { swarm, clientPort, leafPort, hub: yield* restartable(scope, ["-c", file], "hub") }
    }),
  )

/** Starts everything and resolves when every device is up. */
export const swarmBox = (options: BoxOptions) =>
  Effect.gen(function* () {
    const directory = yield* temporaryDirectory
    const scope = yield* Scope.Scope
    const { swarm, hub, clientPort, leafPort } = yield* startHub(options, directory, scope)
    const shaped = options.devices.some((d) => d.link !== undefined)
    const shaper = shaped
      ? yield* Effect.acquireRelease(Effect.sync(startShaper), (s) => Effect.promise(() => s.stop()))
      : undefined
    const operator: BusOptions = {
      servers: `nats://${host}:${clientPort}`,
      user: users.operator,
      password: swarm.hub.operatorPassword,
      firstConnectMs,
    }
    yield* Effect.provide(createBuckets, Layer.fresh(Bus.layer(operator)))
    const ground: Ground = { options, swarm, directory, leafPort, scope, shaper }
    const devices = yield* Effect.forEach(options.devices, (d) => startOne(ground, d), { concurrency: 2 })
    const box: SwarmBox = {
      swarm,
      devices,
      device: (id) => {
        const found = devices.find((d) => d.id === id)
        if (found === undefined) throw new RangeError(`no device ${id} in this box`)
        return found
      },
      hub: hub.current,
      startHub: hub.start,
      operator,
    }
    return box
  })

/** A nats-server that may be started again with the same arguments after its end. */
const restartable = Effect.fnUntraced(function* (
  scope: Scope.Scope,
  args: ReadonlyArray<string>,
  role: ServerRole,
) {
  const begin = Scope.provide(natsProcess(args, role), scope)
  let current = yield* begin
  return {
    current: () => current,
    start: Effect.map(begin, (next) => {
      current = next
    }),
  }
})
