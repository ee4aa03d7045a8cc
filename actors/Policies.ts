/**
 * Keeps this device's policies current. It starts with the last good ones on disk, else with those that come with the
 * project; then it watches the bucket: a policy that is put active is fetched, checked, tried in the planning thread, used
 * from the next decision on, and written to disk. One that does not fit is refused and reported, and the old one stays. Those
 * that come with the project are not written: they would hide those of the project's next version. Changes do not wait for each
 * other: what cannot be fetched is tried until it can be, or until the next change of the same policy.
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, FiberMap, Layer, Schedule, Semaphore, Stream } from "effect"
import {
  assemblePolicy,
  type PolicyArtifact,
  policyProblems,
  PolicyRefused,
  readPolicy,
  writePolicy,
} from "../policies/PolicyArtifact.ts"
import { getBlob } from "../subjects/Blobs.ts"
import { type Change, openBucket, type TypedBucket } from "../subjects/Buckets.ts"
import { Bus } from "../subjects/Bus.ts"
import { policyManifest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { lasting, lastingEach } from "../subjects/Lasting.ts"
import { policyKeys, type PolicyManifest } from "../subjects/Manifests.ts"
import { errorText } from "../supernet/ErrorText.ts"
import { Self } from "./Self.ts"
import { Thinker } from "./Thinker.ts"

export interface PoliciesOptions {
  /** Directory of the policies that come with the project, one sub-directory each. */
  readonly shipped: string
  /** Where the last good policies are kept; absent: nowhere. */
  readonly kept?: string
}

export interface PoliciesShape {
  /** Policies in use, by name. */
  readonly current: () => ReadonlyMap<string, PolicyManifest>
  /** Uses a policy from the next decision on, if it fits. */
  readonly adopt: (artifact: PolicyArtifact) => Effect.Effect<void, PolicyRefused>
}

const subdirectories = (path: string | undefined): ReadonlyArray<string> =>
  path === undefined || statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true
    ? []
    : readdirSync(path, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? [join(path, e.name)] : []))

const refusedFor = ({ name, version }: PolicyManifest, ...problems: ReadonlyArray<string>) =>
  new PolicyRefused({ policy: name, version, problems })

const unreadable = (key: string, detail: string) =>
  new PolicyRefused({ policy: key, version: "", problems: [`its manifest is unreadable: ${detail}`] })

/** Between two tries to reach the hub. They have no end of their own: the next change for the policy's name ends them. */
const tryAgain = Schedule.spaced("1 second")

/** The manifest's objects from the hub, checked against it. */
const fetch = (manifest: PolicyManifest) =>
  Effect.gen(function* () {
    const scenario = manifest.files["scenario.json"]
    if (scenario === undefined) return yield* refusedFor(manifest, "it has no scenario")
    const [onnx, bytes] = yield* Effect.all([getBlob(manifest.onnx), getBlob(scenario)], { concurrency: 2 })
    return yield* Effect.fromResult(assemblePolicy(manifest, onnx, bytes))
  }).pipe(
    // The hub may go away between the manifest and its objects; wrong bytes will not become right by trying again.
    Effect.retry({
      schedule: tryAgain,
      while: (e) => e._tag === "BlobUnavailable" && e.reason === "Unreachable",
    }),
    Effect.catchTag("BlobUnavailable", (e) => Effect.fail(refusedFor(manifest, e.message))),
  )

/** Keeps a policy for a start without the hub. A full disk costs nothing but that. */
const keep = ({ kept }: PoliciesOptions, artifact: PolicyArtifact) =>
  kept === undefined
    ? Effect.void
    : Effect.try(() => writePolicy(join(kept, artifact.manifest.name), artifact)).pipe(
        Effect.catch((e) => {
          const { name, version } = artifact.manifest
          const why = `policy ${name} ${version} is in use, but could not be kept in ${kept}`
          return Effect.logWarning(`${why}: ${errorText(e.cause)}`)
        }),
      )

/** Uses policies in the planning thread, after a check. */
const adopting = Effect.gen(function* () {
  const self = yield* Self
  const thinker = yield* Thinker
  const note = () => {
    const [first] = thinker.policies().values()
    const names = [...thinker.policies().keys()].join("+")
    self.counters.policy = first === undefined ? undefined : { name: names, version: first.manifest.version }
  }
  return Effect.fnUntraced(function* (artifact: PolicyArtifact) {
    const problems = policyProblems(artifact, self.spec)
    if (problems.length > 0) return yield* refusedFor(artifact.manifest, ...problems)
    yield* thinker.adopt(artifact)
    note()
  })
})

