/**
 * What a strategy asks the devices to do, as a graph: tasks (a tile's way through consecutive blocks on one device) and
 * edges (a region of a feature map that a task hands to the next). Executors run it, the latency model walks it, the
 * reference evaluator computes it: one derivation for all, deterministic, so that a message need only name an index.
 */
import { type BlockGeometry, geometry, intersect, type Region, regionArea } from "./Partition.ts"
import type { SupernetSpec } from "./Spec.ts"
import { type Bits, localDevice, type Strategy } from "./Strategy.ts"
import { type ActiveBlock, activeBlocks } from "./Submodel.ts"

/** Where an edge starts when its data is the request's image on the local device. */
export const imageSource = -1

export interface Task {
  readonly index: number
  /** Index into `Strategy.devices`. */
  readonly device: number
  /** Positions in `TaskGraph.blocks`, both inclusive: the segment that this task runs. */
  readonly first: number
  readonly last: number
  /** Cell of the grid, row by row. */
  readonly tile: number
  /** Region of the first block's input map, and of the last block's output map (1x1 for the head). */
  readonly input: Region
  readonly output: Region
  /** Indices of edges. The regions of `inputs` cover `input` exactly once. */
  readonly inputs: ReadonlyArray<number>
  readonly outputs: ReadonlyArray<number>
}

export interface Edge {
  readonly index: number
  /** Producing task, or `imageSource`. */
  readonly from: number
  readonly to: number
  readonly fromDevice: number
  readonly toDevice: number
  /** True when it travels over the bus. */
  readonly crosses: boolean
  /** In coordinates of the whole map: the consumer's input map = the producer's output map. */
  readonly region: Region
  readonly channels: number
  /** Width of a value on the bus; 32 for edges that do not cross. */
  readonly bits: Bits
}

export interface TaskGraph {
  readonly blocks: ReadonlyArray<ActiveBlock>
  readonly geometry: ReadonlyArray<BlockGeometry>
  /** In an order in which every task comes after its producers. The last one is the head. */
  readonly tasks: ReadonlyArray<Task>
  readonly edges: ReadonlyArray<Edge>
}

/** Bytes of an edge's values on the bus, without the envelope. */
export const edgeBytes = (edge: Edge): number => (regionArea(edge.region) * edge.channels * edge.bits) / 8

interface OpenTask {
  index: number
  device: number
  first: number
  last: number
  tile: number
  input: Region
  output: Region
  inputs: Array<number>
  outputs: Array<number>
}

/** The strategy must be normalised and valid for this spec. */
export const taskGraph = (spec: SupernetSpec, strategy: Strategy): TaskGraph => {
  const blocks = activeBlocks(spec, strategy.submodel)
  const geo = geometry(
    blocks,
    strategy.submodel.resolution,
    strategy.blocks.map((b) => b.grid),
  )
  const tasks: Array<OpenTask> = []
  const edges: Array<Edge> = []
  let previous: ReadonlyArray<OpenTask> = []
  for (const [i, block] of blocks.entries()) {
    const [here, before] = [geo[i], geo[i - 1]]
    const plan = strategy.blocks[i]
    if (here === undefined || plan === undefined) throw new RangeError(`no plan for block ${i}`)
    const connect = (task: OpenTask, from: OpenTask | undefined, region: Region) => {
      const fromDevice = from?.device ?? localDevice
      const crosses = fromDevice !== task.device
      const index = edges.length
      const bits = crosses ? plan.bits : 32
      const ends = { from: from?.index ?? imageSource, to: task.index, fromDevice, toDevice: task.device }
      edges.push({ index, ...ends, crosses, region, channels: block.inChannels, bits })
      from?.outputs.push(index)
      task.inputs.push(index)
    }
    previous = plan.placement.map((device, tile) => {
      const [input, output] = [here.inputTiles[tile], here.outputTiles[tile]]
      if (input === undefined || output === undefined) throw new RangeError(`block ${i} has no tile ${tile}`)
      const same = before?.run === here.run ? previous[tile] : undefined
      if (same !== undefined && same.device === device) {
        same.last = i
        same.output = output
        return same
      }
      const task = {
        index: tasks.length,
        device,
        first: i,
        last: i,
        tile,
        input,
        output,
        inputs: [],
        outputs: [],
      }
      tasks.push(task)
      if (i === 0) connect(task, undefined, input)
      for (const producer of previous) {
        const region = intersect(producer.output, input)
        if (region !== undefined) connect(task, producer, region)
      }
      return task
    })
  }
  // Arrays that grew have room for many more: the graph is kept for long.
  const trimmed = tasks.map((t): Task => ({ ...t, inputs: [...t.inputs], outputs: [...t.outputs] }))
  return { blocks, geometry: geo, tasks: trimmed, edges: [...edges] }
}
