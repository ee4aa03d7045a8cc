/**
 * One task from pieces to pieces: assemble the input region, run the segment, send the output on its ways.
 */
import type { Region } from "../../supernet/Partition.ts"
import { regionHeight, regionWidth, sameRegion } from "../../supernet/Partition.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import { imageSource, type Task, taskGraph, type TaskGraph } from "../../supernet/TaskGraph.ts"
import { byteTensor, discard, floats, floatTensor, type OrtTensor } from "../../supernet/onnx/Runtime.ts"
import { Activations } from "./Activations.ts"
import {
  type PrepareTimings,
  type TaskOutcome,
  WorkerProblem,
  type WorkerSettings,
} from "./EngineProtocol.ts"
import { Boundary, copyRegion, type Map3, type Piece, pieceBytes } from "./Pieces.ts"
import type { Segment } from "./SessionPool.ts"
import { Tiers } from "./Tiers.ts"

/** A strategy as the worker knows it. */
export interface RunnableStrategy {
  readonly graph: TaskGraph
  /** By task index; only this device's tasks. */
  readonly segments: ReadonlyMap<number, Segment>
}

const inputShape = (graph: TaskGraph, task: Task): ReadonlyArray<number> => {
  const [h, w] = [regionHeight(task.input), regionWidth(task.input)]
  const block = graph.blocks[task.first]
  return block?.kind === "stem" ? [1, h, w, 3] : [1, block?.inChannels ?? 0, h, w]
}

export class TaskRunner {
  readonly tiers: Tiers
  readonly activations: Activations
  readonly #boundary: Boundary
  readonly #settings: WorkerSettings
  constructor(settings: WorkerSettings) {
    this.#settings = settings
    this.tiers = new Tiers(settings)
    this.activations = new Activations(settings.activationBudgetBytes)
    this.#boundary = new Boundary(settings.runtime)
  }

  /** Builds what every strategy needs. */
  warmUp(): Promise<void> {
    return this.#boundary.warmUp()
  }

