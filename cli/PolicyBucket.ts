/** `murmuration policy push|list|show|rollback|pin`: which policies the swarm decides with. Needs the operator's credentials. */
import { Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type PolicyArtifact, readPolicy, sideFiles } from "../policies/PolicyArtifact.ts"
import { putBlob } from "../subjects/Blobs.ts"
import { openBucket, type TypedBucket } from "../subjects/Buckets.ts"
import { policyManifest } from "../subjects/Codecs.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { policyKeys, type PolicyManifest } from "../subjects/Manifests.ts"
import { connectedBus, connectionFlags, connectionGiven } from "./Connection.ts"
import { nextCommand } from "./Next.ts"
import { bold, columns, dim } from "./Text.ts"

export class NoSuchPolicy extends Schema.TaggedError<NoSuchPolicy>()("NoSuchPolicy", {
  policy: Schema.String,
  version: Schema.String,
}) {
  readonly hint = "'murmuration policy list' shows the names and versions that were pushed"
  override get message() {
    return `there is no policy ${this.policy}${this.version === "" ? "" : ` ${this.version}`}`
  }
}

/** The directory that should be pushed holds no policy, or one that is damaged. */
export class NoPolicyThere extends Schema.TaggedError<NoPolicyThere>()("NoPolicyThere", {
  directory: Schema.String,
  detail: Schema.String,
}) {
  readonly hint =
    "give the folder of a training, as 'murmuration policy train' names it at its end, such as .train/policies/swarm-latency-supreme-1"
  override get message() {
    return `${this.directory} holds no policy that can be read: ${this.detail}`
  }
}

type PolicyBucket = TypedBucket<PolicyManifest>
const bucket = openBucket("policies", policyManifest)

/** Objects first, then the version, then what is active: nobody ever sees a manifest without its bytes. */
export const pushPolicy = Effect.fn("pushPolicy")(function* (artifact: PolicyArtifact) {
  const { manifest, onnx } = artifact
  const policies = yield* bucket
  yield* putBlob(manifest.onnx.object, onnx)
  for (const [name, bytes] of sideFiles(artifact)) {
    const ref = manifest.files[name]
    if (ref !== undefined) yield* putBlob(ref.object, bytes)
  }
  yield* policies.put(policyKeys.version(manifest.name, manifest.version), manifest)
  yield* policies.put(policyKeys.active(manifest.name), manifest)
  return manifest
})

const found = (policies: PolicyBucket, key: string, policy: string, version: string) =>
  policies.get(key).pipe(
    Effect.flatMap(
      Option.match({
        onNone: () => Effect.fail(new NoSuchPolicy({ policy, version })),
        onSome: (entry) => Effect.succeed(entry.value),
      }),
    ),
  )

/** Puts a version active that was pushed before. */
export const activatePolicy = Effect.fn("activatePolicy")(function* (name: string, version: string) {
  const policies = yield* bucket
  const manifest = yield* found(policies, policyKeys.version(name, version), name, version)
  yield* policies.put(policyKeys.active(name), manifest)
  return manifest
})

interface Listed {
  readonly manifest: PolicyManifest
  readonly state: string
}

const listed = Effect.gen(function* () {
  const policies = yield* bucket
  const keys = yield* policies.keys
  const entries: Array<Listed> = []
  const active = new Map<string, string>()
  for (const key of keys.filter((k) => k.startsWith("active."))) {
    const manifest = yield* found(policies, key, key, "")
    active.set(manifest.name, manifest.version)
  }
  for (const key of keys.filter((k) => !k.startsWith("active.")).sort()) {
    const manifest = yield* found(policies, key, key, "")
    const pin = /^pin\.([^.]+)\./.exec(key)?.[1]
    const state =
      pin === undefined
        ? active.get(manifest.name) === manifest.version
          ? "active"
          : ""
        : `pinned on ${pin}`
    entries.push({ manifest, state })
  }
  return entries
})

const metricsText = (m: PolicyManifest): string =>
  Object.entries(m.metrics)
    .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
    .join(", ")

