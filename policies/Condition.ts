/**
 * What a decision is made from: the objective of the request, the devices that are there, and their links.
 * Links form a star (one access link per device); the local device needs none in the paper's scenarios.
 */
import type { Slo as WireSlo } from "../subjects/InferMessages.ts"
import type { Condition, DeviceState, Slo } from "./Schemas.ts"

export type { Condition, DeviceState, Slo }

export type SloKind = Slo["kind"]

/** What a request asks for. */
export const requestedSlo = (slo: WireSlo): Slo =>
  slo.latencyMs === undefined
    ? { kind: "accuracy", accuracy: slo.accuracy }
    : { kind: "latency", latencyMs: slo.latencyMs }

export const sloValue = (slo: Slo): number => (slo.kind === "latency" ? slo.latencyMs : slo.accuracy)
export const sloOf = (kind: SloKind, value: number): Slo =>
  kind === "latency" ? { kind, latencyMs: value } : { kind, accuracy: value }

/** Bandwidth that stands for "no limit that matters": the local device's own link in the paper's scenarios. */
export const idealBandwidthMbps = 100_000
