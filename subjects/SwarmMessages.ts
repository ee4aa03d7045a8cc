/**
 * Membership: `swarm.<device>` carries hello (on joining), beat (every half second or so) and farewell (on leaving).
 * A beat describes the device fully, so that a view of the swarm never needs to ask.
 */
import { Schema } from "effect"
import { DeviceId } from "./DeviceId.ts"

/**
 * Version of everything that devices say to each other. Devices whose versions differ see each other but give each other
 * no work; the refusal is `Incompatible`.
 */
export const protocolVersion = 1

const Named = Schema.Struct({ name: Schema.String, version: Schema.String })

/** What does not change during a session of a device. */
export const DeviceIdentity = Schema.Struct({
  device: DeviceId,
  /** Random per start. Two nonces beating under one id at the same time are two hosts with a copied configuration. */
  nonce: Schema.String,
  hostname: Schema.String,
  pid: Schema.Int,
  protocol: Schema.Int,
  /** Versions of the software: murmuration, node, onnxruntime, nats-server. */
  versions: Schema.Record(Schema.String, Schema.String),
  /** Device profile, such as `pi4`. */
  profile: Schema.String,
  /** True where results are held back to the profile's timing. */
  emulated: Schema.Boolean,
  cpus: Schema.Int,
  memoryMb: Schema.Finite,
})
export type DeviceIdentity = typeof DeviceIdentity.Type

/** What a device is doing, at the moment of sending. */
export const DeviceStatus = Schema.Struct({
  upMs: Schema.Finite,
  supernet: Schema.optionalKey(
    Schema.Struct({ ...Named.fields, sha256: Schema.String, trained: Schema.Boolean }),
  ),
  policy: Schema.optionalKey(Named),
  load: Schema.Struct({
    /** Requests that this device serves, and tasks that wait for or occupy its engine. */
    requests: Schema.Int,
    tasksQueued: Schema.Int,
    /** Share of the last seconds in which the engine computed, 0..1. */
    busy: Schema.Finite,
    rssMb: Schema.Finite,
    eventLoopLagMs: Schema.Finite,
    /** Work taken on and not done, ms of computation, by the device that serves the request: who plans adds it up. */
    backlogMs: Schema.optionalKey(Schema.Record(DeviceId, Schema.Finite)),
  }),
  /** Strategies that are ready to run without preparation, and sessions resident for them. */
  strategies: Schema.Int,
  sessions: Schema.Int,
  /** Sessions built since the start: much more than are resident, and the device has too little memory for what it is asked. */
  built: Schema.Int,
  /** Since the start: requests answered, refused with a typed error, messages dropped because they were bad or late. */
  counts: Schema.Struct({
    answered: Schema.Int,
    refused: Schema.Int,
    dropped: Schema.Int,
    tasks: Schema.Int,
    replans: Schema.Int,
    hedges: Schema.optionalKey(Schema.Int),
  }),
  lastError: Schema.optionalKey(
    Schema.Struct({ tag: Schema.String, message: Schema.String, ageMs: Schema.Finite }),
  ),
  /** Peers that this device counts as present: two views that differ show a partition. */
  peers: Schema.Array(DeviceId),
})
export type DeviceStatus = typeof DeviceStatus.Type

const description = { seq: Schema.Int, identity: DeviceIdentity, status: DeviceStatus }

export const SwarmMessage = Schema.Union([
  /** On joining, and once in answer to another's hello, so that a new device knows all at once. */
  Schema.TaggedStruct("Hello", { ...description, reply: Schema.Boolean }),
  Schema.TaggedStruct("Beat", description),
  /** On leaving: take no more work here. `drainMs`: how long it still finishes what it has. */
  Schema.TaggedStruct("Farewell", {
    device: DeviceId,
    nonce: Schema.String,
    reason: Schema.String,
    drainMs: Schema.Finite,
  }),
]).pipe(Schema.toTaggedUnion("_tag"))
export type SwarmMessage = typeof SwarmMessage.Type
