/**
 * The task graph of an encoded strategy in typed arrays: what `taskGraph` derives, with each task's time looked up on the
 * way, and without an allocation. `FastLatency` simulates it. Tasks and edges have the indices that `taskGraph` gives.
 */
import type { DeviceProfile } from "../profiles/DeviceProfile.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import { type CostTables, costTables, shapes, sideKinds } from "./CostTables.ts"
import {
  bitsAt,
  blockStride,
  depthAt,
  deviceAt,
  expandAt,
  gridAt,
  kernelAt,
  maxTiles,
  strategyEncoding,
  type StrategyEncoding,
} from "./Encoding.ts"
import { columnOf, isCutInColumns, isCutInRows, kindOf, overlaps, rowOf, tilesOf } from "./GridIndices.ts"
import type { Overheads } from "./Overheads.ts"

/** Of a condition; `FastLatency` refuses more, and `actors/ConditionOf.ts` makes none with more. */
export const maxDevices = 64
/** No task, no edge, nothing on the wire. */
export const none = -1

/** ms per value, from ms per million. */
const perValue = (msPerMillion: number): number => msPerMillion / 1e6

const float16Bits = 1
const uint8Bits = 2

export class FastGraph {
  readonly encoding: StrategyEncoding
  readonly tables: CostTables

  // Tasks, by index.
  taskCount = 0
  readonly taskDevice: Int32Array
  readonly taskMissing: Int32Array
  readonly taskCompute: Float64Array
  readonly taskDequantise: Float64Array
  readonly taskQuantise: Float64Array
  readonly firstOut: Int32Array
  /** When its last input so far arrived; for the simulation. */
  readonly taskReady: Float64Array
  private readonly taskTable: Int32Array

  // Edges, by index; `nextOut` chains the edges of one producer, `edgeWire` is bytes on the wire or `none`.
  edgeCount = 0
  imageEdges = 0
  readonly edgeFrom: Int32Array
  readonly edgeTo: Int32Array
  readonly edgeWire: Float64Array
  readonly nextOut: Int32Array

  /** Of each device of the condition: index of its profile. */
  readonly profile = new Int32Array(maxDevices)

  private readonly runMs: Float64Array
  private readonly quantise: Float64Array
  private readonly dequantise: Float64Array
  private readonly inChannels: Int32Array
  private readonly stage: Int32Array
  private readonly place: Int32Array
  private readonly expands: number
  /** The choices of depth, and of each stage the one of the strategy. */
  private readonly depths: Int32Array
  private readonly depth: Int32Array
  private readonly chunkBytes: number
  private readonly envelopeBytes: number

  // While building: the resolution, and the run that is open: its grid, where it is cut, the task and shape of each tile.
  private resolution = 0
  private side = 0
  private finalSide = 1
  private grid = none
  private isOdd = false
  private readonly open = new Int32Array(maxTiles)
  private readonly fresh = new Int32Array(maxTiles)
  private readonly shape = new Int32Array(maxTiles)
  private readonly rowOverlap = new Int32Array(4)
  private readonly columnOverlap = new Int32Array(4)

  constructor(spec: SupernetSpec, profiles: ReadonlyArray<DeviceProfile>, overheads: Overheads) {
    this.encoding = strategyEncoding(spec)
    this.tables = costTables(spec, profiles)
    const tasks = this.encoding.blockCount * maxTiles
    const edges = tasks * maxTiles + 1
    this.taskDevice = new Int32Array(tasks)
    this.taskMissing = new Int32Array(tasks)
    this.taskCompute = new Float64Array(tasks)
    this.taskDequantise = new Float64Array(tasks)
    this.taskQuantise = new Float64Array(tasks)
    this.firstOut = new Int32Array(tasks)
    this.taskReady = new Float64Array(tasks)
    this.taskTable = new Int32Array(tasks)
    this.edgeFrom = new Int32Array(edges)
    this.edgeTo = new Int32Array(edges)
    this.edgeWire = new Float64Array(edges)
    this.nextOut = new Int32Array(edges)
    this.runMs = Float64Array.from(profiles, (p) => p.runMs)
    this.quantise = Float64Array.from(
      profiles.flatMap((p) => [0, p.quantise.f16, p.quantise.u8]),
      perValue,
    )
    this.dequantise = Float64Array.from(
      profiles.flatMap((p) => [0, p.dequantise.f16, p.dequantise.u8]),
      perValue,
    )
    this.inChannels = Int32Array.from(this.tables.blocks, (b) => b.inChannels)
    this.stage = Int32Array.from(this.tables.blocks, (b) => b.stage)
    this.place = Int32Array.from(this.tables.blocks, (b) => b.place)
    this.expands = spec.expands.length
    this.depths = Int32Array.from(spec.depths)
    this.depth = new Int32Array(spec.stages.length)
    this.chunkBytes = overheads.chunkBytes
    this.envelopeBytes = overheads.envelopeBytes
  }

