/**
 * What a latency depends on beside the strategy: the devices with their profiles, their links, and the work they have. A
 * star: each device has one access link to the hub; the first device is local (it holds the image and answers the client).
 * What a client asks for is no part of it: objectives are `policies/Condition.ts`, which `policies/ModelWorld.ts` brings here.
 */

/** One device's access link to the hub. An ideal one has infinite rates and no delay. */
export interface Link {
  /** From the device to the hub, and back. */
  readonly upMbps: number
  readonly downMbps: number
  /** One way, each way. */
  readonly delayMs: number
}

export const idealLink: Link = { upMbps: Infinity, downMbps: Infinity, delayMs: 0 }

export interface ConditionDevice {
  readonly id: string
  /** Name of its `DeviceProfile`. */
  readonly profile: string
  readonly link: Link
  /** Work that the device has taken on already: it turns to a new request when that is done. Default 0. */
  readonly backlogMs?: number
}

export interface Condition {
  /** The local device first. */
  readonly devices: ReadonlyArray<ConditionDevice>
}

/** A link with one rate both ways, as the paper's scenarios have it: (bandwidth, delay). */
export const symmetricLink = (mbps: number, delayMs: number): Link => ({
  upMbps: mbps,
  downMbps: mbps,
  delayMs,
})

/** Milliseconds per byte at a rate. */
export const msPerByte = (mbps: number): number => 8 / (mbps * 1000)
