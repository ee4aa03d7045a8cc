/**
 * Accuracy of strategies on held-out images, computed by ONNX Runtime with the graphs that devices run: the whole strategy with
 * its cuts and its quantisation at the bus. Tables of many strategies may use a fixed random part of the images, and say so.
 */
import { join } from "node:path"
import { imageFolder, type ImageSet, loadImages } from "./Data.ts"
import type { AccuracyQuery } from "./AccuracyPredictor.ts"
import { queryOf } from "./AccuracyPredictor.ts"
import { seededRandom, shuffled } from "./Random.ts"
import { type LabelledBatch, Reference } from "./Reference.ts"
import type { SupernetSpec } from "./Spec.ts"
import { type Grid, tileCount } from "./Partition.ts"
import { type Bits, localStrategy, normalizeStrategy, sampleStrategy, type Strategy } from "./Strategy.ts"
import { activeBlocks, maxSubmodel, minSubmodel, sampleSubmodel, type Submodel } from "./Submodel.ts"

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

/** Images per run of a session: more is no faster and costs memory. */
const batchSize = 16

export const batchesOf = function* (images: ImageSet): Generator<LabelledBatch> {
  const bytes = images.size * images.size * 3
  for (let at = 0; at < images.count; at += batchSize) {
    const count = Math.min(batchSize, images.count - at)
    const pixels = new Uint8Array(images.pixels.subarray(at * bytes, (at + count) * bytes))
    yield { images: { count, size: images.size, pixels }, labels: images.labels.slice(at, at + count) }
  }
}

/** Top-1 accuracy of a strategy, 0..1. */
export const strategyAccuracy = async (
  reference: Reference,
  strategy: Strategy,
  images: HeldOutImages,
): Promise<number> => reference.accuracy(strategy, batchesOf(await images.at(strategy.submodel.resolution)))

export const submodelAccuracy = (
  reference: Reference,
  submodel: Submodel,
  images: HeldOutImages,
): Promise<number> => strategyAccuracy(reference, localStrategy(reference.spec, submodel, "local"), images)

/**
 * Strategies for a table: the largest and smallest at every resolution, then random ones, one third of them uncut and
 * unquantised, the others spread over four devices with random grids and bits.
 */
export const tableStrategies = (spec: SupernetSpec, count: number, seed: number): ReadonlyArray<Strategy> => {
  const random = seededRandom(seed)
  const ends = spec.resolutions.flatMap((r) => [maxSubmodel(spec, r), minSubmodel(spec, r)])
  const fixed = ends.map((s) => localStrategy(spec, s, "a"))
  const rest = Array.from({ length: Math.max(0, count - fixed.length) }, (_, i) =>
    i % 3 === 0
      ? localStrategy(spec, sampleSubmodel(spec, random), "a")
      : sampleStrategy(spec, ["a", "b", "c", "d"], random, { locality: 0.75 }),
  )
  return [...fixed, ...rest].slice(0, count)
}

/** Its file in an artifact directory. */
export const accuracyTableFile = "accuracy-table.json"

export interface TableRow extends AccuracyQuery {
  readonly top1: number
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
  reference: Reference,
  strategies: ReadonlyArray<Strategy>,
  images: HeldOutImages,
  seed: number,
  onRow: (row: TableRow, done: number) => void = () => {},
): Promise<AccuracyTable> => {
  const { spec } = reference
  const rows: Array<TableRow> = []
  for (const strategy of strategies) {
    const row = { ...queryOf(strategy), top1: await strategyAccuracy(reference, strategy, images) }
    rows.push(row)
    onRow(row, rows.length)
  }
  const supernet = `${spec.name} ${spec.version}`
  return { format: "murmuration-accuracy-table-1", supernet, images: images.count, seed, rows }
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