  /** Bytes on the wire, as `wireBytes` has it. */
  wire(payloadBytes: number): number {
    const messages = payloadBytes <= this.chunkBytes ? 1 : Math.ceil(payloadBytes / this.chunkBytes)
    return payloadBytes + this.envelopeBytes * messages
  }

  /** Fills tasks and edges from a row of bytes (see `Encoding.ts`). */
  build(encoded: Uint8Array) {
    const { blockCount, firstBlock } = this.encoding
    const { mapSides } = this.tables
    this.resolution = encoded[0] as number
    for (let stage = 0; stage < this.depth.length; stage++)
      this.depth[stage] = this.depths[encoded[depthAt + stage] as number] as number
    const sidesAt = this.resolution * (blockCount + 1)
    this.finalSide = mapSides[sidesAt + blockCount] as number
    this.taskCount = 0
    this.edgeCount = 0
    this.grid = none
    for (let block = 0; block < blockCount; block++) {
      if (!this.runs(block)) continue
      const at = firstBlock + block * blockStride
      this.side = mapSides[sidesAt + block] as number
      const grid = encoded[at + gridAt] as number
      if (grid !== this.grid) {
        const odd = grid !== 0 && (this.finalSide & 1) === 1 && this.runEndsOdd(encoded, block, grid)
        this.beginRun(encoded, at, block, grid, odd)
      }
      this.runBlock(encoded, at, block)
    }
  }

  private runs(block: number): boolean {
    const stage = this.stage[block] as number
    return stage < 0 || (this.place[block] as number) < (this.depth[stage] as number)
  }

  /** Whether the run that starts at `block` ends in a map with an odd side, so that its tiles are uneven. */
  private runEndsOdd(encoded: Uint8Array, block: number, grid: number): boolean {
    const { blockCount, firstBlock } = this.encoding
    let end = block
    for (let b = block + 1; b < blockCount; b++) {
      if (!this.runs(b)) continue
      if (encoded[firstBlock + b * blockStride + gridAt] !== grid) break
      end = b
    }
    return ((this.tables.mapSides[this.resolution * (blockCount + 1) + end + 1] as number) & 1) === 1
  }

  /** Where the map of the current side is cut. */
  private cutAt(isCut: boolean, odd: boolean): number {
    if (!isCut) return this.side
    return odd ? (((this.finalSide + 1) >> 1) * this.side) / this.finalSide : this.side / 2
  }

  /** Adds a block's time to the task of each of its tiles, which goes on where it was or moves to another device. */
  private runBlock(encoded: Uint8Array, at: number, block: number) {
    const { variants, blockMs } = this.tables
    const variant =
      (this.stage[block] as number) < 0
        ? 0
        : (encoded[at + kernelAt] as number) * this.expands + (encoded[at + expandAt] as number)
    const row = (block * variants + variant) * shapes
    const tiles = tilesOf[this.grid] as number
    for (let tile = 0; tile < tiles; tile++) {
      const device = encoded[at + deviceAt + tile] as number
      let task = this.open[tile] as number
      if (this.taskDevice[task] !== device) task = this.moveTile(encoded, at, block, tile, device)
      const ms = blockMs[(this.taskTable[task] as number) + row + (this.shape[tile] as number)] as number
      this.taskCompute[task] = (this.taskCompute[task] as number) + ms
    }
  }

  /** The tile's task ends before this block, and a new one goes on on another device. */
  private moveTile(encoded: Uint8Array, at: number, block: number, tile: number, device: number): number {
    const task = this.newTask(device)
    const rowCut = this.cutAt(isCutInRows(this.grid), this.isOdd)
    const columnCut = this.cutAt(isCutInColumns(this.grid), this.isOdd)
    const height = rowOf(this.grid, tile) === 1 ? this.side - rowCut : rowCut
    const width = columnOf(this.grid, tile) === 1 ? this.side - columnCut : columnCut
    this.addEdge(this.open[tile] as number, task, block, height * width, encoded[at + bitsAt] as number)
    this.open[tile] = task
    return task
  }

