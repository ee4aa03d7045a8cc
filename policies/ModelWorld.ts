/**
 * The world as the models see it: latency from `devices/latency`, accuracy from a predictor. What the planner of a running
 * device searches in, and what policies are trained in.
 */
import { FastLatency } from "../devices/latency/FastLatency.ts"
import type { Overheads } from "../devices/latency/Overheads.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { localDevice } from "../supernet/Strategy.ts"
import type { Condition } from "./Condition.ts"
import { type Genome, genesPerBlock, type Space, spaceOf } from "./Genome.ts"
import type { AccuracyModel, LatencyModel, World } from "./World.ts"

/** A genome's bytes where the latency model expects them: its header is padded to a multiple of a block's bytes. */
const copyGenome = (space: Space, headerBytes: number, genome: Genome, out: Int8Array): void => {
  for (let i = 0; i < space.firstBlockGene; i++) out[i] = genome[i] ?? 0
  const bytes = space.blocks.length * genesPerBlock
  for (let i = 0; i < bytes; i++) out[headerBytes + i] = genome[space.firstBlockGene + i] ?? 0
}

/** Latency by the model of `devices/latency`. `at` owns one set of scratch buffers: its function is not reentrant. */
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
    current = condition
    model.setCondition({
      slo: { _tag: "Latency", maxMs: 1 },
      devices: condition.devices.map((d, i) => ({
        id: d.id,
        profile: d.type,
        link:
          i === localDevice
            ? { upMbps: Infinity, downMbps: Infinity, delayMs: 0 }
            : { upMbps: d.bandwidthMbps, downMbps: d.bandwidthMbps, delayMs: d.delayMs },
      })),
    })
  }
  return {
    at: (condition) => (genome) => {
      select(condition)
      copyGenome(space, model.encoding.headerBytes, genome, encoded)
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
