/**
 * A nats-server as a child process: started, waited for until it answers, stopped with its scope. Used by the demo and by
 * tests; real devices run it under systemd. The binary is `nats-server` on PATH (or where Debian puts it), or the one named in
 * NATS_SERVER.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer } from "node:net"
import { delimiter } from "node:path"
import { Effect, Schema } from "effect"
import type { Scope } from "effect"
import { eachLine } from "./Lines.ts"

export class NatsServerFailed extends Schema.TaggedError<NatsServerFailed>()("NatsServerFailed", {
  detail: Schema.String,
  log: Schema.Array(Schema.String),
  hint: Schema.String,
}) {
  override get message() {
    return [`nats-server: ${this.detail}`, ...this.log.slice(-5), this.hint]
      .filter((l) => l !== "")
      .join("\n  ")
  }
}

export interface NatsProcess {
  readonly pid: number
  /** Last lines of its log, oldest first. */
  readonly log: ReadonlyArray<string>
  readonly running: () => boolean
  readonly signal: (signal: NodeJS.Signals) => void
  /** Resolves when the process has ended. */
  readonly exited: Effect.Effect<void>
}

const keptLines = 400

/** The server's program, and the PATH to start it with: Debian puts it where an ordinary user's PATH does not look. */
export const serverProgram = (): { readonly binary: string; readonly path: string } => ({
  binary: process.env["NATS_SERVER"] ?? "nats-server",
  path: [process.env["PATH"] ?? "", "/usr/local/sbin", "/usr/sbin"].join(delimiter),
})

/** A TCP port of the loopback interface that was free a moment ago: whoever opens it does so within `onFreePorts`. */
export const freePort: Effect.Effect<number> = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = address !== null && typeof address === "object" ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/**
 * Settings of Go's runtime, by role; the units in `deploy/systemd` and the container file hold the same. A server keeps a few
 * MB and makes a buffer for every large message, so with Go's defaults it collects garbage after every few tiles and
 * spends more time on that than on the tiles. A leaf serves one device: one thread needs no hand-overs between threads.
 */
export const serverRuntime = {
  hub: { GOGC: "400", GOMEMLIMIT: "512MiB" },
  leaf: { GOGC: "400", GOMEMLIMIT: "128MiB", GOMAXPROCS: "1" },
} as const
export type ServerRole = keyof typeof serverRuntime

const start = (args: ReadonlyArray<string>, role: ServerRole, readyMs: number) =>
  Effect.callback<{ child: ChildProcess; log: Array<string> }, NatsServerFailed>((resume) => {
    const log: Array<string> = []
    const { binary, path } = serverProgram()
    const child = spawn(binary, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...serverRuntime[role], ...process.env, PATH: path },
    })
    const fail = (detail: string, hint = "") =>
      resume(Effect.fail(new NatsServerFailed({ detail, log, hint })))
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      fail(`not ready within ${readyMs} ms`)
    }, readyMs)
    child.once("error", (error) => {
      clearTimeout(timer)
      fail(error.message, "install nats-server 2.9.10 or newer (deploy/README.md), or name it in NATS_SERVER")
    })
    // Not "exit": its last lines may still be on their way then, and they say why.
    child.once("close", (code, signal) => {
      clearTimeout(timer)
      fail(`ended with ${code === null ? signal : `code ${code}`} before it was ready`)
    })
    eachLine(child, (line) => {
      log.push(line)
      if (log.length > keptLines) log.shift()
      if (!line.includes("Server is ready")) return
      clearTimeout(timer)
      resume(Effect.succeed({ child, log }))
    })
  })

const exited = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** SIGTERM, and SIGKILL where that does not help within two seconds. A stopped (SIGSTOP) process needs the latter. */
const stop = (child: ChildProcess): Effect.Effect<void> =>
  Effect.sync(() => child.kill("SIGTERM")).pipe(
    Effect.andThen(exited(child)),
    Effect.timeoutOrElse({
      duration: "2 seconds",
      orElse: () =>
        Effect.andThen(
          Effect.sync(() => child.kill("SIGKILL")),
          exited(child),
        ),
    }),
  )

/** Starts `nats-server ARGS` and resolves when it accepts clients; stops it when the scope closes. */
export const natsProcess = (
  args: ReadonlyArray<string>,
  role: ServerRole,
  readyMs = 10_000,
): Effect.Effect<NatsProcess, NatsServerFailed, Scope.Scope> =>
  Effect.acquireRelease(start(args, role, readyMs), ({ child }) => stop(child)).pipe(
    Effect.map(({ child, log }) => ({
      pid: child.pid ?? 0,
      log,
      running: () => child.exitCode === null && child.signalCode === null,
      signal: (signal) => void child.kill(signal),
      exited: exited(child),
    })),
  )

/** The server's own words (clients' port and leaves' port alike), which end with those of the system. */
const isPortTaken = (e: unknown): boolean =>
  e instanceof NatsServerFailed && e.log.some((line) => line.includes("address already in use"))

/** So often what found its ports taken is begun again. */
const otherPorts = 5

/**
 * Runs what asks for free ports and starts a server on them, as a whole. Between the two anybody may take the port; where
 * the server says so, all of it is begun again, on other ports.
 */
export const onFreePorts = <A, E, R>(begin: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(begin, { times: otherPorts, while: isPortTaken })
