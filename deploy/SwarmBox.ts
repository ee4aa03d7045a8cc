/**
 * A swarm in a box: on one machine, as real processes, a hub with JetStream, and per device a leaf node, a link shaper
 * between leaf and hub, and `murmuration up`. Used by the demo, the benches and the tests; whatever it starts ends with its
 * scope. Links and devices can be changed, cut, frozen and killed while it runs.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Deferred, Effect, Layer, Schema, Scope } from "effect"
import { linkChange, type ShapedLink, startShaper } from "../devices/links/ShaperProcess.ts"
import type { Link } from "../devices/latency/Condition.ts"
import { createBuckets } from "../subjects/Buckets.ts"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import {
  freePort,
  type NatsProcess,
  natsProcess,
  type NatsServerFailed,
  type ServerRole,
} from "./NatsProcess.ts"
import { eachLine } from "./Lines.ts"
import { hubConfig, leafConfig, secretsOf } from "./ServerConfig.ts"
import { newSwarm, type Swarm, users } from "./Swarm.ts"

export interface BoxDevice {
  readonly id: DeviceId
  readonly profile: string
  /** Default true: results are held until the profile's time has passed. */
  readonly emulate?: boolean
  readonly slow?: number
  /** Absent: no shaper, the leaf connects to the hub directly. */
  readonly link?: Link
  /** Further flags of `murmuration up`. */
  readonly flags?: ReadonlyArray<string>
}

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

export class DeviceFailed extends Schema.TaggedError<DeviceFailed>()("DeviceFailed", {
  device: Schema.String,
  detail: Schema.String,
  log: Schema.Array(Schema.String),
}) {
  override get message() {
    return [`device ${this.device}: ${this.detail}`, ...this.log.slice(-8)].join("\n  ")
  }
}

const commandLine = join(dirname(dirname(fileURLToPath(import.meta.url))), "cli", "main.ts")
const upLimitMs = 120_000
const stopLimitMs = 8000

interface Running {
  readonly child: ChildProcess
  readonly exited: Deferred.Deferred<number>
}

/** The user's environment without what says how to get into another swarm: the box has users of its own. */
const environment = (): NodeJS.ProcessEnv => {
  const { MURMURATION_CREDENTIALS: _, MURMURATION_USER: __, ...rest } = process.env
  return rest
}

/** Starts `murmuration up` and resolves when it says that it is up. */
const startDevice = (box: BoxOptions, device: BoxDevice, nats: string, password: string, state: string) =>
  Effect.callback<Running, DeviceFailed>((resume) => {
    const slow = device.slow === undefined ? [] : ["--slow", String(device.slow)]
    const supernet = box.supernet === undefined ? [] : ["--supernet", box.supernet]
    const emulate = device.emulate === false ? [] : ["--emulate"]
    const flags = [
      "--device",
      device.id,
      "--nats",
      nats,
      "--profile",
      device.profile,
      ...emulate,
      ...slow,
      ...supernet,
    ]
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", commandLine, "up", ...flags, ...(device.flags ?? [])],
      {
        stdio: ["ignore", "pipe", "pipe"],
        // As the systemd unit: with more arenas, sessions that come and go leave holes behind, and the process grows for hours.
        env: {
          MALLOC_ARENA_MAX: "2",
          ...environment(),
          MURMURATION_PASSWORD: password,
          MURMURATION_STATE: state,
        },
      },
    )
    const log: Array<string> = []
    const exited = Deferred.makeUnsafe<number>()
    const fail = (detail: string) => resume(Effect.fail(new DeviceFailed({ device: device.id, detail, log })))
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      fail(`not up within ${upLimitMs} ms`)
    }, upLimitMs)
    eachLine(child, (line) => {
      log.push(line)
      if (log.length > 200) log.shift()
      box.onLine?.(device.id, line)
      if (!line.startsWith(`${device.id} is up`)) return
      clearTimeout(timer)
      resume(Effect.succeed({ child, exited }))
    })
    child.once("exit", (code, signal) => {
      clearTimeout(timer)
      Deferred.doneUnsafe(exited, Effect.succeed(code ?? (signal === "SIGKILL" ? 137 : 1)))
      fail(`ended with ${signal ?? `code ${code}`} before it was up`)
    })
  })

/** SIGTERM, and SIGKILL where that does not help: a frozen process cannot leave politely. */
const stopDevice = ({ child, exited }: Running) =>
  Effect.sync(() => {
    child.kill("SIGCONT")
    child.kill("SIGTERM")
  }).pipe(
    Effect.andThen(Deferred.await(exited)),
    Effect.timeoutOrElse({
      duration: stopLimitMs,
      orElse: () =>
        Effect.andThen(
          Effect.sync(() => child.kill("SIGKILL")),
          Deferred.await(exited),
        ),
    }),
  )

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)

/** Starts everything and resolves when every device is up. */
export const swarmBox = (options: BoxOptions) =>
  Effect.gen(function* () {
    const directory = yield* temporaryDirectory
    const file = (name: string, text: string) => {
      const path = join(directory, name)
      writeFileSync(path, text, { mode: 0o600 })
      return path
    }
    const scope = yield* Scope.Scope
    const [clientPort, leafPort] = [yield* freePort, yield* freePort]
    const host = "127.0.0.1"
    const ids = options.devices.map((d) => d.id)
    const swarm = newSwarm({
      host,
      devices: ids,
      storeDir: join(directory, "jetstream"),
      clientPort,
      leafPort,
    })
    const hubFile = file("hub.conf", hubConfig(swarm, { listenHost: host }))
    const hub = yield* restartable(scope, ["-c", hubFile], "hub")
    const shaped = options.devices.some((d) => d.link !== undefined)
    const shaper = shaped
      ? yield* Effect.acquireRelease(Effect.sync(startShaper), (s) => Effect.promise(() => s.stop()))
      : undefined

    const startOne = Effect.fnUntraced(function* (device: BoxDevice) {
      const { id, link } = device
      const secrets = secretsOf(swarm, id)
      const target = { host, port: leafPort }
      const opened =
        shaper === undefined || link === undefined
          ? undefined
          : yield* Effect.promise(() => shaper.open({ name: id, target, set: linkChange(link) }))
      const port = yield* freePort
      const hubAddress = `${host}:${opened?.port ?? leafPort}`
      const leafFile = file(`${id}.conf`, leafConfig(swarm, secrets, { clientPort: port, hubAddress }))
      const leaf = yield* restartable(scope, ["-c", leafFile], "leaf")
      const url = `nats://${host}:${port}`
      const begin = Scope.provide(
        Effect.acquireRelease(
          startDevice(options, device, url, secrets.devicePassword, join(directory, `${id}-state`)),
          stopDevice,
        ),
        scope,
      )
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
        client: {
          servers: url,
          user: users.client,
          password: secrets.clientPassword,
          firstConnectMs: 10_000,
        },
      }
      return handle
    })
    const operator: BusOptions = {
      servers: `nats://${host}:${clientPort}`,
      user: users.operator,
      password: swarm.hub.operatorPassword,
      firstConnectMs: 10_000,
    }
    yield* Effect.provide(createBuckets, Layer.fresh(Bus.layer(operator)))
    const devices = yield* Effect.forEach(options.devices, startOne, { concurrency: 2 })
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