const row = ({ manifest: m, state }: Listed): ReadonlyArray<string> => [
  bold(m.name),
  m.version,
  state,
  `${m.supernet.name} ${m.supernet.version}`,
  `${Math.round(m.onnx.bytes / 1024)} KB`,
  dim(metricsText(m)),
]

const nameArgument = Argument.String("policy").pipe(
  Argument.withDescription("<scenario>.<kind>, such as swarm.latency"),
)
const versionArgument = Argument.String("version")
const json = Flag.Boolean("json").pipe(Flag.withDescription("As JSON"), Flag.withDefault(false))

const push = Command.make(
  "push",
  {
    directory: Argument.String("directory").pipe(
      Argument.withDescription("Policy artifact, as 'policy train' writes it"),
    ),
    ...connectionFlags,
  },
  Effect.fn(function* ({ directory, ...choice }) {
    const artifact = yield* readPolicy(directory).pipe(
      Effect.mapError((e) => new NoPolicyThere({ directory, detail: e.problems.join("; ") })),
    )
    const manifest = yield* Effect.provide(pushPolicy(artifact), connectedBus(choice))
    yield* Console.log(
      `${manifest.name} ${manifest.version} is active. Devices that refuse it say so: ${nextCommand("swarm", connectionGiven(choice))}`,
    )
  }),
).pipe(Command.withDescription("Upload a policy and make it active on all devices"))

const list = Command.make(
  "list",
  { json, ...connectionFlags },
  Effect.fn(function* (given) {
    const all = yield* Effect.provide(listed, connectedBus(given))
    if (given.json) return yield* Console.log(JSON.stringify(all))
    if (all.length === 0)
      return yield* Console.log("No policy was pushed; devices use those that come with the project.")
    yield* Console.log(
      columns([["policy", "version", "", "supernet", "size", "metrics"].map(dim), ...all.map(row)]),
    )
  }),
).pipe(Command.withDescription("Show all pushed policies and which are active"))

const show = Command.make(
  "show",
  { name: nameArgument, ...connectionFlags },
  Effect.fn(function* ({ name, ...choice }) {
    const get = Effect.flatMap(bucket, (policies) => found(policies, policyKeys.active(name), name, ""))
    yield* Console.log(JSON.stringify(yield* Effect.provide(get, connectedBus(choice)), null, 2))
  }),
).pipe(Command.withDescription("Print the manifest of the active version"))

const rollback = Command.make(
  "rollback",
  {
    name: nameArgument,
    version: versionArgument.pipe(Argument.withDescription("A version that was pushed before")),
    ...connectionFlags,
  },
  Effect.fn(function* ({ name, version, ...choice }) {
    const manifest = yield* Effect.provide(activatePolicy(name, version), connectedBus(choice))
    yield* Console.log(`${manifest.name} is back at ${manifest.version}.`)
  }),
).pipe(Command.withDescription("Make an earlier version active again"))

const pin = Command.make(
  "pin",
  {
    device: Argument.String("device").pipe(Argument.withSchema(DeviceId)),
    name: nameArgument,
    version: Argument.String("version").pipe(
      Argument.withDescription("The version that this device keeps; absent: unpin"),
      Argument.optional,
    ),
    ...connectionFlags,
  },
  Effect.fn(function* ({ device, name, version, ...choice }) {
    const change = Effect.gen(function* () {
      const policies = yield* bucket
      const key = policyKeys.pin(device, name)
      if (Option.isNone(version)) return yield* policies.remove(key)
      yield* policies.put(
        key,
        yield* found(policies, policyKeys.version(name, version.value), name, version.value),
      )
    })
    yield* Effect.provide(change, connectedBus(choice))
    const now = Option.isNone(version) ? "follows the active version again" : `stays at ${version.value}`
    yield* Console.log(`${name} on ${device} ${now}.`)
  }),
).pipe(Command.withDescription("Keep one device at one version, whatever is active"))

/** Sub-commands of `murmuration policy` that talk to the swarm. */
export const policyBucketCommands = [push, list, show, rollback, pin] as const
