/**
 * What an evaluation runs on: held-out images, and the strategies that a table of accuracies is made of. `AccuracyPool` does the
 * computing.
 */
import { join } from "node:path"
import { imageFolder, type ImageSet, loadImages } from "./Data.ts"
import type { AccuracyQuery } from "./AccuracyPredictor.ts"
import { queryOf } from "./AccuracyPredictor.ts"
import { normal, pick, type Random, seededRandom, shuffled } from "./Random.ts"
import type { AccuracyPool } from "./AccuracyPool.ts"
import type { LabelledBatch } from "./Reference.ts"
import { dynamicBlocks, type SupernetSpec } from "./Spec.ts"
import { type Grid, grids, tileCount } from "./Partition.ts"
import {
  type Bits,
  bitsChoices,
  localStrategy,
  normalizeStrategy,
  sampleStrategy,
  type Strategy,
} from "./Strategy.ts"
import { activeBlocks, maxSubmodel, minSubmodel, normalizeSubmodel, type Submodel } from "./Submodel.ts"

/** Held-out images of one data folder, decoded per resolution when first asked for. */
export class HeldOutImages {
  readonly count: number
  readonly #folder: ReturnType<typeof imageFolder>
  readonly #sets = new Map<number, ImageSet>()

  /** `limit`: a fixed random part of so many images; default all. */
  constructor(data: string, limit = Number.POSITIVE_INFINITY) {
    const all = imageFolder(join(data, "val"))
    this.#folder = { ...all, files: shuffled(seededRandom(1), all.files).slice(0, limit) }
    this.count = this.#folder.files.length
  }

  async at(resolution: number): Promise<ImageSet> {
    const known = this.#sets.get(resolution)
    if (known !== undefined) return known
    const set = await loadImages(this.#folder, resolution)
    this.#sets.set(resolution, set)
    return set
  }
}

/** Images per run of a session: more is slower, as maps then leave the cache. */
const batchSize = 4

/** The images from `from` up to `to`, exclusive. */
export const batchesOf = function* (images: ImageSet, from = 0, to = images.count): Generator<LabelledBatch> {
  const bytes = images.size * images.size * 3
  for (let at = from; at < to; at += batchSize) {
    const count = Math.min(batchSize, to - at)
    const pixels = new Uint8Array(images.pixels.subarray(at * bytes, (at + count) * bytes))
    yield { images: { count, size: images.size, pixels }, labels: images.labels.slice(at, at + count) }
  }
}

/** A choice with odds that are themselves random, often lopsided: Dirichlet(1/2) for three values, from squared normals. */
const lopsided = <A>(random: Random, values: ReadonlyArray<A>): (() => A) => {
  const odds = values.map(() => normal(random) ** 2)
  const total = odds.reduce((sum, o) => sum + o, 0)
  return () => {
    let rest = random.next() * total
    const found = values.findIndex((_, i) => (rest -= odds[i] ?? 0) < 0)
    return values.at(found) as A
  }
}

/**
 * A random submodel as a search may choose one: mostly large or mostly small in depth, kernels or expand ratios. Were each
 * block drawn by itself, nearly all would be of middling size, and a fit would have to guess at the ends.
 */
const spreadSubmodel = (spec: SupernetSpec, random: Random): Submodel => {
  const [depth, kernel, expand] = [spec.depths, spec.kernels, spec.expands].map((v) => lopsided(random, v))
  return normalizeSubmodel(spec, {
    resolution: pick(random, spec.resolutions),
    depths: spec.stages.map(depth!),
    kernels: Array.from({ length: dynamicBlocks(spec) }, kernel!),
    expands: Array.from({ length: dynamicBlocks(spec) }, expand!),
  })
}

/** One grid and one width from the stem to some block, the rest whole: what a search likes best. */
const cutToSomewhere = (spec: SupernetSpec, random: Random): Strategy => {
  const submodel = spreadSubmodel(spec, random)
  const grid = pick(random, grids.slice(1))
  const cut = 1 + Math.floor(random.next() * (activeBlocks(spec, submodel).length - 1))
  return treatedStrategy(spec, submodel, { grid, cut, bits: pick(random, bitsChoices) })
}

/**
 * Strategies for a table: the largest and smallest at every resolution, then random ones. A third of them are uncut and
 * unquantised, a third are cut from the stem to some block, and a third are spread over four devices with random grids.
 */
export const tableStrategies = (spec: SupernetSpec, count: number, seed: number): ReadonlyArray<Strategy> => {
  const random = seededRandom(seed)
  const ends = spec.resolutions.flatMap((r) => [maxSubmodel(spec, r), minSubmodel(spec, r)])
  const fixed = ends.map((s) => localStrategy(spec, s, "a"))
  const rest = Array.from({ length: Math.max(0, count - fixed.length) }, (_, i) =>
    i % 3 === 0
      ? localStrategy(spec, spreadSubmodel(spec, random), "a")
      : i % 3 === 1
        ? cutToSomewhere(spec, random)
        : sampleStrategy(spec, ["a", "b", "c", "d"], random, {
            submodel: spreadSubmodel(spec, random),
            locality: 0.75,
          }),
  )
  return [...fixed, ...rest].slice(0, count)
}

export interface TableRow extends AccuracyQuery {
  readonly top1: number
  /** By a search, as good by the predictor of the time; else sampled. */
  readonly chosen?: boolean
}

export interface AccuracyTable {
  readonly format: "murmuration-accuracy-table-1"
  /** Name and version of the supernet. */
  readonly supernet: string
  /** Held-out images that each row was measured on. */
  readonly images: number
  readonly seed: number
  readonly rows: ReadonlyArray<TableRow>
}

/** Measures strategies one after the other; `onRow` sees each. */
export const measureTable = async (
  spec: SupernetSpec,
  pool: AccuracyPool,
  strategies: ReadonlyArray<Strategy>,
  seed: number,
  onRow: (row: TableRow, done: number) => void = () => {},
): Promise<AccuracyTable> => {
  const rows: Array<TableRow> = []
  for (const strategy of strategies) {
    const row = { ...queryOf(strategy), top1: await pool.accuracy(strategy) }
    rows.push(row)
    onRow(row, rows.length)
  }
  const supernet = `${spec.name} ${spec.version}`
  return { format: "murmuration-accuracy-table-1", supernet, images: pool.images.count, seed, rows }
}

export interface Treatment {
  readonly grid: Grid
  /** Which blocks are cut: the first half of the active blocks, all but the head, or so many from the front. */
  readonly cut: "early" | "all" | number
  /** Every block's input travels to another device at this width. */
  readonly bits: Bits
}

/** A submodel under one treatment throughout: what a grid, or narrow values, cost in accuracy. */
export const treatedStrategy = (spec: SupernetSpec, submodel: Submodel, treatment: Treatment): Strategy => {
  const active = activeBlocks(spec, submodel)
  const { cut } = treatment
  const last = cut === "early" ? Math.floor(active.length / 2) : cut === "all" ? active.length : cut
  const blocks = active.map((b, i) => {
    const grid: Grid = b.kind === "head" || i >= last ? "1x1" : treatment.grid
    // Devices alternate, so that every input crosses the bus; at 32 bits that changes nothing.
    return { grid, bits: treatment.bits, placement: Array.from({ length: tileCount(grid) }, () => i % 2) }
  })
  return normalizeStrategy(spec, { submodel, devices: ["a", "b"], blocks })
}
