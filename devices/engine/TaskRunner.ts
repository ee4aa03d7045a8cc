/**
 * One task from pieces to pieces: assemble the input region, run the segment, send the output on its ways.
 * Also decides what to build when: block sessions or the fused segment now, the rest in idle time.
 */
import type { Region } from "../../supernet/Partition.ts"
import { regionHeight, regionWidth, sameRegion } from "../../supernet/Partition.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import { type ActiveBlock, activeBlocks, maxSubmodel } from "../../supernet/Submodel.ts"
import { imageSource, type Task, taskGraph, type TaskGraph } from "../../supernet/TaskGraph.ts"
import { SegmentBuilder, segmentInput, segmentOutput } from "../../supernet/onnx/Segment.ts"
import { byteTensor, floats, floatTensor, type OrtTensor, output } from "../../supernet/onnx/Runtime.ts"
import { Activations } from "./Activations.ts"
import {
  type PrepareTimings,
  type TaskOutcome,
  WorkerProblem,
  type WorkerSettings,
} from "./EngineProtocol.ts"
import { Boundary, copyRegion, type Map3, type Piece, pieceBytes } from "./Pieces.ts"
import { type Segment, SessionPool } from "./SessionPool.ts"

export interface PreparedStrategy {
  readonly graph: TaskGraph
  /** By task index; only this device's tasks. */
  readonly segments: ReadonlyMap<number, Segment>
}

interface ToFuse {
  readonly segment: Segment
  readonly shape: ReadonlyArray<number>
  runs: number
}

/** A segment that ran on block sessions this often is fused even when the worker never idles. */
const fuseAfterRuns = 8
/** Part of the session budget that preloading may fill; the rest is for fused segments. */
const preloadShare = 0.6

/** Every block of the supernet in every kernel and expand. */
const blockVariants = (spec: SupernetSpec): ReadonlyArray<ActiveBlock> => {
  const variants = new Map<string, ActiveBlock>()
  for (const kernel of spec.kernels) {
    for (const expand of spec.expands) {
      const largest = maxSubmodel(spec)
      const chosen = (v: number) => largest.kernels.map(() => v)
      for (const b of activeBlocks(spec, { ...largest, kernels: chosen(kernel), expands: chosen(expand) })) {
        variants.set(`${b.index} ${b.kernel} ${b.expand}`, b)
      }
    }
  }
  return [...variants.values()]
}

const inputShape = (graph: TaskGraph, task: Task): ReadonlyArray<number> => {
  const [h, w] = [regionHeight(task.input), regionWidth(task.input)]
  const block = graph.blocks[task.first]
  return block?.kind === "stem" ? [1, h, w, 3] : [1, block?.inChannels ?? 0, h, w]
}

const zeros = (segment: Segment, shape: ReadonlyArray<number>): OrtTensor => {
  const size = shape.reduce((a, b) => a * b, 1)
  return segment.blocks[0]?.kind === "stem"
    ? byteTensor(new Uint8Array(size), shape)
    : floatTensor(new Float32Array(size), shape)
}

export class TaskRunner {
  readonly pool: SessionPool
  readonly activations: Activations
  readonly #boundary: Boundary
  readonly #settings: WorkerSettings
  /** Segments by key and input size that have run on their present sessions. */
  readonly #warm = new Set<string>()
  /** Segments to fuse when there is time, with how often they ran on block sessions and the input to warm them with. */
  readonly #toFuse = new Map<string, ToFuse>()
  /** Block variants still to be built in idle time, and the resolution they are for. */
  #toPreload: Array<ActiveBlock> = []
  #preloadResolution = 0

  constructor(settings: WorkerSettings) {
    this.#settings = settings
    const builder = new SegmentBuilder(settings.spec, settings.weights, settings.sessionBudgetBytes / 4)
    this.pool = new SessionPool(builder, settings.runtime, settings.sessionBudgetBytes)
    this.activations = new Activations(settings.activationBudgetBytes)
    this.#boundary = new Boundary(settings.runtime)
    this.#plan(Math.max(...settings.spec.resolutions))
  }

  /** Builds what every strategy needs. */
  warmUp(): Promise<void> {
    return this.#boundary.warmUp()
  }

  /** Which block variants to preload. Statistics, and so sessions, may differ by resolution: the last one asked for counts. */
  #plan(resolution: number): void {
    if (!this.#settings.preload || resolution === this.#preloadResolution) return
    this.#preloadResolution = resolution
    this.#toPreload = [...blockVariants(this.#settings.spec)]
  }

  /** Makes this device's segments of a strategy runnable. */
  async prepare(strategy: Strategy, device: number): Promise<readonly [PreparedStrategy, PrepareTimings]> {
    const start = performance.now()
    const builtBefore = this.pool.stats.built
    const graph = taskGraph(this.#settings.spec, strategy)
    const segments = new Map<number, Segment>()
    for (const task of graph.tasks) {
      if (task.device !== device) continue
      const blocks = graph.blocks.slice(task.first, task.last + 1)
      const segment = this.pool.segment(blocks, strategy.submodel.resolution)
      segments.set(task.index, segment)
      await this.#makeReady(segment, inputShape(graph, task))
    }
    this.#plan(strategy.submodel.resolution)
    const timings = {
      built: this.pool.stats.built - builtBefore,
      elapsedMs: performance.now() - start,
    }
    return [{ graph, segments }, timings]
  }

  /**
   * Fusing costs about as much as building the same blocks one by one, so it is done at once where most are missing; where
   * most are there, the missing ones are built and the fused session follows in idle time.
   */
  async #makeReady(segment: Segment, shape: ReadonlyArray<number>): Promise<void> {
    if (this.pool.has(segment.key)) {
      await this.pool.fused(segment)
      return
    }
    const missing = segment.blockKeys.filter((key) => !this.pool.has(key)).length
    const { tier } = this.#settings
    if (tier === "fused" || (tier === "auto" && missing * 2 > segment.blocks.length)) {
      await this.pool.fused(segment)
      return
    }
    for (const i of segment.blocks.keys()) await this.pool.block(segment, i)
    if (tier === "auto" && segment.blocks.length > 1)
      this.#toFuse.set(segment.key, { segment, shape, runs: 0 })
  }

