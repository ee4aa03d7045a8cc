/**
 * `murmuration plan`: which strategy the models choose for devices and links that you name, how long it would take, and
 * with --explain why. Needs no swarm: a way to try placements, objectives and links on paper.
 */
import { Console, Effect, FileSystem, Option, Result, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { summarize } from "../actors/Summary.ts"
import { type Condition, idealLink, symmetricLink } from "../devices/latency/Condition.ts"
import { explainText } from "../devices/latency/Explain.ts"
import { ganttSvg } from "../devices/latency/Gantt.ts"
import { type Timeline, timeline } from "../devices/latency/Timeline.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import { ProfileBook } from "../devices/profiles/ProfileBook.ts"
import { profileNamed } from "../devices/profiles/Shipped.ts"
import { artifactAccuracy } from "../policies/ArtifactAccuracy.ts"
import { idealBandwidthMbps, requestedSlo, type Slo } from "../policies/Condition.ts"
import { makeDecider } from "../policies/Decision.ts"
import { encodeStrategy, spaceOf } from "../policies/Genome.ts"
import { modelWorld } from "../policies/ModelWorld.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { Strategy } from "../supernet/Schemas.ts"
import { normalizeStrategy, strategyId, strategyProblems } from "../supernet/Strategy.ts"
import { supernetFlag, withShownDefault } from "./Settings.ts"
import { chosenSlo, sloFlags } from "./SloFlags.ts"
import { bad, bold, dim, good, percent } from "./Text.ts"

export class BadPlanInput extends Schema.TaggedError<BadPlanInput>()("BadPlanInput", {
  what: Schema.String,
  hint: Schema.String,
}) {
  override get message() {
    return this.what
  }
}

export interface PlannedDevice {
  readonly profile: DeviceProfile
  readonly mbps: number
  readonly delayMs: number
}

const badInput = (what: string, hint: string) => Effect.fail(new BadPlanInput({ what, hint }))

/** One number for all remotes, or one for each. */
const perRemote = (given: string, remotes: number, flag: string) =>
  Effect.gen(function* () {
    const values = given.split(",").map(Number)
    const hint = `give one number for all remote devices, or ${remotes} numbers: --${flag} 50,20`
    if (values.some((v) => !Number.isFinite(v) || v < 0))
      return yield* badInput(`--${flag} ${given} is not a list of numbers`, hint)
    if (values.length !== 1 && values.length !== remotes) {
      return yield* badInput(`--${flag} has ${values.length} numbers for ${remotes} remote devices`, hint)
    }
    return Array.from({ length: remotes }, (_, i) => values[values.length === 1 ? 0 : i] ?? 0)
  })

/** Devices from a list of profiles, the local one first, with the remotes' links. */
export const plannedDevices = Effect.fnUntraced(function* (profiles: string, mbps: string, delay: string) {
  const names = profiles.split(",").map((n) => n.trim())
  const found = yield* Effect.forEach(names, (n) => Effect.fromResult(profileNamed(n)))
  // By their names the models tell devices apart.
  const book = new ProfileBook([])
  const twofold = found.findIndex((profile) => book.learn(profile) === "other")
  if (twofold >= 0) {
    const what = `${names[twofold]}: another of the devices has a profile of the same name, ${found[twofold]?.name}, and another speed`
    return yield* badInput(what, "give one of the two another name in its file (the field name)")
  }
  const rates = yield* perRemote(mbps, found.length - 1, "mbps")
  const delays = yield* perRemote(delay, found.length - 1, "delay")
  if (rates.some((r) => r <= 0))
    return yield* badInput("a bandwidth of 0 Mbps", "leave the device out instead")
  return found.map((profile, i): PlannedDevice => {
    return { profile, mbps: rates[i - 1] ?? Infinity, delayMs: delays[i - 1] ?? 0 }
  })
})

export const deviceName = (index: number): string => (index === 0 ? "local" : `remote-${index}`)

const latencyCondition = (devices: ReadonlyArray<PlannedDevice>): Condition => ({
  devices: devices.map((d, i) => ({
    id: deviceName(i),
    profile: d.profile.name,
    link: i === 0 ? idealLink : symmetricLink(d.mbps, d.delayMs),
  })),
})

/** The full timeline of a strategy on these devices; strategies name devices `local`, `remote-1`, ... */
export const planTimeline = (
  spec: SupernetSpec,
  strategy: Strategy,
  devices: ReadonlyArray<PlannedDevice>,
): Timeline =>
  timeline({
    spec,
    strategy,
    condition: latencyCondition(devices),
    profileOf: (name) => {
      const device = devices.find((d) => d.profile.name === name)
      if (device === undefined) throw new RangeError(`no device of profile ${name}`)
      return device.profile
    },
  })

const worldOf = (spec: SupernetSpec, artifact: string, devices: ReadonlyArray<PlannedDevice>) =>
  modelWorld(
    spec,
    [...new Map(devices.map((d) => [d.profile.name, d.profile])).values()],
    artifactAccuracy(spec, artifact).model,
  )

const choose = (
  spec: SupernetSpec,
  artifact: string,
  devices: ReadonlyArray<PlannedDevice>,
  slo: Slo,
  budgetMs: number,
) =>
  Effect.promise(() =>
    makeDecider(worldOf(spec, artifact, devices)).decide(
      {
        devices: devices.map((d, i) => ({
          id: deviceName(i),
          type: d.profile.name,
          bandwidthMbps: i === 0 ? idealBandwidthMbps : d.mbps,
          delayMs: d.delayMs,
        })),
      },
      slo,
      budgetMs,
    ),
  )

const decodeStrategy = Schema.decodeUnknownResult(Schema.fromJsonString(Strategy))

/** A strategy from a file, checked against the supernet and the devices. */
const readStrategy = Effect.fnUntraced(function* (path: string, spec: SupernetSpec, devices: number) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs
    .readFileString(path)
    .pipe(
      Effect.catch(() => badInput(`${path} cannot be read`, "give a JSON file, as printed by 'plan --json'")),
    )
  const decoded = decodeStrategy(text)
  if (Result.isFailure(decoded))
    return yield* badInput(`${path}: ${decoded.failure.message}`, "see 'plan --json'")
  const problems = strategyProblems(spec, decoded.success)
  const known = Array.from({ length: devices }, (_, i) => deviceName(i))
  const strangers = decoded.success.devices.filter((d) => !known.includes(d))
  if (problems.length > 0 || strangers.length > 0) {
    const what = [...problems, ...strangers.map((d) => `no device ${d}`)].join("; ")
    return yield* badInput(`${path}: ${what}`, `devices are called ${known.join(", ")}`)
  }
  return normalizeStrategy(spec, decoded.success)
})