  /** Makes this device's segments of a strategy runnable; `lazy`: their sessions are built when a task needs them. */
  async prepare(
    strategy: Strategy,
    device: number,
    lazy = false,
  ): Promise<readonly [RunnableStrategy, PrepareTimings]> {
    const start = performance.now()
    const builtBefore = this.tiers.pool.stats.built
    const graph = taskGraph(this.#settings.spec, strategy)
    const segments = new Map<number, Segment>()
    for (const task of graph.tasks) {
      if (task.device !== device) continue
      const blocks = graph.blocks.slice(task.first, task.last + 1)
      const segment = this.tiers.pool.segment(blocks, strategy.submodel.resolution)
      segments.set(task.index, segment)
      if (!lazy) await this.tiers.makeReady(segment, inputShape(graph, task))
    }
    this.tiers.plan(strategy.submodel.resolution)
    const timings = {
      built: this.tiers.pool.stats.built - builtBefore,
      elapsedMs: performance.now() - start,
    }
    return [{ graph, segments }, timings]
  }

  async run(
    prepared: RunnableStrategy,
    requestId: string,
    taskIndex: number,
    pieces: ReadonlyArray<Piece>,
  ): Promise<TaskOutcome> {
    const { graph } = prepared
    const [task, segment] = [graph.tasks[taskIndex], prepared.segments.get(taskIndex)]
    if (task === undefined || segment === undefined) {
      throw new WorkerProblem("BadPieces", `task ${taskIndex} is not one of this device's`)
    }
    const start = performance.now()
    const input = await this.#assemble(graph, task, requestId, pieces)
    const assembled = performance.now()
    const computed = await this.tiers.compute(segment, input.tensor)
    const ran = performance.now()
    if (input.isOwn) discard(input.tensor.data)
    for (const index of task.inputs) {
      const edge = graph.edges[index]
      if (edge === undefined || edge.crosses || edge.from === imageSource) continue
      const used = this.activations.use(requestId, edge.from)
      if (used !== undefined) discard(used.data)
    }
    const sent = await this.#send(graph, task, requestId, computed.result)
    if (sent.kept.length === 0) discard(computed.result.data)
    const timings = {
      queueMs: 0,
      assembleMs: assembled - start,
      computeMs: ran - assembled,
      encodeMs: performance.now() - ran,
      heldMs: 0,
      overrunMs: 0,
      tier: computed.tier,
      built: computed.built,
    }
    return { ...sent, timings }
  }

  /** The input of a task; its own, where it is not an output that other tasks may still need. */
  async #assemble(
    graph: TaskGraph,
    task: Task,
    requestId: string,
    pieces: ReadonlyArray<Piece>,
  ): Promise<{ readonly tensor: OrtTensor; readonly isOwn: boolean }> {
    const channels = graph.blocks[task.first]?.inChannels ?? 0
    const shape = inputShape(graph, task)
    let whole: Map3 | undefined
    for (const index of task.inputs) {
      const edge = graph.edges[index]
      if (edge === undefined) throw new WorkerProblem("BadPieces", `no edge ${index}`)
      const { region } = edge
      if (edge.from === imageSource) {
        const { data } = checkedPiece(pieces, index, region, 3, 8)
        return { tensor: byteTensor(new Uint8Array(data), shape), isOwn: true }
      }
      const from = edge.crosses
        ? {
            data: await this.#boundary.widen(
              checkedPiece(pieces, index, region, channels, edge.bits),
              region,
              channels,
            ),
            channels,
            region,
          }
        : this.#local(requestId, edge.from)
      if (sameRegion(from.region, task.input))
        return { tensor: floatTensor(from.data, shape), isOwn: edge.crosses }
      whole ??= {
        data: new Float32Array(channels * regionHeight(task.input) * regionWidth(task.input)),
        channels,
        region: task.input,
      }
      copyRegion(from, whole, region)
      if (edge.crosses) discard(from.data)
    }
    if (whole === undefined) throw new WorkerProblem("BadPieces", `task ${task.index} has no input`)
    return { tensor: floatTensor(whole.data, shape), isOwn: true }
  }

  #local(requestId: string, from: number): Map3 {
    const map = this.activations.peek(requestId, from)
    if (map === undefined) {
      throw new WorkerProblem("MissingActivation", `the output of task ${from} of ${requestId} is not here`)
    }
    return map
  }

  async #send(graph: TaskGraph, task: Task, requestId: string, result: OrtTensor) {
    const block = graph.blocks[task.last]
    if (block === undefined) throw new RangeError(`no block ${task.last}`)
    if (block.kind === "head") return { outgoing: [], kept: [], logits: floats(result).slice() }
    const map: Map3 = { data: floats(result), channels: block.outChannels, region: task.output }
    const outgoing: Array<Piece> = []
    const kept: Array<number> = []
    for (const index of task.outputs) {
      const edge = graph.edges[index]
      if (edge === undefined) continue
      if (edge.crosses)
        outgoing.push({ edge: index, ...(await this.#boundary.narrow(map, edge.region, edge.bits)) })
      else kept.push(index)
    }
    if (kept.length > 0) this.activations.keep(requestId, task.index, map, kept.length)
    return { outgoing, kept }
  }

  async release(): Promise<void> {
    await this.tiers.pool.release()
    await this.#boundary.release()
  }
}

const checkedPiece = (
  pieces: ReadonlyArray<Piece>,
  index: number,
  region: Region,
  channels: number,
  bits: Piece["bits"],
): Piece => {
  const piece = pieces.find((p) => p.edge === index)
  if (piece === undefined) throw new WorkerProblem("BadPieces", `edge ${index} has no piece`)
  const bytes = pieceBytes(region, channels, bits)
  if (piece.bits !== bits || piece.data.byteLength !== bytes) {
    const found = `${piece.data.byteLength} bytes of ${piece.bits} bits`
    throw new WorkerProblem("BadPieces", `edge ${index} needs ${bytes} bytes of ${bits} bits, got ${found}`)
  }
  return piece
}
