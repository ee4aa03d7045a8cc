/**
 * The world as the models see it: latency from `devices/latency`, accuracy from a predictor. What the planner of a running
 * device searches in, and what policies are trained in.
 */
import { type Condition as LatencyCondition, idealLink, symmetricLink } from "../devices/latency/Condition.ts"
import { FastLatency } from "../devices/latency/FastLatency.ts"
import type { Overheads } from "../devices/latency/Overheads.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { localDevice } from "../supernet/Strategy.ts"
import type { Condition } from "./Condition.ts"
import { spaceOf } from "./Genome.ts"
import type { AccuracyModel, LatencyModel, World } from "./World.ts"

/** A condition in the latency model's words: rates up and down instead of one bandwidth, an ideal link for the local device. */
export const latencyCondition = ({ devices }: Condition): LatencyCondition => ({
  devices: devices.map((d, i) => ({
    id: d.id,
    profile: d.type,
    link: i === localDevice ? idealLink : symmetricLink(d.bandwidthMbps, d.delayMs),
    ...(d.backlogMs === undefined ? {} : { backlogMs: d.backlogMs }),
  })),
})

/** Latency by the model of `devices/latency`. All functions of one model share its buffers: not for several threads. */
const modelLatency = (
  spec: SupernetSpec,
  profiles: ReadonlyArray<DeviceProfile>,
  overheads?: Overheads,
): LatencyModel => {
  const model = new FastLatency(spec, profiles, overheads)
  let current: Condition | undefined
  const select = (condition: Condition) => {
    if (current === condition) return
    // Where this one is refused, the model is left with neither.
    current = undefined
    model.setCondition(latencyCondition(condition))
    current = condition
  }
  return {
    at: (condition) => (genome) => {
      select(condition)
      return model.latencyMs(genome)
    },
  }
}

export const modelWorld = (
  spec: SupernetSpec,
  profiles: ReadonlyArray<DeviceProfile>,
  accuracy: AccuracyModel,
  overheads?: Overheads,
): World => ({ space: spaceOf(spec), latency: modelLatency(spec, profiles, overheads), accuracy })
