/**
 * An update divided over threads. Its trajectories are cut into shards, always as many; whoever is free claims the next
 * shard, and the gradients are added in the shards' order. So any number of threads comes to the same weights, bit for bit.
 */
import { turn } from "./Learner.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import { isActiveStep, type PolicyShape } from "./PolicyShape.ts"
import {
  differentiate,
  type FlatUpdate,
  flatten,
  type Learn,
  partOf,
  unflatten,
  type Update,
} from "./Update.ts"

/** Shards per update: so many threads may work on it. */
export const shardsPerUpdate = 4

/** A claim: nobody's yet, finished, or else the number of the thread that works on the shard. */
const [open, done] = [0, -1]

/** Memory that all threads share. */
export interface Board {
  /** One claim per shard, anew for each update: a helper that comes late finds nothing to do. */
  readonly claims: Int32Array
  /** Of the network as it is before the update. */
  readonly weights: Float32Array
  /** What came of each shard: gradients [shards, weights], and losses. */
  readonly gradients: Float32Array
  readonly losses: Float64Array
}

/** What a helper is told; `self` is the number under which it claims. */
export interface SharedUpdate {
  readonly self: number
  readonly board: Board
  readonly update: FlatUpdate
}

/** Works on shards until none is left, and says on how many. One that fails leaves its shard to the trainer. */
export type Helper = (shared: SharedUpdate) => Promise<number>

/** Numbers of the threads that claim. */
const [trainer, firstHelper] = [1, 2]

const activeSteps = (shape: PolicyShape, genome: Uint8Array): number => {
  let count = 0
  for (let s = 0; s < shape.steps; s++) if (isActiveStep(shape, genome, s)) count++
  return count
}

/** Trajectories of like length go together: less of a shard's matrices is padding. */
const byLength = (shape: PolicyShape, update: Update): Update => {
  const lengths = update.batch.genomes.map((g) => activeSteps(shape, g))
  const order = [...lengths.keys()].sort((a, b) => (lengths[b] ?? 0) - (lengths[a] ?? 0) || a - b)
  return partOf(update, order)
}

const workOnShard = (network: PolicyNetwork, update: Update, board: Board, shard: number): void => {
  const rows = update.loss.terms.length
  const [from, to] = [shard, shard + 1].map((s) => Math.round((s * rows) / shardsPerUpdate))
  const mine = Array.from({ length: (to ?? 0) - (from ?? 0) }, (_, i) => (from ?? 0) + i)
  const { count } = network.parameters
  const place = board.gradients.subarray(shard * count, (shard + 1) * count)
  if (mine.length === 0) {
    place.fill(0)
    board.losses[shard] = 0
  } else {
    board.losses[shard] = differentiate(network, partOf(update, mine))
    place.set(network.parameters.all("gradients"))
  }
  Atomics.store(board.claims, shard, done)
}

/** Claims shards and works on them until none is open; `prepare` runs before the first. Returns how many it were. */
const workOn = (network: PolicyNetwork, prepare: () => Update, board: Board, self: number): number => {
  let worked = 0
  let update: Update | undefined
  for (let shard = 0; shard < shardsPerUpdate; shard++) {
    if (Atomics.compareExchange(board.claims, shard, open, self) !== open) continue
    update ??= prepare()
    workOnShard(network, update, board, shard)
    worked++
  }
  return worked
}

/** Helps with an update, on a network of the thread's own. Returns the number of shards that were left for it. */
export const help = (network: PolicyNetwork, { self, board, update }: SharedUpdate): number => {
  const prepare = () => {
    network.parameters.restore({ weights: board.weights })
    return unflatten(update)
  }
  return workOn(network, prepare, board, self)
}

const shared = (bytes: number) => new SharedArrayBuffer(bytes)

/** Makes updates of a network with whatever help there is; without any, the trainer works on all shards itself. */
export const makeUpdater = (network: PolicyNetwork, helpers: ReadonlyArray<Helper> = []): Learn => {
  const { parameters, shape } = network
  const { count } = parameters
  const common = {
    weights: new Float32Array(shared(4 * count)),
    gradients: new Float32Array(shared(4 * count * shardsPerUpdate)),
    losses: new Float64Array(shared(8 * shardsPerUpdate)),
  }
  const ask = (board: Board, update: Update): ReadonlyArray<Promise<number>> => {
    if (helpers.length === 0) return []
    board.weights.set(parameters.all("weights"))
    const flat = flatten(update)
    return helpers.map((helper, i) => helper({ self: firstHelper + i, board, update: flat }).catch(() => 0))
  }
  return async (given, { rate, maxNorm }) => {
    await turn()
    const update = byLength(shape, given)
    const board = { ...common, claims: new Int32Array(shared(4 * shardsPerUpdate)) }
    const answers = ask(board, update)
    workOn(network, () => update, board, trainer)
    const unfinished = () => [...board.claims.keys()].filter((s) => Atomics.load(board.claims, s) !== done)
    const ownerOf = (shard: number) => answers[Atomics.load(board.claims, shard) - firstHelper]
    await Promise.all(unfinished().map(async (shard) => ownerOf(shard)))
    // What is unfinished now was claimed by a thread that has gone.
    for (const shard of unfinished()) workOnShard(network, update, board, shard)
    parameters.sumGradients(board.gradients)
    parameters.step(rate, maxNorm)
    return board.losses.reduce((sum, loss) => sum + loss, 0)
  }
}
