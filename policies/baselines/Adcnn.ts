/**
 * After ADCNN (Zhang, Lin, Zhang, ICPP 2020): the image is cut into tiles (FDSP: no exchange between them), nodes run the
 * first part of the network on their tiles, the central (local) node gathers the coded maps and runs the rest. Tiles are
 * given greedily to the node that would be done first.
 *
 * Best setting: the grid and the nodes used are the best of all combinations for each condition; the depth of the tiled part is
 * the SLO's choice, from none on, as more layers in tiles cost accuracy: one plan per depth, where it is faster than all with
 * fewer. The central node may take tiles too; a node runs all of its tiles as one batch, so that layers are launched and weights
 * read once. Each network counts as retrained for its tiles (one point for all layers), and four bits cost nothing.
 */
import { opsMs, type DeviceProfile } from "../../devices/profiles/DeviceProfile.ts"
import { quantiseMs, dequantiseMs } from "../../devices/profiles/BlockTime.ts"
import { addOps, noOps, type OpCounts } from "../../supernet/Cost.ts"
import { cutPoints, type Layer, type Network } from "../../supernet/zoo/LayerGraph.ts"
import type { Condition, DeviceState } from "../Condition.ts"
import {
  type Baseline,
  type BaselineOutcome,
  type BaselinePlan,
  type BaselineWorld,
  hopMs,
  localOf,
  overheadsOf,
  requestMs,
  runMs,
} from "./Baseline.ts"
import { bitsPerValue } from "./FeatureCoding.ts"

export interface TilePlan extends BaselinePlan {
  readonly rows: number
  readonly columns: number
  /** Layers that run on tiles; the rest runs on the central node. */
  readonly tiledLayers: number
  /** Tiles of each device of the condition. */
  readonly tiles: ReadonlyArray<number>
}

export interface AdcnnOptions {
  /** Grids to choose from, rows and columns. */
  readonly grids?: ReadonlyArray<readonly [number, number]>
  /** Share of values that the clipped ReLU makes zero. Default 0.8: generous, the paper's figure is not at hand. */
  readonly sparsity?: number
  /** Top-1 (0..1) that cutting every layer costs, and by share of the layers below that. Default: `retrainedLoss`. */
  readonly accuracyLoss?: number
}

const defaultGrids: ReadonlyArray<readonly [number, number]> = [
  [1, 2],
  [2, 2],
  [2, 4],
  [4, 4],
  [8, 8],
]

/** Top-1 lost by a network that was trained again for its own tiles: what ADCNN's authors report at most. */
const retrainedLoss = 0.01

/** Side in pixels of the smallest tile that may leave the tiled part: that of ours (7 = 4 + 3). */
const smallestTile = 3

/** A depth and a grid: what one tile costs, and what the centre does afterwards. */
interface Tiling {
  readonly rows: number
  readonly columns: number
  readonly tiledLayers: number
  /** Work of one more tile in a batch, and of the batch itself (launching layers, reading weights). */
  readonly perTile: OpCounts
  readonly perBatch: OpCounts
  readonly rest: OpCounts
  /** Values of one tile's output, pixels of its input. */
  readonly outputValues: number
  readonly inputBytes: number
}

const perBatchOf = (ops: OpCounts): OpCounts => ({ ...noOps, parameters: ops.parameters, layers: ops.layers })

/** A layer's work on one tile: tiles of maps that do not divide evenly are rounded up, all as large as the largest. */
const tileOps = (layer: Layer, rows: number, columns: number): OpCounts => {
  const { height, width } = layer.output
  const share = layer.spatial ? (Math.ceil(height / rows) * Math.ceil(width / columns)) / (height * width) : 1
  const scaled = Object.fromEntries(
    Object.entries(layer.ops).map(([k, v]) => [k, v * share]),
  ) as unknown as OpCounts
  return { ...scaled, parameters: 0, layers: 0 }
}

