/**
 * Everything a planner decides from: the objective, the devices with their types, and the links. A star: each device has
 * one access link to the hub; the first device is local (it holds the image and answers the client).
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

/** The service-level objective of a request: a latency to stay under, or an accuracy to reach. */
export const Slo = Schema.Union([
  Schema.TaggedStruct("Latency", { maxMs: Schema.Finite.check(Schema.isGreaterThan(0)) }),
  Schema.TaggedStruct("Accuracy", {
    minTop1: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
  }),
])
export type Slo = typeof Slo.Type

export const latencySlo = (maxMs: number): Slo => ({ _tag: "Latency", maxMs })
export const accuracySlo = (minTop1: number): Slo => ({ _tag: "Accuracy", minTop1 })

export const meetsSlo = (slo: Slo, outcome: { readonly latencyMs: number; readonly top1: number }): boolean =>
  slo._tag === "Latency" ? outcome.latencyMs <= slo.maxMs : outcome.top1 >= slo.minTop1

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
  slo: Slo,
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
