/**
 * What a millisecond of work costs the others. A plan that is fastest for its own request may cost the swarm more work
 * than another (tiles are narrowed, widened, sent, started one by one): on idle devices that is free, on busy ones every
 * request behind waits for it. So under load plans are compared by latency plus work at a price.
 */
import type { Condition } from "../policies/Condition.ts"

/** Less than this waiting for a device is no load: what a request leaves behind, or a beat that is a moment old. */
export const idleMs = 5

/** At this price nothing but the work counts any more. */
const highest = 20

/**
 * Price per device of the condition: the square of how many usual requests wait there. One request waiting doubles the
 * weight of work; three or more make it all that counts.
 */
export const prices = (condition: Condition, typicalMs: number): ReadonlyArray<number> =>
  condition.devices.map(({ backlogMs = 0 }) =>
    backlogMs <= idleMs || typicalMs <= 0 ? 0 : Math.min(highest, (backlogMs / typicalMs) ** 2),
  )

export const isBusy = ({ devices }: Condition): boolean => devices.some((d) => (d.backlogMs ?? 0) > idleMs)

/** The same devices and links with nothing to do. */
export const atRest = (condition: Condition): Condition => ({
  devices: condition.devices.map(({ id, type, bandwidthMbps, delayMs }) => ({
    id,
    type,
    bandwidthMbps,
    delayMs,
  })),
})

/** The devices that nobody waits for, and the local one: who a second request at the same time can use without a queue. */
export const idlePart = ({ devices }: Condition): Condition =>
  atRest({ devices: devices.filter((d, i) => i === 0 || (d.backlogMs ?? 0) <= idleMs) })
