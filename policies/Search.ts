/**
 * Fast search for one condition, without any policy: first a ladder of uniform submodels under the placements that an
 * engineer would try (local, offload, early and late splits, tiles over the best devices), then local search from the best.
 * Anytime: it stops at its budget of time or evaluations and returns the best that it has seen.
 */
import { localDevice } from "../supernet/Strategy.ts"
import { below, type Random } from "../supernet/Random.ts"
import { uniformSubmodel } from "../supernet/Submodel.ts"
import {
  bits8,
  bitsGene,
  blockGene,
  canonicalize,
  deviceGene,
  type Genome,
  gridGene,
  localGenome,
  maxTiles,
  type Space,
} from "./Genome.ts"
import { mutate } from "./Moves.ts"
import type { Candidate, Judge } from "./World.ts"

/** Whichever comes first. */
export interface Budget {
  readonly milliseconds?: number
  readonly evaluations?: number
}

/** A stop test that looks at the clock only now and then. */
export const stopper = (budget: Budget, spent: () => number) => {
  const start = performance.now()
  const before = spent()
  const limitMs = budget.milliseconds ?? Number.POSITIVE_INFINITY
  const limit = budget.evaluations ?? Number.POSITIVE_INFINITY
  let calls = 0
  return (): boolean =>
    spent() - before >= limit || ((calls++ & 7) === 0 && performance.now() - start >= limitMs)
}

/** Where blocks run: one entry per block at full depth. */
interface Layout {
  readonly grid: Uint8Array
  /** `maxTiles` per block. */
  readonly devices: Uint8Array
}

const apply = (space: Space, genome: Genome, layout: Layout): Genome => {
  const out = genome.slice()
  for (let i = 0; i < space.blocks.length; i++) {
    const at = blockGene(space, i)
    out[at + gridGene] = layout.grid[i] ?? 0
    out[at + bitsGene] = bits8
    for (let t = 0; t < maxTiles; t++)
      out[at + deviceGene + t] = layout.devices[i * maxTiles + t] ?? localDevice
  }
  return canonicalize(space, out)
}

interface Span {
  /** First block after the span. */
  readonly end: number
  readonly grid: number
  readonly tiles: ReadonlyArray<number>
}

const layoutOf = (space: Space, spans: ReadonlyArray<Span>): Layout => {
  const n = space.blocks.length
  const grid = new Uint8Array(n)
  const devices = new Uint8Array(n * maxTiles)
  let i = 0
  for (const span of spans) {
    for (; i < Math.min(n, span.end); i++) {
      grid[i] = span.grid
      for (let t = 0; t < maxTiles; t++)
        devices[i * maxTiles + t] = span.tiles[t % span.tiles.length] ?? localDevice
    }
  }
  return { grid, devices }
}

/** Blocks at which stages begin, and the head: the natural places to hand over. */
const stageStarts = (space: Space): ReadonlyArray<number> =>
  space.blocks.flatMap((b, i) => (b.place === 0 || b.kind === "head" ? [i] : []))

/** Layouts worth trying first. `order` lists the usable devices, best remote first, without the local one. */
const layouts = (space: Space, order: ReadonlyArray<number>): ReadonlyArray<Layout> => {
  const n = space.blocks.length
  const whole = (device: number): Span => ({ end: n, grid: 0, tiles: [device] })
  const out = [layoutOf(space, [whole(localDevice)])]
  const starts = stageStarts(space)
  for (const remote of order) out.push(layoutOf(space, [whole(remote)]))
  for (const remote of order.slice(0, 2)) {
    for (const end of starts)
      out.push(layoutOf(space, [{ end, grid: 0, tiles: [localDevice] }, whole(remote)]))
  }
  const teams = [
    { grid: 1, tiles: [localDevice, order[0] ?? 0] },
    { grid: 1, tiles: [order[0] ?? 0, order[1] ?? order[0] ?? 0] },
    { grid: 3, tiles: [localDevice, order[0] ?? 0, localDevice, order[0] ?? 0] },
    { grid: 3, tiles: [localDevice, order[0] ?? 0, order[1] ?? localDevice, order[2] ?? order[0] ?? 0] },
    { grid: 3, tiles: [order[0] ?? 0, order[1] ?? 0, order[2] ?? 0, order[3] ?? localDevice] },
  ]
  if (order.length > 0) {
    for (const { grid, tiles } of teams) {
      for (const end of starts.slice(1)) {
        for (const tail of [localDevice, order[0] ?? localDevice]) {
          out.push(layoutOf(space, [{ end, grid, tiles }, whole(tail)]))
        }
      }
    }
  }
  return out
}

/** Uniform submodels from small to large: every resolution with each depth, kernel and expand in step. */
const ladder = (space: Space): ReadonlyArray<Genome> => {
  const { spec } = space
  const pick = (values: ReadonlyArray<number>, share: number) =>
    values[Math.round(share * (values.length - 1))] ?? 0
  return spec.resolutions.flatMap((resolution) =>
    [0, 0.5, 1].flatMap((depth) =>
      [0, 0.5, 1].map((shape) =>
        localGenome(
          space,
          uniformSubmodel(
            spec,
            resolution,
            pick(spec.depths, depth),
            pick(spec.kernels, shape),
            pick(spec.expands, shape),
          ),
        ),
      ),
    ),
  )
}

