/** What `murmuration up` needs to know, gathered from flags and environment into the options of a device. */
import { fileURLToPath } from "node:url"
import { Effect, Result, Schema } from "effect"
import { profileNamed } from "../devices/profiles/Shipped.ts"
import { dilated } from "../devices/profiles/DeviceProfile.ts"
import type { BusOptions } from "../subjects/Bus.ts"
import { busOptions, readCredentials } from "../subjects/Credentials.ts"
import { deviceIdPattern, type DeviceId, isDeviceId } from "../subjects/DeviceId.ts"
import { hubDomain } from "../subjects/Subjects.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import type { DeviceOptions } from "./Device.ts"
import { memoryShares } from "./MemoryShares.ts"

export interface UpOptions {
  /** Empty: the one in the credentials file. */
  readonly device: string
  /** Path of a credentials file; empty: `nats`, `user` and `password` instead. */
  readonly credentials: string
  readonly nats: string
  readonly user: string
  readonly password: string
  /** Name of a shipped profile, or path of a measured one. */
  readonly profile: string
  readonly emulate: boolean
  /** Slow motion: the emulated profile's times are multiplied by this. */
  readonly slow: number
  /** Artifact directory; empty: the default one. */
  readonly supernet: string
  /** Empty: `.run/<device>` in the project's directory. */
  readonly state: string
  readonly providers: ReadonlyArray<string>
  readonly threads: number
  readonly memoryMb: number
  readonly concurrency: number
  readonly decisionBudgetMs: number
}

export class BadDeviceId extends Schema.TaggedError<BadDeviceId>()("BadDeviceId", { given: Schema.String }) {
  readonly hint = "use lower case letters, digits and dashes, at most 32 characters"
  override get message() {
    return `'${this.given}' cannot be a device id (${deviceIdPattern.source}): ${this.hint}`
  }
}

/** How the device gets onto the bus, and the id that its credentials are for. */
const connection = Effect.fnUntraced(function* (o: UpOptions) {
  if (o.credentials === "") {
    const bus: BusOptions = { servers: o.nats, user: o.user, password: o.password, domain: hubDomain }
    return { bus, device: o.device }
  }
  const read = yield* readCredentials(o.credentials)
  const device = o.device === "" ? (read.device ?? "") : o.device
  return { bus: { domain: hubDomain, ...busOptions(read, "murmuration") }, device }
})

const deviceId = (given: string): Effect.Effect<DeviceId, BadDeviceId> =>
  isDeviceId(given) ? Effect.succeed(given) : Effect.fail(new BadDeviceId({ given }))

export const deviceOptions = Effect.fnUntraced(function* (o: UpOptions) {
  const { bus, device: named } = yield* connection(o)
  const device = yield* deviceId(named)
  const profile = yield* Effect.fromResult(
    Result.map(profileNamed(o.profile), (p) => (o.slow === 1 ? p : dilated(p, o.slow))),
  )
  const artifact = o.supernet === "" ? yield* defaultArtifact : o.supernet
  const supernet = yield* readArtifact(artifact)
  const options: DeviceOptions = {
    device,
    bus: { ...bus, name: `murmuration ${device}` },
    supernet,
    profile,
    emulate: o.emulate,
    artifact,
    state: o.state === "" ? fileURLToPath(new URL(`../.run/${device}`, import.meta.url)) : o.state,
    runtime: { threads: o.threads, ...(o.providers.length === 0 ? {} : { providers: o.providers }) },
    memoryBytes: o.memoryMb * 1e6,
    engine: { sessionBudgetBytes: memoryShares(o.memoryMb * 1e6).sessionBytes },
    scheduler: { concurrency: o.concurrency },
    decisionBudgetMs: o.decisionBudgetMs,
  }
  return options
})
