/** The way onto the bus, step by step: name, port, login, grants, hub, buckets. Stops where a step makes the next useless. */
import { lookup } from "node:dns/promises"
import { connect } from "node:net"
import { Effect, Result } from "effect"
import { openBucket } from "../subjects/Buckets.ts"
import { Bus, type BusOptions, type BusShape } from "../subjects/Bus.ts"
import { type CannotConnect } from "../subjects/BusErrors.ts"
import * as Codecs from "../subjects/Codecs.ts"
import { type DeviceId, DeviceId as DeviceIdSchema } from "../subjects/DeviceId.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type Finding, findings } from "./DoctorCheck.ts"

const { ok, failed, skipped, warning } = findings("bus")

const stepLimitMs = 3000

const addresses = (servers: BusOptions["servers"]): ReadonlyArray<{ host: string; port: number }> =>
  [servers].flat().map((server) => {
    const url = new URL(server.includes("://") ? server : `nats://${server}`)
    return { host: url.hostname, port: Number(url.port === "" ? 4222 : url.port) }
  })

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const dns = (host: string): Effect.Effect<Finding> =>
  Effect.promise(() =>
    lookup(host).then(
      ({ address }) => ok("name", address === host ? host : `${host} is ${address}`),
      (cause: unknown) =>
        failed(
          "name",
          `${host}: ${textOf(cause)}`,
          "correct the address in the credentials, or add it to /etc/hosts",
        ),
    ),
  )

const tcp = (host: string, port: number): Effect.Effect<Finding> =>
  Effect.callback<Finding>((resume) => {
    const done = (finding: Finding) => {
      socket.destroy()
      resume(Effect.succeed(finding))
    }
    const advice = `is nats-server running there? On a device: systemctl status murmuration-leaf`
    const socket = connect({ host, port, timeout: stepLimitMs })
    socket.once("connect", () => done(ok("port", `${host}:${port} accepts connections`)))
    socket.once("timeout", () =>
      done(
        failed(
          "port",
          `${host}:${port} does not answer`,
          "a firewall may drop the packets; or the machine is off",
        ),
      ),
    )
    socket.once("error", (error) => done(failed("port", `${host}:${port}: ${error.message}`, advice)))
  })

/**
 * Whether the own server lets us do what a device does. Asks subjects of a device that cannot exist ("doctor-nobody"):
 * "nobody listens" is the good answer.
 */
const grants = (bus: BusShape, device: DeviceId): Effect.Effect<Finding> => {
  const nobody = DeviceIdSchema.make("doctor-nobody")
  const needed = [
    Subjects.inferAt(nobody),
    Subjects.reconfig(nobody),
    Subjects.probe(nobody),
    Subjects.tile(nobody, device),
    Subjects.result(nobody, device),
  ]
  return Effect.forEach(needed, (subject) =>
    bus.request(subject, new Uint8Array(), { timeoutMs: stepLimitMs }).pipe(Effect.flip, Effect.option),
  ).pipe(
    Effect.map((errors) => {
      const denied = errors.flatMap((e) =>
        e._tag === "Some" && e.value._tag === "NotPermitted" ? [e.value.subject] : [],
      )
      const advice = "use the device.json of this device; client.json may only ask for inference"
      return denied.length === 0
        ? ok("grants", `may use the subjects of ${device}`)
        : failed("grants", `denied: ${denied.join(", ")}`, advice)
    }),
  )
}

const hub = (bus: BusShape): Effect.Effect<Finding> => {
  const { domain } = bus.options
  const api = domain === undefined ? "$JS.API.INFO" : `$JS.${domain}.API.INFO`
  const began = performance.now()
  return bus.request(api, new Uint8Array(), { timeoutMs: stepLimitMs }).pipe(
    Effect.map(() => ok("hub", `JetStream answers in ${(performance.now() - began).toFixed(1)} ms`)),
    Effect.catch((error) => {
      if (error._tag === "NotPermitted") {
        return Effect.succeed(skipped("hub", "client credentials do not reach its JetStream"))
      }
      const advice =
        error._tag === "NobodyListens"
          ? "the leaf is not linked: is the hub up, does its address in leaf.conf hold, does the leaf's log say 'Authorization Violation'?"
          : "the link to the hub is slow or stalled; local answers go on meanwhile"
      return Effect.succeed(
        failed("hub", error._tag === "NobodyListens" ? "not reached" : error.message, advice),
      )
    }),
  )
}

const bucketsOf = (bus: BusShape): Effect.Effect<Finding> =>
  Effect.forEach(
    [
      ["policies", Codecs.policyManifest],
      ["strategies", Codecs.strategyRecord],
      ["devices", Codecs.deviceRecord],
    ] as const,
    ([name, codec]) =>
      openBucket<never>(name, codec as never).pipe(
        Effect.flatMap((bucket) => bucket.keys),
        Effect.result,
        Effect.map((keys) => (Result.isSuccess(keys) ? [] : [`${name} (${keys.failure.detail})`])),
      ),
  ).pipe(
    Effect.provideService(Bus, bus),
    Effect.map((missing) => missing.flat()),
    Effect.map((missing) =>
      missing.length === 0
        ? ok("buckets", Object.values(Subjects.buckets).join(", "))
        : warning(
            "buckets",
            `not usable: ${missing.join(", ")}`,
            "where 'deploy init' was run: npm run murmuration -- deploy buckets --credentials swarm/hub/operator.json",
          ),
    ),
  )

const loginFailed = (error: CannotConnect): Finding => failed("login", error.detail, error.hint)

/** Everything before the login, then the login, then what needs it. `then` gets the bus when there is one. */
export const examineBus = (
  options: BusOptions,
  device: DeviceId | undefined,
  then: (bus: BusShape) => Effect.Effect<ReadonlyArray<Finding>>,
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function* () {
    const before: Array<Finding> = []
    for (const { host, port } of addresses(options.servers)) {
      const name = yield* dns(host)
      before.push(
        name,
        name.status === "ok" ? yield* tcp(host, port) : skipped("port", "the name is not known"),
      )
    }
    if (!before.some((f) => f.name === "port" && f.status === "ok")) return before
    const afterLogin = Effect.gen(function* () {
      const bus = yield* Bus
      const server = bus.nats.info
      const login = ok(
        "login",
        `${options.user ?? "anonymous"} at ${server?.server_name ?? "?"} ${server?.version ?? ""}`,
      )
      const granted =
        device === undefined
          ? skipped("grants", "these are not a device's credentials")
          : yield* grants(bus, device)
      const reached = yield* hub(bus)
      const shared =
        reached.status === "ok" ? yield* bucketsOf(bus) : skipped("buckets", "they live at the hub")
      return [...before, login, granted, reached, shared, ...(yield* then(bus))]
    })
    return yield* afterLogin.pipe(
      Effect.provide(Bus.layer({ ...options, firstConnectMs: stepLimitMs })),
      Effect.catch((error) => Effect.succeed([...before, loginFailed(error)])),
    )
  })