/** Every depth with every grid, by depth: fewest layers in tiles, and so least accuracy lost, first. */
const makeTilings = (
  network: Network,
  grids: ReadonlyArray<readonly [number, number]>,
): ReadonlyArray<Tiling> => {
  const { layers, input } = network
  const total = layers.reduce((sum, l) => addOps(sum, l.ops), noOps)
  const single = new Map(cutPoints(network).map((c) => [c.before, c.crossing.length === 1]))
  const tilings = grids.flatMap(([rows, columns]) => {
    let [perTile, done] = [noOps, noOps]
    const out: Array<Tiling> = []
    for (const layer of layers) {
      perTile = addOps(perTile, tileOps(layer, rows, columns))
      done = addOps(done, layer.ops)
      const { height, width, channels } = layer.output
      const tooSmall = Math.floor(height / rows) < smallestTile || Math.floor(width / columns) < smallestTile
      if (!layer.spatial || tooSmall || single.get(layer.index + 1) !== true) continue
      const outputValues = channels * Math.ceil(height / rows) * Math.ceil(width / columns)
      const inputBytes = input.channels * Math.ceil(input.height / rows) * Math.ceil(input.width / columns)
      const rest = minus(total, done)
      const tiledLayers = layer.index + 1
      out.push({
        rows,
        columns,
        tiledLayers,
        perTile,
        perBatch: perBatchOf(done),
        rest,
        outputValues,
        inputBytes,
      })
    }
    return out
  })
  return [untiled(total), ...tilings.sort((a, b) => a.tiledLayers - b.tiledLayers)]
}

/** Nothing in tiles: the centre runs the whole network. */
const untiled = (total: OpCounts): Tiling => ({
  rows: 1,
  columns: 1,
  tiledLayers: 0,
  perTile: noOps,
  perBatch: noOps,
  rest: total,
  outputValues: 0,
  inputBytes: 0,
})

const minus = (a: OpCounts, b: OpCounts): OpCounts =>
  Object.fromEntries(
    Object.entries(a).map(([k, v]) => [k, v - b[k as keyof OpCounts]]),
  ) as unknown as OpCounts

const tilingsOf = (() => {
  const known = new WeakMap<Network, ReadonlyArray<Tiling>>()
  return (network: Network, grids = defaultGrids): ReadonlyArray<Tiling> => {
    if (grids !== defaultGrids) return makeTilings(network, grids)
    const made = known.get(network) ?? makeTilings(network, grids)
    known.set(network, made)
    return made
  }
})()

/** When a node's coded maps are at the centre, as a line of its number of tiles: fixed + slope * tiles, ms. */
interface NodeTime {
  readonly fixedMs: number
  readonly perTileMs: number
}

interface Node {
  readonly state: DeviceState
  readonly profile: DeviceProfile
  readonly isLocal: boolean
}

const nodeTime = (node: Node, tiling: Tiling, world: BaselineWorld, codedBytes: number): NodeTime => {
  const overheads = overheadsOf(world)
  const computeFixed = runMs(overheads, node.profile, tiling.perBatch)
  const codingMs = node.isLocal ? 0 : quantiseMs(node.profile, tiling.outputValues, 8)
  const compute = opsMs(node.profile, tiling.perTile) + codingMs
  if (node.isLocal) return { fixedMs: computeFixed, perTileMs: compute }
  const hops = (tiles: number) =>
    hopMs(overheads, node.state, tiles * tiling.inputBytes) + hopMs(overheads, node.state, tiles * codedBytes)
  const perTileMs = hops(2) - hops(1)
  return { fixedMs: computeFixed + hops(1) - perTileMs, perTileMs: compute + perTileMs }
}

/** Tiles one by one to the node that would finish first with one more; a node without tiles costs nothing. */
export const allocateTiles = (tiles: number, nodes: ReadonlyArray<NodeTime>): ReadonlyArray<number> => {
  const given = nodes.map(() => 0)
  for (let t = 0; t < tiles; t++) {
    let [best, bestMs] = [0, Number.POSITIVE_INFINITY]
    for (const [k, node] of nodes.entries()) {
      const ms = node.fixedMs + ((given[k] ?? 0) + 1) * node.perTileMs
      if (ms < bestMs) [best, bestMs] = [k, ms]
    }
    given[best] = (given[best] ?? 0) + 1
  }
  return given
}

