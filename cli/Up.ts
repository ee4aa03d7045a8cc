/** `murmuration up`: runs one device until it is told to stop (SIGTERM, SIGINT), then leaves politely and exits 0. */
import { Config, Console, Deferred, Effect, Layer, Logger, References, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { deviceOptions } from "../actors/Configuration.ts"
import { deviceLayer } from "../actors/Device.ts"
import { collectRarely, collectWhenIdle } from "../actors/Garbage.ts"
import { Membership } from "../actors/Membership.ts"
import { Engine } from "../devices/engine/Engine.ts"
import { Self } from "../actors/Self.ts"
import { connectionFlags } from "./Connection.ts"

const flags = {
  device: Flag.String("device").pipe(
    Flag.withDescription("This device's id on the bus, such as pi-1; default: the one in its credentials"),
    Flag.withFallbackConfig(Config.String("MURMURATION_DEVICE")),
    Flag.withDefault(""),
  ),
  ...connectionFlags,
  user: Flag.String("user").pipe(
    Flag.withDescription("User at the leaf node, where no credentials file is given"),
    Flag.withFallbackConfig(Config.String("MURMURATION_USER")),
    Flag.withDefault("device"),
  ),
  password: Flag.String("password").pipe(
    Flag.withDescription("Its password; better given as MURMURATION_PASSWORD than on the command line"),
    Flag.withFallbackConfig(Config.String("MURMURATION_PASSWORD")),
    Flag.withDefault(""),
  ),
  profile: Flag.String("profile").pipe(
    Flag.withDescription(
      "How fast this device is: a shipped profile, or a file written by 'murmuration profile'",
    ),
    Flag.withFallbackConfig(Config.String("MURMURATION_PROFILE")),
    Flag.withDefault("raspberry-pi-4"),
  ),
  emulate: Flag.Boolean("emulate").pipe(
    Flag.withDescription("Compute for real, but hold every result until the profile's time has passed"),
    Flag.withDefault(false),
  ),
  slow: Flag.Finite("slow").pipe(
    Flag.withDescription(
      "Slow motion: multiplies the profile's times (for emulating devices faster than this machine)",
    ),
    Flag.withDefault(1),
  ),
  supernet: Flag.String("supernet").pipe(
    Flag.withDescription("Artifact directory of the supernet; default: the one that comes with the project"),
    Flag.withFallbackConfig(Config.String("MURMURATION_SUPERNET")),
    Flag.withDefault(""),
  ),
  providers: Flag.String("provider").pipe(
    Flag.withDescription(
      "ONNX Runtime execution provider, such as cpu or cuda; may be repeated, first choice first",
    ),
    Flag.atLeast(0),
  ),
  state: Flag.String("state").pipe(
    Flag.withDescription(
      "Directory for what must survive a restart without the hub, such as the last good policies",
    ),
    Flag.withFallbackConfig(Config.String("MURMURATION_STATE")),
    Flag.withDefault(""),
  ),
  threads: Flag.Int("threads").pipe(Flag.withDescription("Threads of one inference"), Flag.withDefault(1)),
  memoryMb: Flag.Int("memory-mb").pipe(
    Flag.withDescription("Memory that models may take"),
    Flag.withDefault(512),
  ),
  concurrency: Flag.Int("concurrency").pipe(
    Flag.withDescription("Requests served at once; further ones wait, then are refused"),
    Flag.withDefault(96),
  ),
  decisionBudgetMs: Flag.Finite("decision-ms").pipe(
    Flag.withDescription("Time for choosing a strategy that is not in the cache"),
    Flag.withDefault(40),
  ),
}

/** Ends with an error when an older device of the same id is heard: it was here first. */
const refuseSecond = Effect.gen(function* () {
  const membership = yield* Membership
  const self = yield* Self
  const conflict = yield* Deferred.make<never, Error>()
  yield* membership.events.pipe(
    Stream.runForEach((e) =>
      e._tag === "DuplicateIdSeen" && e.device === self.device
        ? Deferred.fail(
            conflict,
            new Error(
              `${self.device} is taken: ${e.hosts[1]} already uses this id, so ${e.hosts[0]} needs another: choose one with --device`,
            ),
          )
        : Effect.void,
    ),
    Effect.forkScoped({ startImmediately: true }),
  )
  return yield* Deferred.await(conflict)
})

const announce = Effect.gen(function* () {
  const self = yield* Self
  const { device, identity, spec, profile, emulated } = self
  const weights = spec.trained
    ? `${spec.name} ${spec.version}`
    : `${spec.name} ${spec.version} (untrained weights)`
  yield* Console.log(
    `${device} is up on ${identity.hostname} (pid ${identity.pid}): supernet ${weights}, profile ${profile.name}${emulated ? ", emulated" : ""}`,
  )
})

export const upCommand = Command.make("up", flags, (given) =>
  Effect.gen(function* () {
    collectRarely()
    const options = yield* deviceOptions(given)
    const tidy = Effect.flatMap(Self, ({ counters: c }) =>
      collectWhenIdle(() => c.requests + c.tasksQueued > 0),
    )
    const engineFails = Effect.flatMap(Engine, ({ failed }) => failed)
    const running = announce.pipe(
      Effect.andThen(Effect.forkScoped(tidy)),
      Effect.andThen(Effect.raceFirst(refuseSecond, engineFails)),
    )
    return yield* Effect.scoped(Effect.provide(running, deviceLayer(options)))
  }).pipe(
    Effect.provide(
      Layer.mergeAll(Logger.layer([Logger.consoleLogFmt]), Layer.succeed(References.MinimumLogLevel, "Info")),
    ),
  ),
).pipe(Command.withDescription("Run this device: join the swarm, serve clients, compute for others"))
