/**
 * Every subject of the system, once. Nothing else joins subject strings.
 *
 * Each docstring gives the literal form, who sends to whom, and what the bus promises. "At most once" means: a message
 * published while a link is down, or to a receiver that cannot keep up, is gone; whoever needs it acknowledged says so.
 * Subjects end in the sender's id where a device must not be able to speak for another: `deploy/` denies each device the
 * forms that carry another's id.
 */
import type { DeviceId } from "./DeviceId.ts"

/** Any device, in patterns for subscriptions. */
export const anyDevice = "*"
type Device = DeviceId | typeof anyDevice

/** `infer.request` · any client -> the nearest Scheduler · request, exactly one reply: an answer or a typed error. */
export const infer = "infer.request"

/**
 * Queue group of `infer.request`. A leaf prefers its own Scheduler strictly, however busy it is; when it has none, the
 * request goes to any other. Gotcha: devices need the grant `infer.>`, not the literal (nats-server #6281).
 */
export const inferQueue = "scheduler"

/** `infer.<device>.request` · any client -> that device's Scheduler · request, as `infer.request`. */
export const inferAt = (device: DeviceId): string => `infer.${device}.request`

/** `plan.<device>` · operators, and programs on the device itself -> Planner · request. Its own Scheduler asks without a message. */
export const plan = (device: DeviceId): string => `plan.${device}`

/** `reconfig.<device>` · Reconfig of a serving device -> Executor · request; the ack says that the segments are ready. */
export const reconfig = (device: DeviceId): string => `reconfig.${device}`

/**
 * `tile.<to>.<from>` · Scheduler or Executor -> Executor · published in chunks with a reply subject; the receiver
 * acknowledges every chunk and the sender keeps a small window open (see `TileSender`). At least once: a resent chunk is
 * recognised by the receiver.
 */
export const tile = (to: Device, from: Device): string => `tile.${to}.${from}`

/**
 * `result.<to>.<from>` · Executor -> Scheduler that serves the request, and from there back to say that a try was given up ·
 * at most once; deadlines cover the loss.
 */
export const result = (to: Device, from: Device): string => `result.${to}.${from}`

/** `probe.<device>` · Monitor -> Monitor · request: a ping, and rarely a bulk train. */
export const probe = (device: DeviceId): string => `probe.${device}`

/** `link.<device>` · Monitor -> Predictor, Planner, watchers · at most once, repeated every second or so. */
export const link = (device: Device): string => `link.${device}`

/** `forecast.<device>` · Predictor -> Planner, watchers · at most once, repeated. */
export const forecast = (device: Device): string => `forecast.${device}`

/** `swarm.<device>` · every device -> all · hello, beat, farewell; at most once, beats repeat. */
export const swarm = (device: Device): string => `swarm.${device}`

/**
 * `rollout.<training>.job` · trainer of a policy -> workers, one of them · request; a job that gets no answer in time is
 * given out again, so a worker may leave at any moment.
 */
export const rolloutJob = (training: string): string => `rollout.${training}.job`

/** Queue group of the workers that roll out. */
export const rolloutQueue = "rollout"

/** `rollout.<training>.setup` · worker -> trainer · request: what the training is about. */
export const rolloutSetup = (training: string): string => `rollout.${training}.setup`

/** `rollout.<training>.weights` · worker -> trainer · request: a part of the weights that a job names. */
export const rolloutWeights = (training: string): string => `rollout.${training}.weights`

/** The training that a subject of these belongs to. */
export const trainingOf = (subject: string): string => subject.split(".")[1] ?? ""

/** Name of the users that may only ask for inference, on the hub and on every leaf. */
export const clientUser = "client"

/**
 * Prefix of the inboxes of clients, who may listen to no others: replies to devices and operators are none of their business.
 * All clients share it, so they are not separated from each other.
 */
export const clientInbox = "_INBOX_client"

/** JetStream domain of the hub: devices reach buckets and objects through it, from their leaf nodes. */
export const hubDomain = "hub"

/** JetStream key-value buckets. Puts are acknowledged by the hub; watchers get the newest value after any cut. */
export const buckets = {
  /** keys of `policyKeys` -> PolicyManifest: operator -> devices. */
  policies: "policies",
  /** key `<strategyId>` -> StrategyRecord: serving device -> all. Strategies that have proved themselves; dropped after a week. */
  strategies: "strategies",
  /** key `<device>` -> DeviceRecord: device -> all. Its profile: how fast it is. */
  devices: "devices",
} as const
export type Bucket = keyof typeof buckets

/** JetStream Object Store for the files of policies; their digests are in the manifests of the buckets. */
export const objectStore = "artifacts"

/** Prefix of the NATS services API (`nats micro ls|info|stats`): `$SRV.PING|INFO|STATS[.<name>[.<id>]]`. */
export const servicesPrefix = "$SRV"