const finishMs = (nodes: ReadonlyArray<NodeTime>, given: ReadonlyArray<number>): number =>
  nodes.reduce((last, node, k) => {
    const tiles = given[k] ?? 0
    return tiles === 0 ? last : Math.max(last, node.fixedMs + tiles * node.perTileMs)
  }, 0)

const summary = (
  network: Network,
  tiling: Tiling,
  given: ReadonlyArray<number>,
  devices: ReadonlyArray<DeviceState>,
) => {
  if (tiling.tiledLayers === 0) return `all on ${devices[0]?.id ?? ""}`
  const shares = devices.flatMap((d, k) => ((given[k] ?? 0) > 0 ? [`${given[k]} on ${d.id}`] : []))
  const until = network.layers[tiling.tiledLayers - 1]?.name ?? ""
  return `${tiling.rows}x${tiling.columns} tiles up to ${until}: ${shares.join(", ")}`
}

interface Candidate {
  readonly tiling: Tiling
  readonly given: ReadonlyArray<number>
  readonly ms: number
}

/** The fastest grid of each depth, where it is faster than all with fewer layers in tiles. */
const fastestPerDepth = (
  network: Network,
  condition: Condition,
  world: BaselineWorld,
  options: AdcnnOptions,
): ReadonlyArray<Candidate> => {
  const overheads = overheadsOf(world)
  const localProfile = world.profileOf(localOf(condition).type)
  const nodes = condition.devices.map((state, k) => ({
    state,
    profile: world.profileOf(state.type),
    isLocal: k === 0,
  }))
  const bytesPerValue = bitsPerValue(options.sparsity ?? 0.8) / 8
  const around = requestMs(overheads, localProfile)
  const front: Array<Candidate> = []
  for (const tiling of tilingsOf(network, options.grids)) {
    const last = front.at(-1)
    const restMs = runMs(overheads, localProfile, tiling.rest)
    // No allocation can undo what the centre has to do.
    if (last !== undefined && around + restMs >= last.ms) continue
    const times = nodes.map((n) => nodeTime(n, tiling, world, tiling.outputValues * bytesPerValue))
    const given = allocateTiles(tiling.rows * tiling.columns, times)
    const sent = given.reduce((sum, tiles, k) => sum + (k === 0 ? 0 : tiles), 0)
    const decodeMs = dequantiseMs(localProfile, sent * tiling.outputValues, 8)
    const ms = around + finishMs(times, given) + decodeMs + restMs
    if (last !== undefined && ms >= last.ms) continue
    if (last?.tiling.tiledLayers === tiling.tiledLayers) front.pop()
    front.push({ tiling, given, ms })
  }
  return front
}

/** Plans from the most accurate, without tiles, to the fastest. */
export const adcnn =
  (options: AdcnnOptions = {}) =>
  (
    network: Network,
    condition: Condition,
    world: BaselineWorld,
  ): ReadonlyArray<BaselineOutcome<TilePlan>> => {
    const loss = options.accuracyLoss ?? retrainedLoss
    return fastestPerDepth(network, condition, world, options).map(({ tiling, given, ms }) => ({
      latencyMs: ms,
      accuracy: network.top1 - loss * (tiling.tiledLayers / network.layers.length),
      plan: {
        summary: summary(network, tiling, given, condition.devices),
        devices: condition.devices.flatMap((d, k) => (k === 0 || (given[k] ?? 0) > 0 ? [d.id] : [])),
        rows: tiling.rows,
        columns: tiling.columns,
        tiledLayers: tiling.tiledLayers,
        tiles: given,
      },
    }))
  }

export const adcnnBaseline: Baseline = { name: "ADCNN", plans: adcnn() }
