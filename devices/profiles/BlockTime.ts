/**
 * Time of blocks and tasks on a device, from its profile: what the latency model adds up, and what an emulated device
 * waits for.
 */
import { regionArea } from "../../supernet/Partition.ts"
import { blockOps, taskTile } from "../../supernet/Cost.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import type { Bits } from "../../supernet/Strategy.ts"
import type { ActiveBlock } from "../../supernet/Submodel.ts"
import type { Edge, Task, TaskGraph } from "../../supernet/TaskGraph.ts"
import { type DeviceProfile, opsMs } from "./DeviceProfile.ts"

/** One block on an input region of `height` x `width` pixels, ms, without the fixed cost of a run. */
export const blockMs = (
  profile: DeviceProfile,
  spec: SupernetSpec,
  block: ActiveBlock,
  height: number,
  width: number,
): number => opsMs(profile, blockOps(spec, block, height, width)) + profile.blockMs

/** Turning `values` numbers into `bits` before they are sent, ms. */
export const quantiseMs = (profile: DeviceProfile, values: number, bits: Bits): number =>
  bits === 32 ? 0 : values * ((bits === 8 ? profile.quantise.u8 : profile.quantise.f16) / 1e6)

/** Turning `values` received numbers of `bits` back, ms. */
export const dequantiseMs = (profile: DeviceProfile, values: number, bits: Bits): number =>
  bits === 32 ? 0 : values * ((bits === 8 ? profile.dequantise.u8 : profile.dequantise.f16) / 1e6)

export interface TaskTime {
  /** The run's fixed cost and its blocks. */
  readonly computeMs: number
  /** Converting what came over the bus, and what leaves over it. */
  readonly dequantiseMs: number
  readonly quantiseMs: number
}

const edgeValues = (edge: Edge): number => regionArea(edge.region) * edge.channels

/** Image bytes enter the stem as they are: pixels need no conversion (`Edge.from` is the image). */
const conversions = (
  graph: TaskGraph,
  edges: ReadonlyArray<number>,
  cost: (values: number, bits: Bits) => number,
): number =>
  edges.reduce((sum, index) => {
    const edge = graph.edges[index]
    return edge === undefined || !edge.crosses || edge.from < 0
      ? sum
      : sum + cost(edgeValues(edge), edge.bits)
  }, 0)

/** What one task of a strategy takes on a device once its inputs are there. */
export const taskTime = (
  profile: DeviceProfile,
  spec: SupernetSpec,
  graph: TaskGraph,
  task: Task,
): TaskTime => {
  let computeMs = profile.runMs
  for (let i = task.first; i <= task.last; i++) {
    const block = graph.blocks[i]
    if (block === undefined) throw new RangeError(`task ${task.index} runs block ${i}, which is not active`)
    const [height, width] = taskTile(graph, task, i)
    computeMs += blockMs(profile, spec, block, height, width)
  }
  return {
    computeMs,
    dequantiseMs: conversions(graph, task.inputs, (values, bits) => dequantiseMs(profile, values, bits)),
    quantiseMs: conversions(graph, task.outputs, (values, bits) => quantiseMs(profile, values, bits)),
  }
}

export const taskMs = (time: TaskTime): number => time.dequantiseMs + time.computeMs + time.quantiseMs
