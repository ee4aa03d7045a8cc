/**
 * What a decision is made from: the objective of the request, the devices that are there, and their links.
 * Links form a star (one access link per device); the local device needs none in the paper's scenarios.
 */
import type { Slo as WireSlo } from "../subjects/InferMessages.ts"

/** A latency to stay under (milliseconds, at the serving device), or an accuracy to reach (top-1, 0..1). */
export type Slo =
  | { readonly kind: "latency"; readonly latencyMs: number }
  | { readonly kind: "accuracy"; readonly accuracy: number }

export type SloKind = Slo["kind"]

/** What a request asks for. */
export const requestedSlo = (slo: WireSlo): Slo =>
  slo.latencyMs === undefined
    ? { kind: "accuracy", accuracy: slo.accuracy }
    : { kind: "latency", latencyMs: slo.latencyMs }

export const sloValue = (slo: Slo): number => (slo.kind === "latency" ? slo.latencyMs : slo.accuracy)
export const sloOf = (kind: SloKind, value: number): Slo =>
  kind === "latency" ? { kind, latencyMs: value } : { kind, accuracy: value }

/** One device as the planner sees it: its type names a profile, its link is the access link to the hub. */
export interface DeviceState {
  readonly id: string
  /** Name of a device profile, such as "pi-4". */
  readonly type: string
  readonly bandwidthMbps: number
  /** One way, milliseconds. */
  readonly delayMs: number
  /** Work that the device has taken on already, milliseconds: a new request waits behind it. Absent: idle. */
  readonly backlogMs?: number
}

/** The devices that are present; the first is local: it holds the image and answers the client. */
export interface Condition {
  readonly devices: ReadonlyArray<DeviceState>
}

/** Bandwidth that stands for "no limit that matters": the local device's own link in the paper's scenarios. */
export const idealBandwidthMbps = 100_000
