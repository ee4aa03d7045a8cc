/**
 * A scenario says on which conditions a policy is trained and evaluated: the device types, and a range for every metric of
 * the constraint space (paper section 6.1.1: 10 discrete points per metric in training, continuous values at run time).
 *
 * All code below the scenario speaks of *ease*: each metric mapped to [0, 1], 0 the strictest end of its range, 1 the most
 * relaxed. A constraint is the vector of eases (SLO, then bandwidth and delay of each remote slot), and "stricter" is the
 * component-wise order that the paper's dominance observation needs. A device that is absent has ease -1: stricter still.
 */
import { type Condition, idealBandwidthMbps, type Slo, type SloKind, sloOf, sloValue } from "./Condition.ts"
import type { Range, Scenario } from "./Schemas.ts"

export type { Range, Scenario }

/** Where a value lies in its range: 0 at min, 1 at max, beyond them outside. */
export const positionOf = (range: Range, value: number): number =>
  range.scale === "log"
    ? Math.log(Math.max(value, 1e-9) / range.min) / Math.log(range.max / range.min)
    : (value - range.min) / (range.max - range.min)

const valueAt = (range: Range, position: number): number =>
  range.scale === "log"
    ? range.min * (range.max / range.min) ** position
    : range.min + position * (range.max - range.min)

export const sloRange = (scenario: Scenario, kind: SloKind): Range =>
  kind === "latency" ? scenario.latencySloMs : scenario.accuracySlo

/** Eases: [SLO, bandwidth 1, delay 1, bandwidth 2, ...]; -1 for both metrics of an absent remote. */
export type Constraint = Float64Array

export const dimensions = (scenario: Scenario): number => 1 + 2 * scenario.remotes.length
export const absent = -1
export const bandwidthAt = (slot: number): number => 1 + 2 * slot
export const delayAt = (slot: number): number => 2 + 2 * slot
export const isPresent = (constraint: Constraint, slot: number): boolean =>
  (constraint[bandwidthAt(slot)] ?? absent) > absent

const sloEase = (scenario: Scenario, slo: Slo): number => {
  const position = positionOf(sloRange(scenario, slo.kind), sloValue(slo))
  return slo.kind === "latency" ? position : 1 - position
}

export const sloAtEase = (scenario: Scenario, kind: SloKind, ease: number): Slo =>
  sloOf(kind, valueAt(sloRange(scenario, kind), kind === "latency" ? ease : 1 - ease))

/** A link's quality as one number: milliseconds to deliver 100 kB. Orders remotes of one type into slots. */
const deliveryMs = (bandwidthMbps: number, delayMs: number): number => delayMs + 800 / bandwidthMbps

const linkAtEase = (scenario: Scenario, bandwidthEase: number, delayEase: number) => ({
  bandwidthMbps: valueAt(scenario.bandwidthMbps, bandwidthEase),
  delayMs: valueAt(scenario.delayMs, 1 - delayEase),
})

/**
 * Puts remotes of the same type into a fixed order, best link first, absent ones last: which of four equal devices is
 * called "2" means nothing, and a policy should not have to learn that.
 */
export const sortSlots = (scenario: Scenario, constraint: Constraint): Constraint => {
  const sorted = constraint.slice()
  for (let first = 0; first < scenario.remotes.length;) {
    let end = first + 1
    while (end < scenario.remotes.length && scenario.remotes[end] === scenario.remotes[first]) end++
    const slots = Array.from({ length: end - first }, (_, i) => {
      const [bandwidth, delay] = [
        constraint[bandwidthAt(first + i)] ?? absent,
        constraint[delayAt(first + i)] ?? absent,
      ]
      const link = linkAtEase(scenario, bandwidth, delay)
      const costMs =
        bandwidth <= absent ? Number.POSITIVE_INFINITY : deliveryMs(link.bandwidthMbps, link.delayMs)
      return { bandwidth, delay, costMs }
    }).sort((a, b) => (a.costMs === b.costMs ? 0 : a.costMs - b.costMs))
    for (const [i, s] of slots.entries()) {
      sorted[bandwidthAt(first + i)] = s.bandwidth
      sorted[delayAt(first + i)] = s.delay
    }
    first = end
  }
  return sorted
}

/** The condition of a constraint. Absent remotes are left out, so device index is not slot index: see `devicesOfSlots`. */
export const conditionOf = (scenario: Scenario, constraint: Constraint): Condition => ({
  devices: [
    { id: "local", type: scenario.local, bandwidthMbps: idealBandwidthMbps, delayMs: 0 },
    ...scenario.remotes.flatMap((type, slot) =>
      isPresent(constraint, slot)
        ? [
            {
              id: `remote-${slot + 1}`,
              type,
              ...linkAtEase(scenario, constraint[bandwidthAt(slot)] ?? 0, constraint[delayAt(slot)] ?? 0),
            },
          ]
        : [],
    ),
  ],
})

/** A condition fitted into the scenario's slots. */
export interface Fitted {
  readonly constraint: Constraint
  /** Index into the condition's devices, for local (0) and each remote slot (1..); -1 where the slot is empty. */
  readonly deviceOfSlot: ReadonlyArray<number>
}

/**
 * Finds slots for the devices of any condition: every remote needs a free slot of its type; undefined when one has none, or
 * when the local device is of another type. A remote's path from local takes the smaller bandwidth and the sum of delays.
 */
export const fitCondition = (scenario: Scenario, condition: Condition, slo: Slo): Fitted | undefined => {
  const [local, ...remotes] = condition.devices
  if (local === undefined || local.type !== scenario.local) return undefined
  const constraint = new Float64Array(dimensions(scenario)).fill(absent)
  constraint[0] = sloEase(scenario, slo)
  const deviceOfSlot = [0, ...scenario.remotes.map(() => -1)]
  const paths = remotes.map((d, i) => ({
    device: i + 1,
    type: d.type,
    bandwidthMbps: Math.min(d.bandwidthMbps, local.bandwidthMbps),
    delayMs: d.delayMs + local.delayMs,
  }))
  paths.sort((a, b) => deliveryMs(a.bandwidthMbps, a.delayMs) - deliveryMs(b.bandwidthMbps, b.delayMs))
  for (const path of paths) {
    const slot = scenario.remotes.findIndex((type, s) => type === path.type && deviceOfSlot[s + 1] === -1)
    if (slot < 0) return undefined
    deviceOfSlot[slot + 1] = path.device
    // Links better or worse than the range count as its end: eases stay in [0, 1], so that 'absent' stays apart.
    const clamp = (x: number) => Math.min(1, Math.max(0, x))
    constraint[bandwidthAt(slot)] = clamp(positionOf(scenario.bandwidthMbps, path.bandwidthMbps))
    constraint[delayAt(slot)] = clamp(1 - positionOf(scenario.delayMs, path.delayMs))
  }
  return { constraint, deviceOfSlot }
}
