/**
 * `murmuration profile`: measures this machine and writes its device profile, for `up --profile FILE` and for plans. A device
 * that starts with it publishes it to its peers; `--publish` does so at once.
 */
import { writeSync } from "node:fs"
import { hostname } from "node:os"
import { Console, Effect, FileSystem } from "effect"
import { Command, Flag } from "effect/cli"
import { type FitError, measureProfile } from "../devices/profiles/Measure.ts"
import { taskMs, taskTime } from "../devices/profiles/BlockTime.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import { shippedProfile, shippedProfileNames } from "../devices/profiles/Shipped.ts"
import { openBucket } from "../subjects/Buckets.ts"
import { deviceRecord } from "../subjects/Codecs.ts"
import { readCredentials } from "../subjects/Credentials.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { localStrategy } from "../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel, type Submodel } from "../supernet/Submodel.ts"
import { taskGraph } from "../supernet/TaskGraph.ts"
import { connectedBus, type ConnectionChoice, connectionFlags } from "./Connection.ts"
import { nextCommand } from "./Next.ts"
import { supernetFlag, threadsFlag } from "./Settings.ts"
import { bold, columns, dim, progressBar } from "./Text.ts"

const wholeMs = (profile: DeviceProfile, spec: SupernetSpec, submodel: Submodel): number => {
  const graph = taskGraph(spec, localStrategy(spec, submodel, "local"))
  return graph.tasks.reduce((sum, task) => sum + taskMs(taskTime(profile, spec, graph, task)), 0)
}

/** The measured machine among the shipped ones: time of the smallest and the largest submodel. */
export const comparison = (profile: DeviceProfile, spec: SupernetSpec): string =>
  columns([
    ["profile", "smallest submodel", "largest submodel"],
    ...[profile, ...shippedProfileNames.map(shippedProfile)].map((p) => [
      p.name,
      `${wholeMs(p, spec, minSubmodel(spec)).toFixed(1)} ms`,
      `${wholeMs(p, spec, maxSubmodel(spec)).toFixed(1)} ms`,
    ]),
  ])

const fitText = (error: FitError): string =>
  `fit: median error ${(100 * error.medianRelative).toFixed(1)} % over single blocks and segments, ${(100 * error.segmentMedianRelative).toFixed(1)} % over segments, 95 % of runs within ${(100 * error.p95Relative).toFixed(0)} %`

/** Written straight to the terminal: the measurement keeps the event loop busy, and a bar must move meanwhile. */
const showProgress = (done: number, total: number, what: string) => {
  if (process.stderr.isTTY)
    writeSync(2, `\r${progressBar(done / total)} ${what.padEnd(12)}${done === total ? "\n" : ""}`)
}

/** Puts the profile into the bucket `devices` under the device that the credentials are for. */
const publish = Effect.fnUntraced(function* (profile: DeviceProfile, choice: ConnectionChoice) {
  const { device = hostname() } = choice.credentials === "" ? {} : yield* readCredentials(choice.credentials)
  const put = Effect.gen(function* () {
    const bucket = yield* openBucket("devices", deviceRecord)
    yield* bucket.put(device, { device: DeviceId.make(device), hostname: hostname(), profile })
  })
  yield* Effect.provide(put, connectedBus(choice))
  return device
})

export const profileCommand = Command.make(
  "profile",
  {
    name: Flag.String("name").pipe(
      Flag.withDescription(
        "Name of the profile, to which a digest of its numbers is added; default: this host's name",
      ),
      Flag.withDefault(hostname()),
    ),
    out: Flag.String("out").pipe(
      Flag.withDescription("File to write; default: NAME.json here"),
      Flag.withDefault(""),
    ),
    quick: Flag.Boolean("quick").pipe(
      Flag.withDescription("Half a minute instead of a few: fewer variants, fewer repeats"),
      Flag.withDefault(false),
    ),
    publish: Flag.Boolean("publish").pipe(
      Flag.withDescription("Tell the swarm at once, as the device that the credentials are for"),
      Flag.withDefault(false),
    ),
    ...connectionFlags,
    threads: threadsFlag,
    supernet: supernetFlag,
  },
  (given) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const artifact = given.supernet === "" ? yield* defaultArtifact : given.supernet
      const { spec } = yield* readArtifact(artifact)
      const { profile, error } = yield* Effect.promise(() =>
        measureProfile({
          name: given.name,
          spec,
          quick: given.quick,
          seed: 1,
          runtime: { threads: given.threads },
          onProgress: showProgress,
        }),
      )
      const path = given.out === "" ? `${given.name}.json` : given.out
      yield* fs.writeFileString(path, `${JSON.stringify(profile, null, 2)}\n`)
      yield* Console.log(`${bold(profile.name)}: ${profile.title}\n${dim(fitText(error))}\n`)
      yield* Console.log(comparison(profile, spec))
      yield* Console.log(`\nwrote ${path}; use it with: ${nextCommand("up", { profile: path })}`)
      if (given.publish) yield* Console.log(`published as ${yield* publish(profile, given)}`)
    }),
).pipe(
  Command.withDescription("Measure how fast this machine runs the supernet, and write its device profile"),
)
