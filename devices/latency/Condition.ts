/**
 * What a latency depends on beside the strategy: the devices with their profiles, their links, and the work they have. A
 * star: each device has one access link to the hub; the first device is local (it holds the image and answers the client).
 * What a client asks for is no part of it: objectives are `policies/Condition.ts`, which `policies/ModelWorld.ts` brings here.
 */
import { Schema } from "effect"

// An ideal link has infinite rates.
// @effect-diagnostics-next-line schemaNumber:off
const Rate = Schema.Number.check(Schema.isGreaterThan(0))

/** One device's access link to the hub. An ideal one has infinite rates and no delay. */
export const Link = Schema.Struct({
  /** From the device to the hub, and back. */
  upMbps: Rate,
  downMbps: Rate,
  /** One way, each way. */
  delayMs: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
})
export type Link = typeof Link.Type

export const idealLink: Link = { upMbps: Infinity, downMbps: Infinity, delayMs: 0 }

export const ConditionDevice = Schema.Struct({
  id: Schema.String,
  /** Name of its `DeviceProfile`. */
  profile: Schema.String,
  link: Link,
  /** Work that the device has taken on already: it turns to a new request when that is done. Default 0. */
  backlogMs: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
})
export type ConditionDevice = typeof ConditionDevice.Type

export const Condition = Schema.Struct({
  /** The local device first. */
  devices: Schema.Array(ConditionDevice),
})
export type Condition = typeof Condition.Type

/** A link with one rate both ways, as the paper's scenarios have it: (bandwidth, delay). */
export const symmetricLink = (mbps: number, delayMs: number): Link => ({
  upMbps: mbps,
  downMbps: mbps,
  delayMs,
})

/** Milliseconds per byte at a rate. */
export const msPerByte = (mbps: number): number => 8 / (mbps * 1000)
