/** nats-servers on this machine that can be killed, frozen and started again on the same port: for benches and tests. */
import { Effect, Scope } from "effect"
import {
  freePort,
  natsProcess,
  type NatsProcess,
  type NatsServerFailed,
  onFreePorts,
  type ServerRole,
} from "./NatsProcess.ts"

export interface LocalServer {
  readonly url: string
  readonly port: number
  /** kill -9 */
  readonly kill: Effect.Effect<void>
  /** Freeze and thaw, without closing connections. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Starts it again with the same arguments. */
  readonly restart: Effect.Effect<void, NatsServerFailed>
  readonly process: () => NatsProcess
}

/** One server with these arguments, which must make it listen on `port`. */
export const serverWith = (
  port: number,
  args: ReadonlyArray<string>,
  role: ServerRole,
): Effect.Effect<LocalServer, NatsServerFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.Scope
    const begin = Scope.provide(natsProcess(args, role), scope)
    let current = yield* begin
    const signal = (name: NodeJS.Signals) => Effect.sync(() => current.signal(name))
    return {
      url: `nats://127.0.0.1:${port}`,
      port,
      kill: Effect.andThen(
        signal("SIGKILL"),
        Effect.suspend(() => current.exited),
      ),
      freeze: signal("SIGSTOP"),
      thaw: signal("SIGCONT"),
      restart: Effect.map(begin, (next) => {
        current = next
      }),
      process: () => current,
    }
  })

/** A server without configuration on a free port, with these arguments more. */
export const plainServer = (
  ...args: ReadonlyArray<string>
): Effect.Effect<LocalServer, NatsServerFailed, Scope.Scope> =>
  onFreePorts(
    Effect.flatMap(freePort, (port) =>
      serverWith(port, ["-a", "127.0.0.1", "-p", String(port), ...args], "hub"),
    ),
  )

/** A bare server without configuration. */
export const bareServer = plainServer()
