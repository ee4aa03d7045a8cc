/** Three devices' connections to their own leaves in a deployed swarm, and small talk between them. */
import { Effect, Schedule, type Scope } from "effect"
import { localSwarm, type LocalSwarm } from "../../deploy/LocalSwarm.ts"
import type { BusShape } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { BlobRef, PolicyManifest } from "../../subjects/Manifests.ts"
import { connectAs } from "./Buses.ts"

export const [a, b, c] = [DeviceId.make("pi-1"), DeviceId.make("pi-2"), DeviceId.make("pi-3")]
export const timeoutMs = 2000

export interface World {
  readonly swarm: LocalSwarm
  readonly busA: BusShape
  readonly busB: BusShape
  readonly busC: BusShape
}

export const inSwarm = <A, E>(test: (world: World) => Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const swarm = yield* localSwarm([a, b, c])
    const busA = yield* connectAs(swarm.deviceBus(a))
    const busB = yield* connectAs(swarm.deviceBus(b))
    const busC = yield* connectAs(swarm.deviceBus(c))
    return yield* test({ swarm, busA, busB, busC })
  }).pipe(Effect.scoped)

/** What the bucket of policies holds: here its words mean nothing. */
export const policyManifest = (version: string, onnx: BlobRef): PolicyManifest => ({
  name: "tiny.latency",
  version,
  scenario: "tiny",
  kind: "latency",
  hidden: 8,
  supernet: { name: "tiny", version: "1" },
  maxDevices: 3,
  onnx,
  files: {},
  metrics: {},
  trainedBy: "a test",
})

/** A responder that answers with a name; gives the function that stops it. */
export const answering = (bus: BusShape, subject: string, name: string, queue?: string) =>
  Effect.promise(async () => {
    const subscription = bus.nats.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (_, m) => void m.respond(Buffer.from(name)),
    })
    await bus.nats.flush()
    return () => subscription.unsubscribe()
  })

/** Asks until somebody listens: interest takes milliseconds to cross the leaves. */
export const ask = (bus: BusShape, subject: string) =>
  bus.request(subject, new Uint8Array(1), { timeoutMs }).pipe(
    Effect.map((bytes) => new TextDecoder().decode(bytes)),
    Effect.retry({
      times: 500,
      schedule: Schedule.spaced("10 millis"),
      while: (e) => e._tag === "NobodyListens",
    }),
  )

/** Collects the subjects of what arrives. */
export const hearing = (bus: BusShape, pattern: string) =>
  Effect.promise(async () => {
    const heard: Array<string> = []
    bus.nats.subscribe(pattern, { callback: (_, m) => void heard.push(m.subject) })
    await bus.nats.flush()
    return heard
  })
