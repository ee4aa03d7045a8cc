/** A device: the six actors and what they share, over one connection to the device's own leaf node. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Layer, Schedule } from "effect"
import { Engine, type EngineOptions } from "../devices/engine/Engine.ts"
import { taskMs, taskTime } from "../devices/profiles/BlockTime.ts"
import { type DeviceProfile, dilated } from "../devices/profiles/DeviceProfile.ts"
import { shippedProfile, shippedProfileNames } from "../devices/profiles/Shipped.ts"
import { ProfileBook } from "../devices/profiles/ProfileBook.ts"
import { artifactAccuracy } from "../policies/ArtifactAccuracy.ts"
import { modelWorld } from "../policies/ModelWorld.ts"
import type { AccuracyModel, World } from "../policies/World.ts"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { Supernet } from "../supernet/Artifact.ts"
import type { RuntimeOptions } from "../supernet/onnx/Runtime.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { Backlog } from "./Backlog.ts"
import { Executor } from "./Executor.ts"
import { LinkTable } from "./LinkTable.ts"
import { Membership } from "./Membership.ts"
import { defaultTimes, type MembershipTimes } from "./MemberTable.ts"
import { memoryShares } from "./MemoryShares.ts"
import { monitorLayer } from "./Monitor.ts"
import { Planner } from "./Planner.ts"
import { Policies } from "./Policies.ts"
import { predictorLayer } from "./Predictor.ts"
import { Profiles } from "./Profiles.ts"
import { Reconfig } from "./Reconfig.ts"
import { Results } from "./Results.ts"
import { defaultSchedulerOptions, Scheduler, type SchedulerOptions } from "./Scheduler.ts"
import { Self, type SelfOptions } from "./Self.ts"
import { SharedStrategies } from "./SharedStrategies.ts"
import { servicesLayer } from "./Services.ts"
import { Thinker } from "./Thinker.ts"
import { Tiles } from "./Tiles.ts"
import { watchLayer } from "./Watch.ts"

export interface DeviceOptions {
  readonly device: DeviceId
  readonly bus: BusOptions
  readonly supernet: Supernet
  /** Speed of this device, for plans; with `emulate`, also for its results. */
  readonly profile: DeviceProfile
  /** Real computation, its result held until the profile's time has passed. */
  readonly emulate: boolean
  /** Directory that the supernet was read from: its accuracy predictor lies there. */
  readonly artifact: string
  /** Where this device keeps what must survive a restart without the hub; absent: nowhere. */
  readonly state?: string
  /** Memory budget; what is bounded by it is in `MemoryShares.ts`. Default 512 MB. */
  readonly memoryBytes?: number
  readonly runtime?: RuntimeOptions
  readonly engine?: Partial<
    Pick<EngineOptions, "tier" | "preload" | "sessionBudgetBytes" | "activationBudgetBytes">
  >
  readonly scheduler?: Partial<SchedulerOptions>
  /** How soon silence counts as absence. */
  readonly membership?: Partial<MembershipTimes>
  readonly decisionBudgetMs?: number
  /** Of `Self`: for tests of upgrades. */
  readonly software?: SelfOptions["software"]
}

/** The policies that come with the project. */
const shippedPolicies = fileURLToPath(new URL("../policies/artifacts", import.meta.url))

/** Time for a search where no policy fits: long enough to find good strategies, short enough not to miss beats. */
const defaultDecisionBudgetMs = 40

const engineOptions = (o: DeviceOptions): EngineOptions => ({
  deviceId: o.device,
  spec: o.supernet.spec,
  weights: o.supernet.weights,
  ...(o.runtime === undefined ? {} : { runtime: o.runtime }),
  ...o.engine,
  ...(o.emulate
    ? { emulatedMs: (graph, task) => taskMs(taskTime(o.profile, o.supernet.spec, graph, task)) }
    : {}),
})

/** How long a leaving device goes on with what it has taken on. */
const drainMs = 5000

/** Built last, so closed first: hello when all else is there, and farewell before anything ends. */
const helloAndFarewell = Layer.effectDiscard(
  Effect.gen(function* () {
    const membership = yield* Membership
    // Its worker has started once it tells about itself; one that crashes is started again a few times.
    const engine = yield* Engine
    yield* Effect.retry(engine.stats, { schedule: Schedule.spaced("50 millis"), while: (e) => e.retryable })
    yield* membership.join
    yield* Effect.addFinalizer(() => membership.leave("shutting down", drainMs))
  }),
)

