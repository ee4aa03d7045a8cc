/**
 * Small random changes of a genome: the alphabet of every search here (local search, evolution, SUPREME's mutation).
 * Many moves change a whole span of blocks at once: a strategy is good because its segments are long, and single-gene
 * changes of placement nearly always cost a transfer (the paper's locality heuristic).
 */
import { grids } from "../supernet/Partition.ts"
import { below, type Random, shuffled } from "../supernet/Random.ts"
import { bitsChoices, localDevice } from "../supernet/Strategy.ts"
import {
  bitsGene,
  blockGene,
  canonicalize,
  deviceGene,
  expandGene,
  type Genome,
  genesPerBlock,
  gridGene,
  isActiveBlock,
  kernelGene,
  maxTiles,
  type Space,
} from "./Genome.ts"

/** Indices of the devices that a strategy may use; the local one (0) is always among them. */
export type Usable = ReadonlyArray<number>

type Move = (space: Space, genome: Genome, usable: Usable, random: Random) => void

/** One step up or down within 0..count-1, never standing still when there is a choice. */
const neighbour = (value: number, count: number, random: Random): number => {
  if (count < 2) return 0
  if (value <= 0) return 1
  if (value >= count - 1) return count - 2
  return random.next() < 0.5 ? value - 1 : value + 1
}

const dynamicBlock = (space: Space, random: Random): number => 2 + below(random, space.blocks.length - 3)

/** A span of blocks, short ones and those that reach the last block being likelier. */
const span = (space: Space, random: Random): readonly [number, number] => {
  const n = space.blocks.length
  const first = random.next() < 0.25 ? 0 : below(random, n)
  const last = random.next() < 0.35 ? n - 1 : Math.min(n - 1, first + below(random, 8))
  return [first, last]
}

const changeResolution: Move = (space, genome, _, random) => {
  genome[0] = neighbour(genome[0] ?? 0, space.spec.resolutions.length, random)
}

const copyBlock = (space: Space, genome: Genome, from: number, to: number) =>
  genome.copyWithin(blockGene(space, to), blockGene(space, from), blockGene(space, from) + genesPerBlock)

const changeDepth: Move = (space, genome, _, random) => {
  const stage = below(random, space.stages)
  const wasActive = space.blocks.map((b, i) => b.stage === stage && isActiveBlock(space, genome, i))
  genome[1 + stage] = neighbour(genome[1 + stage] ?? 0, space.spec.depths.length, random)
  for (const [i, b] of space.blocks.entries()) {
    if (b.stage === stage && wasActive[i] === false && isActiveBlock(space, genome, i))
      copyBlock(space, genome, i - 1, i)
  }
}

/** Kernel or expand: of one block, of a whole stage, or of all. */
const changeShape =
  (gene: number): Move =>
  (space, genome, _, random) => {
    const count = gene === kernelGene ? space.spec.kernels.length : space.spec.expands.length
    const chosen = dynamicBlock(space, random)
    const scope = random.next()
    const up = random.next() < 0.5
    for (const [i, b] of space.blocks.entries()) {
      if (b.kind !== "dynamic") continue
      const at = blockGene(space, i) + gene
      const value = genome[at] ?? 0
      if (scope < 0.7) {
        if (i === chosen) genome[at] = neighbour(value, count, random)
      } else if (scope < 0.95 ? b.stage === space.blocks[chosen]?.stage : true) {
        genome[at] = Math.min(count - 1, Math.max(0, value + (up ? 1 : -1)))
      }
    }
  }

/** Moves capacity from one block to another: one expand or kernel up, another down, so that latency stays near. */
const tradeShape: Move = (space, genome, _, random) => {
  const gene = random.next() < 0.6 ? expandGene : kernelGene
  const count = gene === kernelGene ? space.spec.kernels.length : space.spec.expands.length
  const [a, b] = [dynamicBlock(space, random), dynamicBlock(space, random)]
  const [up, down] = [blockGene(space, a) + gene, blockGene(space, b) + gene]
  genome[up] = Math.min(count - 1, (genome[up] ?? 0) + 1)
  genome[down] = Math.max(0, (genome[down] ?? 0) - 1)
}

const placeSpan = (
  space: Space,
  genome: Genome,
  first: number,
  last: number,
  grid: number,
  on: ReadonlyArray<number>,
) => {
  for (let i = first; i <= last; i++) {
    const at = blockGene(space, i)
    genome[at + gridGene] = grid
    for (let t = 0; t < maxTiles; t++) genome[at + deviceGene + t] = on[t] ?? localDevice
  }
}

