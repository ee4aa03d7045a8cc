/** A device as a process of its own: `murmuration up`, started, watched and stopped. */
import { type ChildProcess, spawn } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Deferred, Effect, Schema, type Scope } from "effect"
import type { Link } from "../devices/latency/Condition.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { memoryEnvironment } from "./Allocator.ts"
import { eachLine } from "./Lines.ts"

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

export class DeviceFailed extends Schema.TaggedError<DeviceFailed>()("DeviceFailed", {
  device: Schema.String,
  detail: Schema.String,
  log: Schema.Array(Schema.String),
}) {
  override get message() {
    return [`device ${this.device}: ${this.detail}`, ...this.log.slice(-8)].join("\n  ")
  }
}

const project = dirname(dirname(fileURLToPath(import.meta.url)))
/** Flags of Node, then the `murmuration` command, as `setup.mjs` starts it. */
const commandLine = [
  "--disable-warning=ExperimentalWarning",
  `--import=${pathToFileURL(join(project, "deploy", "strip.mjs")).href}`,
  join(project, "cli", "main.ts"),
]
const upLimitMs = 120_000
const stopLimitMs = 8000

export interface Running {
  readonly child: ChildProcess
  readonly exited: Deferred.Deferred<number>
}

/** The user's environment without what says how to get into another swarm: the box has users of its own. */
const environment = (): NodeJS.ProcessEnv => {
  const { MURMURATION_CREDENTIALS: _, MURMURATION_USER: __, ...rest } = process.env
  return rest
}

export interface DeviceStart {
  readonly device: BoxDevice
  /** Artifact directory; default: the project's. */
  readonly supernet: string | undefined
  /** URL of its leaf. */
  readonly nats: string
  readonly password: string
  /** Directory of what it keeps. */
  readonly state: string
  readonly onLine: ((device: DeviceId, line: string) => void) | undefined
}

const flagsOf = ({ device, nats, supernet }: DeviceStart): ReadonlyArray<string> => [
  `--device=${device.id}`,
  `--nats=${nats}`,
  `--profile=${device.profile}`,
  ...(device.emulate === false ? [] : ["--emulate"]),
  ...(device.slow === undefined ? [] : ["--slow", String(device.slow)]),
  ...(supernet === undefined ? [] : ["--supernet", supernet]),
  ...(device.flags ?? []),
]

const spawned = (start: DeviceStart) =>
  spawn(process.execPath, [...commandLine, "up", ...flagsOf(start)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...environment(),
      ...memoryEnvironment(),
      MURMURATION_PASSWORD: start.password,
      MURMURATION_STATE: start.state,
    },
  })

/** A process that was started; `up`: it has said that it is. */
interface Launched extends Running {
  readonly up: Deferred.Deferred<void, DeviceFailed>
}

const launched = (start: DeviceStart): Launched => {
  const { device } = start
  const child = spawned(start)
  const log: Array<string> = []
  const exited = Deferred.makeUnsafe<number>()
  const up = Deferred.makeUnsafe<void, DeviceFailed>()
  const fail = (detail: string) =>
    Deferred.doneUnsafe(up, Effect.fail(new DeviceFailed({ device: device.id, detail, log })))
  const timer = setTimeout(() => {
    child.kill("SIGKILL")
    fail(`not up within ${upLimitMs} ms`)
  }, upLimitMs)
  eachLine(child, (line) => {
    log.push(line)
    if (log.length > 200) log.shift()
    start.onLine?.(device.id, line)
    if (!line.startsWith(`${device.id} is up`)) return
    clearTimeout(timer)
    Deferred.doneUnsafe(up, Effect.void)
  })
  child.on("error", (error) => {
    // Also said of a signal that could not be sent.
    if (child.pid !== undefined) return
    clearTimeout(timer)
    Deferred.doneUnsafe(exited, Effect.succeed(1))
    fail(error.message)
  })
  // Not "exit": its last lines may still be on their way then, and they say why.
  child.once("close", (code, signal) => {
    clearTimeout(timer)
    Deferred.doneUnsafe(exited, Effect.succeed(code ?? (signal === "SIGKILL" ? 137 : 1)))
    fail(`ended with ${signal ?? `code ${code}`} before it was up`)
  })
  return { child, exited, up }
}

/** SIGTERM, and SIGKILL where that does not help: a frozen process cannot leave politely. */
const stop = ({ child, exited }: Running) =>
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

/**
 * Starts `murmuration up` and resolves when it says that it is up. Its scope ends it, also while it is still starting: its
 * server may be gone by then, so that it would never come up.
 */
export const startDevice = (start: DeviceStart): Effect.Effect<Running, DeviceFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => launched(start)),
    stop,
  ).pipe(Effect.tap(({ up }) => Deferred.await(up)))