  /** One piece of work for idle time, 1 to 30 ms; false when nothing is left to do. */
  async improve(): Promise<boolean> {
    for (const [key, { segment, shape }] of this.#toFuse) {
      this.#toFuse.delete(key)
      if (this.pool.has(key)) continue
      await this.pool.fused(segment)
      // The first run on a size costs up to 1.5 ms more; better now than in a request.
      await this.#compute(segment, zeros(segment, shape))
      return true
    }
    const resolution = this.#preloadResolution
    for (let block = this.#toPreload.shift(); block !== undefined; block = this.#toPreload.shift()) {
      const segment = this.pool.segment([block], resolution)
      if (this.pool.has(segment.key)) continue
      if (!this.pool.fits(segment.blocks, resolution, preloadShare)) break
      await this.pool.block(segment, 0)
      return true
    }
    this.#toPreload = []
    return false
  }

  async run(
    prepared: PreparedStrategy,
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
    const computed = await this.#compute(segment, input)
    const ran = performance.now()
    for (const index of task.inputs) {
      const edge = graph.edges[index]
      if (edge !== undefined && !edge.crosses && edge.from !== imageSource)
        this.activations.use(requestId, edge.from)
    }
    const sent = await this.#send(graph, task, requestId, computed.result)
    const timings = {
      queueMs: 0,
      assembleMs: assembled - start,
      computeMs: ran - assembled,
      encodeMs: performance.now() - ran,
      heldMs: 0,
      overrunMs: 0,
      tier: computed.tier,
      firstRun: computed.firstRun,
      built: computed.built,
    }
    return { ...sent, timings }
  }

  async #assemble(
    graph: TaskGraph,
    task: Task,
    requestId: string,
    pieces: ReadonlyArray<Piece>,
  ): Promise<OrtTensor> {
    const channels = graph.blocks[task.first]?.inChannels ?? 0
    const shape = inputShape(graph, task)
    let whole: Map3 | undefined
    for (const index of task.inputs) {
      const edge = graph.edges[index]
      if (edge === undefined) throw new WorkerProblem("BadPieces", `no edge ${index}`)
      const { region } = edge
      if (edge.from === imageSource) {
        const { data } = checkedPiece(pieces, index, region, 3, 8)
        return byteTensor(new Uint8Array(data), shape)
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
      if (sameRegion(from.region, task.input)) return floatTensor(from.data, shape)
      whole ??= {
        data: new Float32Array(channels * regionHeight(task.input) * regionWidth(task.input)),
        channels,
        region: task.input,
      }
      copyRegion(from, whole, region)
    }
    if (whole === undefined) throw new WorkerProblem("BadPieces", `task ${task.index} has no input`)
    return floatTensor(whole.data, shape)
  }

  #local(requestId: string, from: number): Map3 {
    const map = this.activations.peek(requestId, from)
    if (map === undefined) {
      throw new WorkerProblem("MissingActivation", `the output of task ${from} of ${requestId} is not here`)
    }
    return map
  }

  async #compute(segment: Segment, input: OrtTensor) {
    const builtBefore = this.pool.stats.built
    const tier = this.#tier(segment, input.dims)
    let result = input
    if (tier === "fused") {
      const session = await this.pool.fused(segment)
      result = output(await session.run({ [segmentInput]: input }), segmentOutput)
    } else {
      for (const i of segment.blocks.keys()) {
        const session = await this.pool.block(segment, i)
        result = output(await session.run({ [segmentInput]: result }), segmentOutput)
      }
    }
    const built = this.pool.stats.built - builtBefore
    const run = `${tier} ${input.dims.join()} ${segment.key}`
    if (built > 0) this.#warm.delete(run)
    const firstRun = !this.#warm.has(run)
    if (this.#warm.size > 4096) this.#warm.clear()
    this.#warm.add(run)
    return { result, tier, firstRun, built }
  }

  #tier(segment: Segment, shape: ReadonlyArray<number>): "block" | "fused" {
    const { tier } = this.#settings
    if (tier === "block" || segment.blocks.length === 1) return "block"
    if (tier === "fused" || this.pool.has(segment.key)) return "fused"
    const waiting = this.#toFuse.get(segment.key)
    if (waiting !== undefined && ++waiting.runs > fuseAfterRuns) {
      this.#toFuse.delete(segment.key)
      return "fused"
    }
    if (!segment.blockKeys.every((key) => this.pool.has(key))) return "fused"
    if (waiting === undefined) this.#toFuse.set(segment.key, { segment, shape, runs: 1 })
    return "block"
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
    await this.pool.release()
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
