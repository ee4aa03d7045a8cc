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
import { depthOf, type Genome, type Space, spaceOf } from "./Genome.ts"
import type { AccuracyModel, LatencyModel, World } from "./World.ts"

/** Rewrites a genome in the latency model's encoding: a padded header with depths as numbers of blocks, then equal bytes. */
const encode = (space: Space, headerBytes: number, genome: Genome, out: Int8Array): void => {
  out[0] = genome[0] ?? 0
  for (let stage = 0; stage < space.stages; stage++) out[1 + stage] = depthOf(space, genome, stage)
  const shift = headerBytes - space.firstBlockGene
  for (let i = space.firstBlockGene; i < space.length; i++) out[i + shift] = genome[i] ?? 0
}

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
export const modelLatency = (
  spec: SupernetSpec,
  profiles: ReadonlyArray<DeviceProfile>,
  overheads?: Overheads,
): LatencyModel => {
  const space = spaceOf(spec)
  const model = new FastLatency(spec, profiles, overheads)
  const encoded = new Int8Array(model.encoding.bytes)
  let current: Condition | undefined
  const select = (condition: Condition) => {
    if (current === condition) return
    model.setCondition(latencyCondition(condition))
    current = condition
  }
  return {
    at: (condition) => (genome) => {
      select(condition)
      encode(space, model.encoding.headerBytes, genome, encoded)
      return model.latencyMs(encoded)
    },
  }
}

export const modelWorld = (
  spec: SupernetSpec,
  profiles: ReadonlyArray<DeviceProfile>,
  accuracy: AccuracyModel,
  overheads?: Overheads,
): World => ({ space: spaceOf(spec), latency: modelLatency(spec, profiles, overheads), accuracy })