interface Wanted {
  readonly latency: Option.Option<number>
  readonly accuracy: Option.Option<number>
  readonly strategy: Option.Option<string>
  readonly budgetMs: number
}

/** The strategy to explain: the given one, which needs no objective, or the best that the models find for the objective. */
const wanted = Effect.fnUntraced(function* (
  given: Wanted,
  spec: SupernetSpec,
  artifact: string,
  devices: ReadonlyArray<PlannedDevice>,
) {
  const isFree = Option.isNone(given.latency) && Option.isNone(given.accuracy)
  if (Option.isSome(given.strategy)) {
    const strategy = yield* readStrategy(given.strategy.value, spec, devices.length)
    return { strategy, slo: isFree ? undefined : requestedSlo(yield* chosenSlo(given)) }
  }
  const slo = requestedSlo(yield* chosenSlo(given))
  const { strategy } = yield* choose(spec, artifact, devices, slo, given.budgetMs)
  return { strategy, slo }
})

const headline = (spec: SupernetSpec, t: Timeline, accuracy: number, slo: Slo | undefined): string => {
  const met =
    slo === undefined
      ? ""
      : (slo.kind === "latency" ? t.latencyMs <= slo.latencyMs : accuracy >= slo.accuracy)
        ? good("  meets the SLO")
        : bad("  misses the SLO: the nearest that was found")
  const untrained = spec.trained ? "" : dim(" (accuracy of untrained weights is a stand-in)")
  return `${bold(`${t.latencyMs.toFixed(1)} ms`)}, ${percent(accuracy)} top-1 predicted${met}${untrained}`
}

const flags = {
  devices: withShownDefault(
    Flag.String("devices"),
    "Profiles, the local device first: shipped names or files of 'murmuration profile'",
    "raspberry-pi-4,raspberry-pi-4,raspberry-pi-4,raspberry-pi-4,raspberry-pi-4",
  ),
  mbps: withShownDefault(
    Flag.String("mbps"),
    "Bandwidth of the remotes' links: one number, or one for each",
    "100",
  ),
  delay: withShownDefault(
    Flag.String("delay"),
    "One-way delay of the remotes' links, ms: one number, or one for each",
    "5",
  ),
  ...sloFlags,
  strategy: Flag.String("strategy").pipe(
    Flag.withDescription("Evaluate this strategy (JSON file) instead of choosing one"),
    Flag.optional,
  ),
  budgetMs: withShownDefault(Flag.Finite("budget"), "Time for the search, ms", 400),
  explain: Flag.Boolean("explain").pipe(
    Flag.withDescription("Print the timeline: critical path, what each device and link does, idle times"),
    Flag.withDefault(false),
  ),
  svg: Flag.String("svg").pipe(Flag.withDescription("Write the timeline as a Gantt chart"), Flag.optional),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print only the strategy, as JSON"),
    Flag.withDefault(false),
  ),
  supernet: supernetFlag,
}

export const planCommand = Command.make("plan", flags, (given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const devices = yield* plannedDevices(given.devices, given.mbps, given.delay)
    const artifact = given.supernet === "" ? yield* defaultArtifact : given.supernet
    const { spec } = yield* readArtifact(artifact)
    const { strategy, slo } = yield* wanted(given, spec, artifact, devices)
    if (given.json) return yield* Console.log(JSON.stringify(strategy))
    const t = planTimeline(spec, strategy, devices)
    const names = devices.map((_, i) => deviceName(i))
    const { model, refused } = artifactAccuracy(spec, artifact)
    if (refused !== undefined) yield* Console.error(bad(refused))
    const accuracy = model.accuracy(encodeStrategy(spaceOf(spec), strategy, names))
    yield* Console.log(headline(spec, t, accuracy, slo))
    yield* Console.log(`${summarize(t).text}\n${dim(`strategy ${strategyId(spec, strategy)}`)}`)
    if (given.explain) yield* Console.log(`\n${explainText(t)}`)
    if (Option.isSome(given.svg)) {
      yield* fs.writeFileString(given.svg.value, ganttSvg(t))
      yield* Console.log(dim(`wrote ${given.svg.value}`))
    }
  }),
).pipe(Command.withDescription("Choose a strategy for devices and links that you name, and explain its time"))
