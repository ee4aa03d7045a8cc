/** Who is there: beats heard, round trips, versions that do not fit together, ids that are used twice. */
import { Effect } from "effect"
import { Bus, type BusShape } from "../subjects/Bus.ts"
import { probeReply, probeRequest, swarmMessage } from "../subjects/Codecs.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { listen } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type DeviceIdentity, type DeviceStatus, protocolVersion } from "../subjects/SwarmMessages.ts"
import { median } from "../supernet/Statistics.ts"
import { type Finding, findings } from "./DoctorCheck.ts"

const { ok, failed, skipped, warning } = findings("peers")

/** Several beats of everybody, also behind a slow link. */
const listenFor = "2 seconds"
const pings = 5
const pingLimitMs = 2000

interface Heard {
  readonly identity: DeviceIdentity
  readonly status: DeviceStatus
}

/** All sessions that were heard, by nonce. */
const hearBeats: Effect.Effect<ReadonlyArray<Heard>, never, Bus> = Effect.gen(function* () {
  const sessions = new Map<string, Heard>()
  yield* listen({
    subject: Subjects.swarm(Subjects.anyDevice),
    input: swarmMessage,
    handle: (m) =>
      Effect.sync(() => {
        if (m._tag === "Farewell") sessions.delete(m.nonce)
        else sessions.set(m.identity.nonce, m)
      }),
  })
  yield* Effect.sleep(listenFor)
  return [...sessions.values()].sort((a, b) => a.identity.device.localeCompare(b.identity.device))
}).pipe(Effect.scoped)

/** Median round trip to a device, ms, or why there is none. */
const ping = (bus: BusShape, device: DeviceId) =>
  Effect.forEach(Array.from({ length: pings }), (_, seq) =>
    Effect.gen(function* () {
      const began = performance.now()
      const from = DeviceId.make("doctor")
      const bytes = probeRequest.encode({ from, seq, kind: "ping" })
      const reply = yield* bus.request(Subjects.probe(device), bytes, { timeoutMs: pingLimitMs })
      const { processingMs } = yield* Effect.fromResult(probeReply.decode(Subjects.probe(device), reply))
      return performance.now() - began - processingMs
    }),
  ).pipe(Effect.map(median))

const device = (bus: BusShape, { identity, status }: Heard): Effect.Effect<Finding> => {
  const { versions, hostname, profile } = identity
  const supernet =
    status.supernet === undefined ? "no supernet" : `${status.supernet.name} ${status.supernet.version}`
  const about = `${hostname}, ${profile}, murmuration ${versions["murmuration"] ?? "?"}, ${supernet}`
  if (identity.protocol !== protocolVersion) {
    const detail = `${about}; speaks protocol ${identity.protocol}, this one ${protocolVersion}`
    return Effect.succeed(
      failed(identity.device, detail, "install the same version of murmuration on all devices"),
    )
  }
  return ping(bus, identity.device).pipe(
    Effect.map((ms) => ok(identity.device, `${ms.toFixed(1)} ms, ${about}`)),
    Effect.catch((error) => {
      if (error._tag === "NotPermitted") return Effect.succeed(ok(identity.device, `heard; ${about}`))
      const advice =
        "it is heard, but does not answer: frozen, or its grants at the hub lack this device (deploy init)"
      return Effect.succeed(failed(identity.device, `${error.message}; ${about}`, advice))
    }),
  )
}

const twice = (heard: ReadonlyArray<Heard>): ReadonlyArray<Finding> => {
  const hosts = new Map<string, ReadonlyArray<string>>()
  for (const { identity } of heard) {
    const host = `${identity.hostname} (pid ${identity.pid})`
    hosts.set(identity.device, [...(hosts.get(identity.device) ?? []), host])
  }
  return [...hosts]
    .filter(([, names]) => names.length > 1)
    .map(([id, names]) =>
      failed(
        id,
        `is used by ${[...names].sort().join(" and ")}`,
        "give one of them another id and credentials",
      ),
    )
}

const weights = (heard: ReadonlyArray<Heard>): ReadonlyArray<Finding> => {
  const digests = new Set(heard.map((h) => h.status.supernet?.sha256 ?? ""))
  if (digests.size < 2) return []
  const detail = `${digests.size} different supernets in the swarm; devices only work with those that hold the same`
  return [warning("supernets", detail, "install the same artifact on all devices")]
}

/** What one device sees and another does not: a partition, or grants that are missing. */
const views = (heard: ReadonlyArray<Heard>): ReadonlyArray<Finding> => {
  const present = heard.map((h) => h.identity.device)
  return heard.flatMap(({ identity, status }) => {
    const unseen = present.filter((d) => d !== identity.device && !status.peers.includes(d))
    if (unseen.length === 0) return []
    const detail = `does not see ${unseen.join(", ")}`
    return [
      warning(identity.device, detail, "just started, or cut off: ask again; then look at its leaf's log"),
    ]
  })
}

export const examinePeers = (bus: BusShape): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function* () {
    const heard = yield* Effect.provideService(hearBeats, Bus, bus)
    if (heard.length === 0) {
      const advice = "start one: murmuration up; it must be linked to the same hub, with its own device.json"
      return [
        failed("devices", `none heard within ${listenFor}`, advice),
        skipped("round trips", "nobody to ask"),
      ]
    }
    const each = yield* Effect.forEach(heard, (h) => device(bus, h), { concurrency: 4 })
    return [...each, ...twice(heard), ...weights(heard), ...views(heard)]
  })