/** Seeds depend on the space alone: built once for each. */
const ladders = new WeakMap<Space, ReadonlyArray<Genome>>()
const ladderOf = (space: Space): ReadonlyArray<Genome> => {
  const known = ladders.get(space) ?? ladder(space)
  ladders.set(space, known)
  return known
}

/** Remotes by how fast each would run a middling submodel alone, link included. */
const remotesByLatency = (judge: Judge): ReadonlyArray<number> => {
  const { space } = judge
  const middle = ladderOf(space)[Math.floor(ladderOf(space).length / 2)]
  if (middle === undefined) return []
  const alone = (device: number) =>
    judge.outcome(
      apply(space, middle, layoutOf(space, [{ end: space.blocks.length, grid: 0, tiles: [device] }])),
    )
  return judge.usable
    .filter((d) => d !== localDevice)
    .map((device) => ({ device, latencyMs: alone(device).latencyMs }))
    .sort((a, b) => a.latencyMs - b.latencyMs)
    .map(({ device }) => device)
}

/** Keeps the best few candidates, different ones, best first. */
export const keepBest = (size: number) => {
  const kept: Array<Candidate> = []
  return {
    kept: kept as ReadonlyArray<Candidate>,
    offer: (candidate: Candidate): boolean => {
      const last = kept[kept.length - 1]
      if (kept.length >= size && last !== undefined && candidate.score <= last.score) return false
      if (kept.some((k) => k.score === candidate.score && Buffer.compare(k.genome, candidate.genome) === 0))
        return false
      const at = kept.findIndex((k) => k.score < candidate.score)
      kept.splice(at < 0 ? kept.length : at, 0, candidate)
      if (kept.length > size) kept.pop()
      return true
    },
  }
}

/**
 * Hill climbing from several starts at once: a random one of the best few is changed by one to three moves, and the child
 * joins them if it is better than the worst. Keeping several, not one, is what gets it out of narrow places.
 */
export const improve = (
  judge: Judge,
  starts: ReadonlyArray<Candidate>,
  budget: Budget,
  random: Random,
  width = 6,
): Candidate => {
  const elite = keepBest(width)
  for (const start of starts) elite.offer(start)
  const stop = stopper(budget, judge.evaluations)
  while (!stop()) {
    // The square of a uniform number favours the best ones.
    const parent = elite.kept[Math.floor(random.next() ** 2 * elite.kept.length)]
    if (parent === undefined) break
    const genome = mutate(judge.space, parent.genome, judge.usable, random, 1 + below(random, 3))
    elite.offer({ genome, score: judge.score(genome), began: parent.began })
  }
  const best = elite.kept[0]
  if (best === undefined) throw new RangeError("improve needs at least one start")
  return best
}

/**
 * The best of all ladder submodels under all first layouts, best first. Whole on one device they are all looked at, whatever the
 * time: on a machine that hardly gets a core the answer is still one of every size on every device.
 */
const survey = (judge: Judge, budget: Budget, width = 6): ReadonlyArray<Candidate> => {
  const best = keepBest(width)
  const { space } = judge
  const stop = stopper(budget, judge.evaluations)
  const steps = ladderOf(space)
  const first = layouts(space, remotesByLatency(judge))
  const offer = (step: Genome, layout: Layout) => {
    const genome = apply(space, step, layout)
    best.offer({ genome, score: judge.score(genome) })
  }
  const isSpent = stopper({ evaluations: budget.evaluations ?? Number.POSITIVE_INFINITY }, judge.evaluations)
  for (const step of steps) {
    for (const whole of first.slice(0, judge.usable.length)) {
      if (isSpent() && best.kept.length > 0) return best.kept
      offer(step, whole)
    }
  }
  // Breadth first over the ladder (every 7th, then the others): a small budget still sees all sizes.
  for (let offset = 0; offset < 7; offset++) {
    for (let s = offset; s < steps.length; s += 7) {
      for (const layout of first.slice(judge.usable.length)) {
        const step = steps[s]
        if (step === undefined || stop()) return best.kept
        offer(step, layout)
      }
    }
  }
  return best.kept
}

/** Survey with up to half of the budget, local search with the rest. */
export const search = (
  judge: Judge,
  budget: Budget,
  random: Random,
  starts: ReadonlyArray<Genome> = [],
): Candidate => {
  const half = (value: number | undefined) => (value === undefined ? {} : { v: value / 2 })
  const begin = performance.now()
  const spentBefore = judge.evaluations()
  const given = starts.map((genome) => ({ genome, score: judge.score(genome) }))
  const [ms, evaluations] = [half(budget.milliseconds).v, half(budget.evaluations).v]
  const surveyed = survey(judge, {
    ...(ms === undefined ? {} : { milliseconds: ms }),
    ...(evaluations === undefined ? {} : { evaluations }),
  })
  const left: Budget = {
    ...(budget.milliseconds === undefined
      ? {}
      : { milliseconds: budget.milliseconds - (performance.now() - begin) }),
    ...(budget.evaluations === undefined
      ? {}
      : { evaluations: budget.evaluations - (judge.evaluations() - spentBefore) }),
  }
  return improve(judge, [...given, ...surveyed], left, random)
}
