/** Messages about links: probes between Monitors, what a Monitor measured, what a Predictor expects. */
import { Schema } from "effect"
import { DeviceId } from "./DeviceId.ts"

/**
 * A time that a probe took: an hour at most, whoever says so. Estimates are sums and ratios of what peers say, and an infinite one
 * cannot be reported.
 */
const ProbeMs = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 3_600_000 }))

/** Monitor -> Monitor. A ping carries next to nothing, a bulk probe `payload`. */
export const ProbeRequest = Schema.Struct({
  from: DeviceId,
  seq: Schema.Int,
  kind: Schema.Literals(["ping", "bulk"]),
  payload: Schema.optionalKey(Schema.Uint8Array),
  /** What the ping before this one took there and back, without the peer's share: one pings, both know. */
  roundTripMs: Schema.optionalKey(ProbeMs),
})
export type ProbeRequest = typeof ProbeRequest.Type

export const ProbeReply = Schema.Struct({
  device: DeviceId,
  seq: Schema.Int,
  /** From arrival to reply at the peer; subtract it from the round trip. */
  processingMs: ProbeMs,
  /** For how long tiles to the asker may still occupy the peer's link: the reply may have waited behind them. */
  queuedMs: Schema.optionalKey(ProbeMs),
})
export type ProbeReply = typeof ProbeReply.Type

/** The path from the reporting device to `peer`, as measured. Ages are ms at the moment of sending. */
export const LinkState = Schema.Struct({
  peer: DeviceId,
  /** One way, without queueing. */
  delayMs: Schema.Finite,
  bandwidthMbps: Schema.Finite,
  /** Median round trip minus the smallest, halved: how long data now waits in front of the link. */
  queueDelayMs: Schema.Finite,
  /** 0..1: 0 = a guess, 1 = many fresh samples that agree. */
  confidence: Schema.Finite,
  ageMs: Schema.Finite,
  /** Since something told the bandwidth. Left out where nothing has. */
  bandwidthAgeMs: Schema.optionalKey(Schema.Finite),
  samples: Schema.Int,
  source: Schema.Literals(["assumed", "probe", "tiles"]),
  /** What its newest samples say where that is worse, and they are too few as yet to be believed. */
  feared: Schema.optionalKey(Schema.Struct({ delayMs: Schema.Finite, bandwidthMbps: Schema.Finite })),
})
export type LinkState = typeof LinkState.Type

/** `link.<device>`: all paths that this device sees. */
export const LinkReport = Schema.Struct({
  device: DeviceId,
  seq: Schema.Int,
  links: Schema.Array(LinkState),
})
export type LinkReport = typeof LinkReport.Type

export const LinkForecast = Schema.Struct({
  peer: DeviceId,
  delayMs: Schema.Finite,
  bandwidthMbps: Schema.Finite,
  /** Band that should hold the coming bandwidth with 90 % probability. */
  lowMbps: Schema.Finite,
  highMbps: Schema.Finite,
})
export type LinkForecast = typeof LinkForecast.Type

/** `forecast.<device>`: the conditions expected at each horizon, nearest first. */
export const ForecastReport = Schema.Struct({
  device: DeviceId,
  seq: Schema.Int,
  horizons: Schema.Array(Schema.Struct({ inMs: Schema.Finite, links: Schema.Array(LinkForecast) })),
})
export type ForecastReport = typeof ForecastReport.Type