  /** A new grid: every tile is a new task, fed by the tiles of the old grid that it overlaps. */
  private beginRun(encoded: Uint8Array, at: number, block: number, grid: number, odd: boolean) {
    const { side, grid: oldGrid } = this
    const cutsRows = isCutInRows(grid)
    const cutsColumns = isCutInColumns(grid)
    const rowCut = this.cutAt(cutsRows, odd)
    const columnCut = this.cutAt(cutsColumns, odd)
    overlaps(this.rowOverlap, rowCut, this.cutAt(isCutInRows(oldGrid), this.isOdd), side)
    overlaps(this.columnOverlap, columnCut, this.cutAt(isCutInColumns(oldGrid), this.isOdd), side)
    const producers = oldGrid === none ? 0 : (tilesOf[oldGrid] as number)
    const bits = encoded[at + bitsAt] as number
    const tiles = tilesOf[grid] as number
    for (let tile = 0; tile < tiles; tile++) {
      const task = this.newTask(encoded[at + deviceAt + tile] as number)
      const row = rowOf(grid, tile)
      const column = columnOf(grid, tile)
      this.fresh[tile] = task
      this.shape[tile] = kindOf(cutsRows, row, odd) * sideKinds + kindOf(cutsColumns, column, odd)
      for (let old = 0; old < producers; old++) {
        const height = this.rowOverlap[2 * row + rowOf(oldGrid, old)] as number
        const width = this.columnOverlap[2 * column + columnOf(oldGrid, old)] as number
        if (height > 0 && width > 0) this.addEdge(this.open[old] as number, task, block, height * width, bits)
      }
      if (producers === 0) {
        const area = (row === 1 ? side - rowCut : rowCut) * (column === 1 ? side - columnCut : columnCut)
        this.addEdge(none, task, block, area, uint8Bits)
      }
    }
    for (let tile = 0; tile < tiles; tile++) this.open[tile] = this.fresh[tile] as number
    if (producers === 0) this.imageEdges = this.edgeCount
    this.grid = grid
    this.isOdd = odd
  }

  private newTask(device: number): number {
    const task = this.taskCount++
    const profile = this.profile[device] as number
    this.taskDevice[task] = device
    this.taskMissing[task] = 0
    this.taskCompute[task] = this.runMs[profile] as number
    this.taskDequantise[task] = 0
    this.taskQuantise[task] = 0
    this.firstOut[task] = none
    this.taskReady[task] = 0
    const { spec, blocks, variants } = this.tables
    this.taskTable[task] =
      (profile * spec.resolutions.length + this.resolution) * blocks.length * variants * shapes
    return task
  }

  private addEdge(from: number, to: number, block: number, area: number, bits: number) {
    const edge = this.edgeCount++
    const toDevice = this.taskDevice[to] as number
    const fromDevice = from === none ? 0 : (this.taskDevice[from] as number)
    this.edgeFrom[edge] = fromDevice
    this.edgeTo[edge] = to
    this.taskMissing[to] = (this.taskMissing[to] as number) + 1
    if (from === none) this.nextOut[edge] = none
    else {
      // Newest first: the simulation serves by time and index, not in this order.
      this.nextOut[edge] = this.firstOut[from] as number
      this.firstOut[from] = edge
    }
    if (fromDevice === toDevice) {
      this.edgeWire[edge] = none
      return
    }
    const values = area * (this.inChannels[block] as number)
    this.edgeWire[edge] = this.wire(
      bits === uint8Bits ? values : bits === float16Bits ? 2 * values : 4 * values,
    )
    if (from === none || bits === 0) return
    const sender = (this.profile[fromDevice] as number) * 3 + bits
    const receiver = (this.profile[toDevice] as number) * 3 + bits
    this.taskQuantise[from] = (this.taskQuantise[from] as number) + values * (this.quantise[sender] as number)
    this.taskDequantise[to] =
      (this.taskDequantise[to] as number) + values * (this.dequantise[receiver] as number)
  }
}
