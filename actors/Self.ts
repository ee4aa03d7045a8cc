/**
 * What this device knows about itself: its identity for one session, the supernet it holds, and the counters that its
 * beats and the services API show. The counters are mutable on purpose: they are written on the hot path.
 */
import { randomBytes } from "node:crypto"
import { createRequire } from "node:module"
import { cpus, hostname, totalmem } from "node:os"
import { Context, Layer } from "effect"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { shortText } from "../subjects/ErrorReply.ts"
import { type DeviceIdentity, type DeviceStatus, protocolVersion } from "../subjects/SwarmMessages.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import type { MemoryShares } from "./MemoryShares.ts"

export interface SelfOptions {
  readonly device: DeviceId
  /** Speed of this device as plans assume it. */
  readonly profile: DeviceProfile
  /** Results are held until the profile's time has passed. */
  readonly emulated: boolean
  readonly spec: SupernetSpec
  /** Digest of the weights: devices with other weights get no work from this one. */
  readonly weightsSha256: string
  readonly memory: MemoryShares
  /** What it says of its software, where that is not what it is: tests of upgrades. */
  readonly software?: { readonly protocol: number; readonly version: string }
}

export interface Counters {
  requests: number
  tasksQueued: number
  answered: number
  refused: number
  dropped: number
  tasks: number
  replans: number
  /** Second tries beside overdue ones. */
  hedges: number
  /** Computation time of this session, ms: the difference of two readings is the load between them. */
  computeMs: number
  /** Prepared now. */
  strategies: number
  /** Resident, and built since the start. */
  sessions: number
  built: number
  policy: { readonly name: string; readonly version: string } | undefined
  lastError: { readonly tag: string; readonly message: string; readonly atMs: number } | undefined
}

export interface SelfShape extends SelfOptions {
  readonly identity: DeviceIdentity
  readonly counters: Counters
  readonly noteError: (tag: string, message: string) => void
  readonly status: (
    peers: ReadonlyArray<DeviceId>,
    busy: number,
    eventLoopLagMs: number,
    backlogMs: Readonly<Record<string, number>>,
  ) => DeviceStatus
}

const versionOf = (name: string): string => {
  try {
    const manifest: { version: string } = createRequire(import.meta.url)(name)
    return manifest.version
  } catch {
    return "unknown"
  }
}

export const versions = {
  murmuration: versionOf("../package.json"),
  node: process.versions.node,
  onnxruntime: versionOf("onnxruntime-node/package.json"),
}

const identityOf = (options: SelfOptions): DeviceIdentity => ({
  device: options.device,
  nonce: randomBytes(6).toString("hex"),
  hostname: hostname(),
  pid: process.pid,
  protocol: options.software?.protocol ?? protocolVersion,
  versions:
    options.software === undefined ? versions : { ...versions, murmuration: options.software.version },
  profile: options.profile.name,
  emulated: options.emulated,
  cpus: cpus().length,
  memoryMb: Math.round(totalmem() / 1e6),
})

const makeSelf = (options: SelfOptions): SelfShape => {
  const startedMs = performance.now()
  const counters: Counters = {
    requests: 0,
    tasksQueued: 0,
    answered: 0,
    refused: 0,
    dropped: 0,
    tasks: 0,
    replans: 0,
    hedges: 0,
    computeMs: 0,
    strategies: 0,
    sessions: 0,
    built: 0,
    policy: undefined,
    lastError: undefined,
  }
  const { spec } = options
  const supernet = {
    name: spec.name,
    version: spec.version,
    sha256: options.weightsSha256,
    trained: spec.trained,
  }
  return {
    ...options,
    identity: identityOf(options),
    counters,
    // Every beat carries it: a long one would be more than a link bears, or than the server takes, and the device would seem gone.
    noteError: (tag, message) => {
      counters.lastError = { tag, message: shortText(message), atMs: performance.now() }
    },
    status: (peers, busy, eventLoopLagMs, backlogMs) => {
      const { requests, tasksQueued, answered, refused, dropped, tasks, replans, hedges, lastError, policy } =
        counters
      const rssMb = process.memoryUsage.rss() / 1e6
      return {
        upMs: performance.now() - startedMs,
        supernet,
        ...(policy === undefined ? {} : { policy }),
        load: { requests, tasksQueued, busy, rssMb, eventLoopLagMs, backlogMs },
        strategies: counters.strategies,
        sessions: counters.sessions,
        built: counters.built,
        counts: { answered, refused, dropped, tasks, replans, hedges },
        ...(lastError === undefined
          ? {}
          : {
              lastError: {
                tag: lastError.tag,
                message: lastError.message,
                ageMs: performance.now() - lastError.atMs,
              },
            }),
        peers,
      }
    },
  }
}

export class Self extends Context.Service<Self, SelfShape>()("actors/Self") {
  static readonly layer = (options: SelfOptions) => Layer.sync(Self, () => Self.of(makeSelf(options)))
}