/** What comes with the project, then what was last good here. */
const startWith = ({ shipped, kept }: PoliciesOptions, adopt: PoliciesShape["adopt"]) =>
  Effect.forEach(
    [...subdirectories(shipped), ...subdirectories(kept)],
    (directory) =>
      // A shipped policy for another supernet is no fault: it is for those who run that one.
      readPolicy(directory).pipe(
        Effect.flatMap(adopt),
        Effect.catch((e) => Effect.logDebug(e.message)),
      ),
    { discard: true },
  )

/** Uses a manifest's policy; what is wrong with it is reported. */
type Use = (manifest: PolicyManifest) => Effect.Effect<void>
type Report = (refused: PolicyRefused) => Effect.Effect<void>

/** Gives the function that uses a manifest's policy, unless it is in use: fetches, checks, adopts and keeps it. */
const using = (options: PoliciesOptions, adopt: PoliciesShape["adopt"], report: Report) =>
  Effect.gen(function* () {
    const thinker = yield* Thinker
    const oneAtATime = (yield* Semaphore.make(1)).withPermits(1)
    const isCurrent = ({ name, version, onnx }: PolicyManifest) => {
      const now = thinker.policies().get(name)?.manifest
      return now?.version === version && now.onnx.sha256 === onnx.sha256
    }
    const take = (artifact: PolicyArtifact) => {
      const { name, version } = artifact.manifest
      return adopt(artifact).pipe(
        Effect.andThen(keep(options, artifact)),
        Effect.andThen(Effect.logInfo(`policy ${name} ${version} is in use`)),
        // A newer change comes before it or after it, never in the middle.
        Effect.uninterruptible,
        oneAtATime,
      )
    }
    return (manifest: PolicyManifest) =>
      oneAtATime(Effect.sync(() => isCurrent(manifest))).pipe(
        Effect.flatMap((isInUse) => (isInUse ? Effect.void : Effect.flatMap(fetch(manifest), take))),
        Effect.catchTag("PolicyRefused", report),
      )
  })

/**
 * Gives the function that follows the changes of the bucket. A change begins and does not wait: one that cannot be fetched
 * goes on being tried, and holds up nobody, until the next change of that name takes its place.
 */
const following = (device: DeviceId, bucket: TypedBucket<PolicyManifest>, use: Use, report: Report) =>
  Effect.gen(function* () {
    const latest = yield* FiberMap.make<string>()
    /** Names that this device is pinned to another version of. */
    const pinned = new Set<string>()
    /** In place of what was begun for that name before. */
    const begin = (name: string, then: Effect.Effect<void>) =>
      FiberMap.run(latest, name, lasting(`policy ${name}`, then))
    const useActive = (name: string) =>
      bucket.get(policyKeys.active(name)).pipe(
        Effect.retry({ schedule: tryAgain, while: (e) => e._tag === "BucketUnavailable" }),
        Effect.flatMap((found) => (found._tag === "Some" ? use(found.value.value) : Effect.void)),
        Effect.catch((e) => report(unreadable(policyKeys.active(name), e.message))),
      )
    return lastingEach("policies", (change: Change<PolicyManifest>) => {
      if (change._tag === "Unreadable") return report(unreadable(change.key, change.error.message))
      const name = change.key.replace(/^(active|pin\.[^.]+)\./, "")
      if (change.key === policyKeys.pin(device, name)) {
        if (change._tag === "Put") pinned.add(name)
        else pinned.delete(name)
        return begin(name, change._tag === "Put" ? use(change.value) : useActive(name))
      }
      if (change.key !== policyKeys.active(name) || pinned.has(name)) return Effect.void
      return begin(name, change._tag === "Put" ? use(change.value) : Effect.void)
    })
  })

const make = (options: PoliciesOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const thinker = yield* Thinker
    const bus = yield* Bus
    const bucket = yield* openBucket("policies", policyManifest)
    const adopt = yield* adopting
    const report: Report = (e) =>
      Effect.andThen(
        Effect.sync(() => self.noteError("PolicyRefused", e.message)),
        Effect.logWarning(`refused ${e.message}. ${e.hint}`),
      )
    const use = yield* using(options, adopt, report)
    const onBus: Use = (manifest) => Effect.provideService(use(manifest), Bus, bus)
    const follow = yield* following(self.device, bucket, onBus, report)

    yield* startWith(options, adopt)
    yield* bucket.changes.pipe(Stream.runForEach(follow), Effect.forkScoped)
    return Policies.of({
      current: () => new Map([...thinker.policies()].map(([name, p]) => [name, p.manifest])),
      adopt,
    })
  })

export class Policies extends Context.Service<Policies, PoliciesShape>()("actors/Policies") {
  static readonly layer = (options: PoliciesOptions) => Layer.effect(Policies, make(options))
}
