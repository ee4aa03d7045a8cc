/** Whole devices (all their actors) in one test process, each at its own leaf, with a supernet that computes in microseconds. */
import { Context, Effect, Exit, Layer, Logger, References, Scope } from "effect"
import { deviceLayer, type DeviceOptions } from "../../actors/Device.ts"
import { Engine } from "../../devices/engine/Engine.ts"
import { Executor } from "../../actors/Executor.ts"
import { Membership, type MembershipShape } from "../../actors/Membership.ts"
import { Planner, type PlannerShape } from "../../actors/Planner.ts"
import { Self, type SelfShape } from "../../actors/Self.ts"
import { SharedStrategies } from "../../actors/SharedStrategies.ts"
import { localSwarm, type LocalSwarm } from "../../deploy/LocalSwarm.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import { infer, type InferInput } from "../../subjects/Client.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"
import type { Supernet } from "../../supernet/Artifact.ts"
import { type ImageBatch, Reference } from "../../supernet/Reference.ts"
import { normalizeStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { image, livelyWeights, tinySpec } from "../supernet/Tiny.ts"
import { connectAs, on } from "./Buses.ts"
import { waitUntil } from "./Wait.ts"
import { afterAll, beforeAll } from "vitest"

const weights = livelyWeights(tinySpec, 5)
export const tinySupernet: Supernet = {
  spec: tinySpec,
  weights,
  manifest: {
    format: "murmuration-supernet-1",
    name: tinySpec.name,
    version: tinySpec.version,
    training: "untrained",
    weights: "float32",
    files: { "weights.safetensors": { bytes: 1, sha256: "same everywhere" } },
  },
}

export interface TestDevice {
  readonly id: DeviceId
  readonly bus: BusShape
  readonly self: SelfShape
  readonly membership: MembershipShape
  readonly planner: PlannerShape
  readonly engine: Engine["Service"]
  readonly executor: Executor["Service"]
  readonly strategies: SharedStrategies["Service"]
  /** Leaves as on SIGTERM; resolves when everything is closed. */
  readonly leave: Effect.Effect<void>
}

export interface TestSwarm {
  readonly servers: LocalSwarm
  readonly devices: ReadonlyArray<TestDevice>
  /** A client of each device's leaf. */
  readonly clients: ReadonlyArray<BusShape>
  /** Starts one more device; it leaves when the calling test's scope closes. */
  readonly start: (id: DeviceId, options?: Partial<DeviceOptions>) => ReturnType<typeof startDevice>
}

const quiet = Layer.mergeAll(Logger.layer([]), Layer.succeed(References.MinimumLogLevel, "None"))

const startDevice = (swarm: LocalSwarm, device: DeviceId, more: Partial<DeviceOptions>) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (s) => Scope.close(s, Exit.void))
    const options: DeviceOptions = {
      device,
      bus: swarm.deviceOptions(device),
      supernet: tinySupernet,
      profile: shippedProfile("raspberry-pi-4"),
      emulate: false,
      artifact: "",
      decisionBudgetMs: 5,
      // All devices share this process: a busy moment of one must not look like silence of another.
      membership: { suspectMs: 6000, goneMs: 12_000 },
      ...more,
    }
    const built = yield* Layer.buildWithScope(Layer.fresh(deviceLayer(options)), scope)
    const running: TestDevice = {
      id: device,
      bus: Context.get(built, Bus),
      self: Context.get(built, Self),
      membership: Context.get(built, Membership),
      planner: Context.get(built, Planner),
      engine: Context.get(built, Engine),
      executor: Context.get(built, Executor),
      strategies: Context.get(built, SharedStrategies),
      leave: Scope.close(scope, Exit.void),
    }
    return running
  }).pipe(Effect.provide(quiet))

/** Resolves when all devices see each other and know a path to each other. */
export const acquainted = (devices: ReadonlyArray<TestDevice>) =>
  Effect.forEach(
    devices,
    (d) =>
      waitUntil(
        `${d.id} knows ${devices.length} devices`,
        () => d.planner.condition([]).devices.length === devices.length,
        40_000,
      ),
    { discard: true },
  )

/** The devices that a device would plan with now. */
export const plannable = (device: TestDevice) => device.planner.condition([]).devices.map((d) => d.id)

/** A strategy of one device with the middle of its network moved to another one. */
export const middleMoved = (local: Strategy, to: DeviceId): Strategy =>
  normalizeStrategy(tinySpec, {
    ...local,
    devices: [...local.devices, to],
    blocks: local.blocks.map((b, i) => ({ ...b, placement: [i > 2 && i < 6 ? 1 : 0] })),
  })

export interface SwarmOptions {
  /** Ids for which servers run, but no device yet. */
  readonly later?: ReadonlyArray<DeviceId>
  readonly device?: Partial<DeviceOptions>
}

const testSwarm = (count: number, options: SwarmOptions) =>
  Effect.gen(function* () {
    const ids = Array.from({ length: count }, (_, i) => DeviceId.make(`pi-${i + 1}`))
    const servers = yield* localSwarm([...ids, ...(options.later ?? [])])
    const start = (id: DeviceId, more: Partial<DeviceOptions> = {}) =>
      startDevice(servers, id, { ...options.device, ...more })
    const devices = yield* Effect.forEach(ids, (id) => start(id), { concurrency: "unbounded" })
    yield* acquainted(devices)
    const clients = yield* Effect.forEach(ids, (id) => connectAs(servers.clientBus(id)))
    const swarm: TestSwarm = { servers, devices, clients, start }
    return swarm
  })

/** Starts servers and devices, runs the test, ends everything. */
export const withDevices = <A, E>(
  count: number,
  test: (swarm: TestSwarm) => Effect.Effect<A, E, Scope.Scope>,
  options: SwarmOptions = {},
) => testSwarm(count, options).pipe(Effect.flatMap(test), Effect.scoped)

/** One swarm for all tests of a file that leave it as they found it. */
export const sharedDevices = (count: number, options: SwarmOptions = {}) => {
  const scope = Scope.makeUnsafe()
  let swarm: TestSwarm | undefined
  beforeAll(async () => {
    swarm = await Effect.runPromise(Scope.provide(testSwarm(count, options), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return <A, E>(test: (swarm: TestSwarm) => Effect.Effect<A, E, Scope.Scope>) =>
    Effect.suspend(() =>
      swarm === undefined ? Effect.die(new Error("the swarm did not start")) : test(swarm),
    ).pipe(Effect.scoped)
}

const reference = new Reference(tinySpec, weights)
export const tensorOf = (size: number, seed: number) => ({
  width: size,
  height: size,
  data: image(size, seed),
})

/** What the strategy answers in one process, for a picture of the strategy's own size. */
export const expectedLogits = (strategy: Strategy, seed: number): Effect.Effect<Float32Array> => {
  const size = strategy.submodel.resolution
  const batch: ImageBatch = { count: 1, size, pixels: image(size, seed) }
  return Effect.promise(() => reference.evaluate(normalizeStrategy(tinySpec, strategy), batch))
}

/** A client that is there: for tests that name their swarm's clients by destructuring. */
const given = (client: BusShape | undefined): BusShape => {
  if (client === undefined) throw new RangeError("the swarm has fewer devices")
  return client
}

export const ask = (
  client: BusShape | undefined,
  input: Partial<InferInput>,
): Effect.Effect<InferReply, { readonly _tag: string; readonly tag?: string; readonly message: string }> =>
  on(given(client))(infer({ slo: { latencyMs: 500 }, attempts: 1, ...input }))