/** Closed when no more clients are served: finishes what the others still wait for. */
const finishLast = Layer.effectDiscard(
  Effect.gen(function* () {
    const membership = yield* Membership
    const executor = yield* Executor
    const idle = Effect.sync(() => executor.active()).pipe(
      Effect.repeat({ schedule: Schedule.spaced("10 millis"), while: (active: number) => active > 0 }),
      Effect.timeoutOption(drainMs),
    )
    yield* Effect.addFinalizer(() => Effect.andThen(membership.released, idle))
  }),
)

/** A predictor that is not used is said where people look: in the log, and among the device's errors. */
const sayRefused = (refused: string | undefined) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      if (refused === undefined) return
      const self = yield* Self
      self.noteError("PredictorRefused", refused)
      yield* Effect.logWarning(refused)
    }),
  )

/** What this device can plan with from the start: the shipped profiles, and in slow motion those of the same factor. */
const knownProfiles = (own: DeviceProfile): ProfileBook => {
  const factor = Number(/-x([\d.]+)$/.exec(own.name)?.[1] ?? 1)
  const shipped = shippedProfileNames.map(shippedProfile)
  const all = factor === 1 ? shipped : [...shipped, ...shipped.map((p) => dilated(p, factor))]
  return new ProfileBook([own, ...all])
}

/** The models' world over a book of profiles that grows. */
const growingWorld = (spec: SupernetSpec, book: ProfileBook, accuracy: AccuracyModel): World => {
  let size = book.size
  let world = modelWorld(spec, book.all(), accuracy)
  const current = () => {
    if (book.size !== size) world = modelWorld(spec, book.all(), accuracy)
    size = book.size
    return world
  }
  return { space: world.space, accuracy, latency: { at: (condition) => current().latency.at(condition) } }
}

/** Everything of a running device; its scope's end is the device's end. */
export const deviceLayer = (o: DeviceOptions) => {
  const { spec, manifest } = o.supernet
  const weightsSha256 = manifest.files["weights.safetensors"]?.sha256 ?? ""
  const self = Self.layer({
    device: o.device,
    profile: o.profile,
    emulated: o.emulate,
    spec,
    weightsSha256,
    memory: memoryShares(o.memoryBytes),
    ...(o.software === undefined ? {} : { software: o.software }),
  })
  const profiles = knownProfiles(o.profile)
  const accuracy = artifactAccuracy(spec, o.artifact)
  const planner = Planner.layer({
    world: growingWorld(spec, profiles, accuracy.model),
    profiles,
    decisionBudgetMs: o.decisionBudgetMs ?? defaultDecisionBudgetMs,
  })
  const policies = Policies.layer({
    shipped: shippedPolicies,
    ...(o.state === undefined ? {} : { kept: join(o.state, "policies") }),
  })
  const times = { ...defaultTimes, ...o.membership }
  const scheduler = Scheduler.layer({ ...defaultSchedulerOptions, ...o.scheduler })
  const shared = Layer.mergeAll(Engine.layer(engineOptions(o)), LinkTable.layer).pipe(
    Layer.provideMerge(self),
    Layer.provideMerge(Bus.layer(o.bus)),
  )
  // Shutting down goes from top to bottom: farewell, no new requests, no new plans, no new tiles.
  return helloAndFarewell.pipe(
    Layer.provideMerge(servicesLayer),
    Layer.provideMerge(scheduler),
    Layer.provideMerge(finishLast),
    // Looks after the others until then: one that dies meanwhile need not be waited for.
    Layer.provideMerge(watchLayer(times)),
    // Shared strategies after the policies: those found with a policy that is not there yet would be taken for old.
    Layer.provideMerge(
      Layer.mergeAll(Profiles.layer(profiles), SharedStrategies.layer.pipe(Layer.provideMerge(policies))),
    ),
    Layer.provideMerge(
      planner.pipe(
        Layer.provideMerge(Thinker.layer({ spec, profiles: profiles.all(), predictor: accuracy.predictor })),
      ),
    ),
    Layer.provideMerge(predictorLayer()),
    Layer.provideMerge(monitorLayer()),
    Layer.provideMerge(Layer.mergeAll(Executor.layer, Reconfig.layer)),
    Layer.provideMerge(Tiles.layer),
    Layer.provideMerge(Layer.mergeAll(Membership.layer(times), Results.layer)),
    Layer.provideMerge(Backlog.layer({ profiles })),
    Layer.provideMerge(sayRefused(accuracy.refused)),
    Layer.provideMerge(shared),
  )
}