const anyDevice = (usable: Usable, random: Random): number =>
  usable[below(random, usable.length)] ?? localDevice

/** Whole span to one device, uncut. */
const moveSpan: Move = (space, genome, usable, random) => {
  const [first, last] = span(space, random)
  const device = anyDevice(usable, random)
  placeSpan(
    space,
    genome,
    first,
    last,
    0,
    Array.from({ length: maxTiles }, () => device),
  )
}

/** Span cut into tiles over random devices, distinct ones where there are enough. */
const cutSpan: Move = (space, genome, usable, random) => {
  const [first, last] = span(space, random)
  const grid = 1 + below(random, grids.length - 1)
  const order = shuffled(random, usable)
  placeSpan(
    space,
    genome,
    first,
    last,
    grid,
    Array.from({ length: maxTiles }, (_, t) => order[t % order.length] ?? 0),
  )
}

/** One tile goes to another device, from end to end of the segment in which it stays on one device. */
const moveTile: Move = (space, genome, usable, random) => {
  const chosen = below(random, space.blocks.length)
  const tile = below(random, maxTiles)
  const to = anyDevice(usable, random)
  const at = blockGene(space, chosen)
  const [grid, device] = [genome[at + gridGene], genome[at + deviceGene + tile]]
  const same = (i: number) => {
    const here = blockGene(space, i)
    return genome[here + gridGene] === grid && genome[here + deviceGene + tile] === device
  }
  let [first, last] = [chosen, chosen]
  while (first > 0 && (same(first - 1) || !isActiveBlock(space, genome, first - 1))) first--
  while (last < space.blocks.length - 1 && (same(last + 1) || !isActiveBlock(space, genome, last + 1))) last++
  for (let i = first; i <= last; i++) genome[blockGene(space, i) + deviceGene + tile] = to
}

/** Locality: a block takes grid and placement of its neighbour, so a boundary moves by a block or disappears. */
const joinNeighbour: Move = (space, genome, _, random) => {
  const i = below(random, space.blocks.length)
  const step = random.next() < 0.5 ? -1 : 1
  let from = i + step
  while (from > 0 && from < space.blocks.length - 1 && !isActiveBlock(space, genome, from)) from += step
  if (from < 0 || from >= space.blocks.length) return
  const [source, target] = [blockGene(space, from), blockGene(space, i)]
  genome.copyWithin(target + gridGene, source + gridGene, source + genesPerBlock)
}

const changeBits: Move = (space, genome, _, random) => {
  const bits = below(random, bitsChoices.length)
  if (random.next() < 0.5) {
    genome[blockGene(space, below(random, space.blocks.length)) + bitsGene] = bits
  } else {
    for (let i = 1; i < space.blocks.length; i++) genome[blockGene(space, i) + bitsGene] = bits
  }
}

/** Two devices exchange all their tiles (for links that changed places), or one hands all of its tiles to another. */
const swapDevices: Move = (space, genome, usable, random) => {
  const [a, b] = [anyDevice(usable, random), anyDevice(usable, random)]
  const both = random.next() < 0.5
  for (let i = 0; i < space.blocks.length; i++) {
    for (let t = 0; t < maxTiles; t++) {
      const at = blockGene(space, i) + deviceGene + t
      if (genome[at] === a) genome[at] = b
      else if (both && genome[at] === b) genome[at] = a
    }
  }
}

const submodelMoves: ReadonlyArray<readonly [number, Move]> = [
  [1.5, changeResolution],
  [2, changeDepth],
  [3, changeShape(kernelGene)],
  [3, changeShape(expandGene)],
  [2, tradeShape],
]
const placementMoves: ReadonlyArray<readonly [number, Move]> = [
  [2, moveSpan],
  [1.5, cutSpan],
  [1, moveTile],
  [2.5, joinNeighbour],
  [0.5, changeBits],
  [0.5, swapDevices],
]

const choose = (moves: ReadonlyArray<readonly [number, Move]>, random: Random): Move => {
  let left = random.next() * moves.reduce((sum, [weight]) => sum + weight, 0)
  for (const [weight, move] of moves) if ((left -= weight) <= 0) return move
  return changeResolution
}

/** A changed copy, canonical. Alone (one usable device) only the submodel changes. */
export const mutate = (space: Space, genome: Genome, usable: Usable, random: Random, moves = 1): Genome => {
  const changed = genome.slice()
  const all = usable.length > 1 ? [...submodelMoves, ...placementMoves] : submodelMoves
  for (let m = 0; m < moves; m++) choose(all, random)(space, changed, usable, random)
  return canonicalize(space, changed)
}
