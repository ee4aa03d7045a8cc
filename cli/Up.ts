/** `murmuration up`: runs one device until it is told to stop (SIGTERM, SIGINT), then leaves politely and exits 0. */
import { totalmem } from "node:os"
import { Console, Deferred, Effect, Logger, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { deviceOptions } from "../actors/Configuration.ts"
import { deviceLayer } from "../actors/Device.ts"
import { collectRarely, collectWhenIdle } from "../actors/Garbage.ts"
import { Membership } from "../actors/Membership.ts"
import { Engine } from "../devices/engine/Engine.ts"
import { Self } from "../actors/Self.ts"
import { positive } from "./Bounds.ts"
import { connectionFlags } from "./Connection.ts"
import {
  intSetting,
  listSetting,
  numberSetting,
  supernetFlag,
  textSetting,
  threadsFlag,
  withShownDefault,
} from "./Settings.ts"

/** What a device is told; numbers that it cannot work with are refused here. */
export const upFlags = {
  device: textSetting("device", {
    says: "This device's id on the bus, such as pi-1",
    otherwise: "",
    shown: "the one in its credentials",
    variable: "MURMURATION_DEVICE",
  }),
  ...connectionFlags,
  user: textSetting("user", {
    says: "User at the leaf node, where no credentials file is given",
    otherwise: "device",
    variable: "MURMURATION_USER",
  }),
  password: textSetting("password", {
    says: "Its password; better given as a variable than on the command line, which others can see",
    otherwise: "",
    shown: "none",
    variable: "MURMURATION_PASSWORD",
  }),
  profile: textSetting("profile", {
    says: "How fast this device is: a shipped profile, or a file written by 'murmuration profile'",
    otherwise: "raspberry-pi-4",
    variable: "MURMURATION_PROFILE",
  }),
  emulate: Flag.Boolean("emulate").pipe(
    Flag.withDescription("Compute for real, but hold every result until the profile's time has passed"),
    Flag.withDefault(false),
  ),
  slow: withShownDefault(
    positive("slow"),
    "Slow motion: multiplies the profile's times, for emulating devices faster than this machine",
    1,
  ),
  supernet: supernetFlag,
  providers: listSetting("provider", {
    says: "ONNX Runtime execution provider, such as cuda; may be repeated, first choice first",
    otherwise: [],
    shown: "cpu",
    variable: "MURMURATION_PROVIDER",
  }),
  state: textSetting("state", {
    says: "Directory for what must survive a restart without the hub, such as the last good policies",
    otherwise: "",
    shown: ".run/<device> in the project",
    variable: "MURMURATION_STATE",
  }),
  threads: threadsFlag,
  memoryMb: intSetting("memory-mb", {
    says: "Memory that models may take, MB; the process takes a few hundred more",
    least: 1,
    otherwise: Math.min(512, Math.round(totalmem() / 8e6)),
    shown: "an eighth of the machine's, at most 512",
    variable: "MURMURATION_MEMORY_MB",
  }),
  concurrency: intSetting("concurrency", {
    says: "Requests served at once, at most; never more than 4 for each device of the swarm. Further ones wait, then are refused",
    least: 1,
    otherwise: 96,
    variable: "MURMURATION_CONCURRENCY",
  }),
  decisionBudgetMs: numberSetting("decision-ms", {
    says: "Time for choosing a strategy that is not in the cache, ms",
    otherwise: 40,
    variable: "MURMURATION_DECISION_MS",
  }),
}

export class NoDeviceId extends Schema.TaggedError<NoDeviceId>()("NoDeviceId", {}) {
  readonly retryable = false
  readonly hint = "--credentials device.json, as 'murmuration deploy init' writes it, or --device pi-1"
  override get message() {
    return "say who this device is"
  }
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

/** One line per event; how much it says is the command line's `--log-level`. */
export const deviceLog = Logger.layer([Logger.consoleLogFmt])

export const upCommand = Command.make("up", upFlags, (given) =>
  Effect.gen(function* () {
    collectRarely()
    const options = yield* deviceOptions(given).pipe(
      Effect.mapError((e) => (e._tag === "BadDeviceId" && e.given === "" ? new NoDeviceId() : e)),
    )
    const tidy = Effect.flatMap(Self, ({ counters: c }) =>
      collectWhenIdle(() => c.requests + c.tasksQueued > 0),
    )
    const engineFails = Effect.flatMap(Engine, ({ failed }) => failed)
    const running = announce.pipe(
      Effect.andThen(Effect.forkScoped(tidy)),
      Effect.andThen(Effect.raceFirst(refuseSecond, engineFails)),
    )
    return yield* Effect.scoped(Effect.provide(running, deviceLayer(options)))
  }).pipe(Effect.provide(deviceLog)),
).pipe(Command.withDescription("Run this device: join the swarm, serve clients, compute for others"))
