/**
 * Which of a scenario's device types a device counts as for a policy: its own where the scenario has it, else the one that is
 * about as fast. A device with a profile of its own is so not shut out; what the policy proposes is checked under the real
 * speeds anyway.
 */
import { maxSubmodel, minSubmodel } from "../supernet/Submodel.ts"
import { type Condition, idealBandwidthMbps } from "./Condition.ts"
import { localGenome } from "./Genome.ts"
import type { Scenario } from "./Scenario.ts"
import type { World } from "./World.ts"

/** As fast as another: the smallest and the largest submodel take up to so many times as long on one of them. */
export const alikeWithin = 1.5

/** Times of the smallest and the largest submodel on a device alone, ms; none of a type that the world does not know. */
const timesOf = (world: World, type: string): ReadonlyArray<number> | undefined => {
  const alone = { devices: [{ id: type, type, bandwidthMbps: idealBandwidthMbps, delayMs: 0 }] }
  const { space } = world
  const submodels = [minSubmodel(space.spec), maxSubmodel(space.spec)]
  try {
    const latencyMs = world.latency.at(alone)
    return submodels.map((s) => latencyMs(localGenome(space, s)))
  } catch {
    return undefined
  }
}

/** The largest ratio of their times, whichever is slower; 1 for equals. */
const distance = (a: ReadonlyArray<number> | undefined, b: ReadonlyArray<number> | undefined): number =>
  a === undefined || b === undefined
    ? Number.POSITIVE_INFINITY
    : Math.max(...a.map((ms, i) => Math.max(ms / (b[i] ?? 0), (b[i] ?? 0) / ms)))

/** Gives conditions in the scenario's types, as far as devices have one; other devices keep theirs. */
export const inTypesOf = (world: World, scenario: Scenario): ((condition: Condition) => Condition) => {
  const known = new Map<string, ReadonlyArray<number> | undefined>()
  const times = (type: string) => {
    if (!known.has(type)) known.set(type, timesOf(world, type))
    return known.get(type)
  }
  const alike = (type: string, among: ReadonlyArray<string>): string => {
    if (among.includes(type)) return type
    const near = [...new Set(among)]
      .map((other) => ({ other, ratio: distance(times(type), times(other)) }))
      .filter(({ ratio }) => ratio <= alikeWithin)
      .sort((a, b) => a.ratio - b.ratio)
    return near[0]?.other ?? type
  }
  return ({ devices }) => ({
    devices: devices.map((d, i) => ({
      ...d,
      type: alike(d.type, i === 0 ? [scenario.local] : scenario.remotes),
    })),
  })
}
