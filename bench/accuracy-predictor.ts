/** How well the accuracy predictor prices strategies that it has not seen, and how fast. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { defaultFit, fitPredictor } from "../supernet/AccuracyFit.ts"
import { AccuracyPredictor, type PredictorData, queryKey } from "../supernet/AccuracyPredictor.ts"
import { accuracyTableFile, defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { type AccuracyTable, HeldOutImages } from "../supernet/Evaluate.ts"
import { type Chosen, chosenStrategies } from "../policies/ChosenStrategies.ts"
import type { Supernet } from "../policies/Setting.ts"
import { predictorAccuracy } from "../policies/PredictorAccuracy.ts"
import {
  bitsGene,
  blockGene,
  type Genome,
  gridGene,
  localGenome,
  type Space,
  spaceOf,
} from "../policies/Genome.ts"
import { grids } from "../supernet/Partition.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { bitsChoices } from "../supernet/Strategy.ts"
import { activeBlocks } from "../supernet/Submodel.ts"
import { AccuracyPool } from "../supernet/AccuracyPool.ts"
import { imagenetteRoot } from "../supernet/Data.ts"
import { seededRandom, shuffled } from "../supernet/Random.ts"
import { kendallTau } from "../supernet/Statistics.ts"
import { type BenchModule, type BenchOptions, type BenchResult, type Check, mean, type Row } from "./Bench.ts"
import { besides, svgDocument, xyChart } from "./Charts.ts"
import * as Flags from "./Flags.ts"

/** The rows that `fitPredictor` keeps out for this seed. */
const heldOutRows = (table: AccuracyTable, seed: number): AccuracyTable["rows"] =>
  shuffled(seededRandom(seed), table.rows).slice(0, Math.round(table.rows.length * defaultFit.heldOutShare))

/** A row's strategy as search code holds it. */
const genomeOf = (space: Space, { submodel, grids: cuts, bits }: AccuracyTable["rows"][number]): Genome => {
  const genome = localGenome(space, submodel)
  for (const [position, { index }] of activeBlocks(space.spec, submodel).entries()) {
    const at = blockGene(space, index)
    genome[at + gridGene] = grids.indexOf(cuts[position] ?? "1x1")
    genome[at + bitsGene] = bitsChoices.indexOf(bits[position] ?? 32)
  }
  return genome
}

const callsPerSecond = <A>(given: ReadonlyArray<A>, call: (one: A) => number): number => {
  const rounds = Math.ceil(100_000 / given.length)
  for (const one of given) call(one)
  const begun = performance.now()
  for (let r = 0; r < rounds; r++) for (const one of given) call(one)
  return (rounds * given.length * 1000) / (performance.now() - begun)
}

/** As searches, training and the Planner ask (rows of the tables are added for genes), and for strategies as objects. */
const speeds = (spec: SupernetSpec, predictor: AccuracyPredictor, { rows }: AccuracyTable) => {
  const space = spaceOf(spec)
  const model = predictorAccuracy(space, predictor)
  const genomes = rows.map((row) => genomeOf(space, row))
  for (const [i, row] of rows.entries()) {
    const [fast, plain] = [model.accuracy(genomes[i] ?? new Uint8Array()), predictor.predict(row)]
    if (Math.abs(fast - plain) > 1e-9)
      throw new Error(`row ${i}: ${fast} for the genome, ${plain} for the strategy`)
  }
  return {
    genomes: callsPerSecond(genomes, model.accuracy),
    strategies: callsPerSecond(rows, (row) => predictor.predict(row)),
  }
}

/** Of the strategies that were kept out of a fit: all of them, and those that were sampled and not chosen by a search. */
const heldOutRow = (spec: SupernetSpec, table: AccuracyTable, seed: number, data: PredictorData): Row => {
  const held = heldOutRows(table, seed)
  const sampled = held.filter((r) => r.chosen !== true)
  const middle = mean(sampled.map((r) => r.top1))
  const predictor = new AccuracyPredictor(spec, data)
  const said = sampled.map((r) => predictor.predict(r))
  return {
    seed,
    "held-out strategies": held.length,
    "mae of all": data.heldOut.meanAbsoluteError,
    "kendall tau of all": data.heldOut.kendallTau,
    sampled: sampled.length,
    mae: mean(sampled.map((r, i) => Math.abs(r.top1 - (said[i] ?? 0)))),
    "kendall tau": kendallTau(
      sampled.map((r) => r.top1),
      said,
    ),
    "mae of the mean": mean(sampled.map((r) => Math.abs(r.top1 - middle))),
  }
}

interface Asked {
  readonly chosen: Chosen
  readonly top1: number
}

/** Runs what searches choose, and the table does not hold, on all held-out images; none where the images are not there. */
const asked = async (
  { spec, directory }: Supernet,
  { rows }: AccuracyTable,
  count: number,
  seed: number,
): Promise<ReadonlyArray<Asked>> => {
  const root = imagenetteRoot()
  if (root === undefined || count === 0) return []
  const pool = new AccuracyPool(directory, new HeldOutImages(root))
  try {
    const all: Array<Asked> = []
    const known = new Set(rows.map(queryKey))
    for (const chosen of chosenStrategies({ supernet: { spec, directory }, count, seed, known })) {
      all.push({ chosen, top1: await pool.accuracy(chosen.strategy) })
      if (all.length % 10 === 0) console.log(`${all.length} of ${count} chosen strategies measured`)
    }
    return all
  } finally {
    await pool.close()
  }
}

const chosenChecks = (all: ReadonlyArray<Asked>): ReadonlyArray<Check> => {
  const errors = all.map(({ chosen, top1 }) => chosen.predicted - top1)
  return all.length === 0
    ? []
    : [
        { name: "chosen_mae", value: mean(errors.map(Math.abs)), op: "<=", bound: 0.01 },
        { name: "chosen_bias", value: mean(errors), op: "within", bound: [-0.005, 0.005] },
      ]
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const directory = options.arguments.get("artifact") ?? (await Effect.runPromise(defaultArtifact))
  const { spec } = await Effect.runPromise(readArtifact(directory))
  const table = JSON.parse(readFileSync(join(directory, accuracyTableFile), "utf8")) as AccuracyTable
  const seeds = options.quick ? [options.seed] : [0, 1, 2, 3, 4].map((i) => options.seed + i)
  const fits = seeds.map((seed) => ({ seed, data: fitPredictor(spec, table.rows, { ...defaultFit, seed }) }))
  const rows = fits.map(({ seed, data }) => heldOutRow(spec, table, seed, data))
  const first = fits[0]
  if (first === undefined) throw new RangeError("no seeds")
  const predictor = new AccuracyPredictor(spec, first.data)
  const speed = speeds(spec, predictor, table)
  const points = heldOutRows(table, first.seed).map((r) => ({
    x: 100 * predictor.predict(r),
    y: 100 * r.top1,
  }))
  const chosen = await asked(
    { spec, directory },
    table,
    Number(options.arguments.get("chosen") ?? (options.quick ? 0 : 60)),
    options.seed,
  )
  const chosenPoints = chosen.map((c) => ({ x: 100 * c.chosen.predicted, y: 100 * c.top1 }))
  const chart = xyChart(
    {
      title: "Strategies that the fit has not seen",
      x: "predicted top-1, %",
      y: "measured top-1, %",
      width: 560,
      height: 420,
    },
    [
      { name: "random", style: "dots", points },
      { name: "chosen by searches", style: "dots", points: chosenPoints },
    ],
    { diagonal: true },
  )
  return {
    kind: "measured",
    checks: [
      { name: "mae", value: mean(rows.map((r) => Number(r["mae"]))), op: "<=", bound: 0.01 },
      { name: "kendall_tau", value: mean(rows.map((r) => Number(r["kendall tau"]))), op: ">=", bound: 0.85 },
      ...chosenChecks(chosen),
      { name: "predictions_per_s", value: speed.genomes, op: ">=", bound: 100_000 },
    ],
    rows,
    notes: [
      `${table.rows.length} strategies of ${table.supernet}, each measured on ${table.images} held-out images by ONNX Runtime; ${defaultFit.heldOutShare * 100} % of them kept out of each fit, another part for each seed. mae and kendall tau: of those kept out that were sampled; the table's other ${table.rows.filter((r) => r.chosen === true).length} were chosen by searches, by earlier predictors.`,
      `A measurement on ${table.images} images has a standard error of about ${(100 * Math.sqrt(0.25 / table.images)).toFixed(1)} points at 50 %.`,
      chosen.length === 0
        ? "No strategies chosen by searches were run."
        : `chosen: ${chosen.length} strategies that searches choose in the shipped scenarios by the shipped predictor, run on all held-out images; none of them is in the table.`,
      `Predictions per second are of genomes, as searches ask; for strategies as objects ${Math.round(speed.strategies)}.`,
    ],
    figures: new Map([["accuracy-predictor.svg", svgDocument(besides([chart], 1))]]),
  }
}

export const bench: BenchModule = {
  name: "accuracy-predictor",
  proves: "accuracy of strategies is predicted without running them",
  takes: "7 min",
  flags: {
    artifact: Flags.path("DIRECTORY of the supernet (default: the shipped one)"),
    chosen: Flags.countOrNone(
      "N: strategies chosen by searches to run on the held-out images (default: 60, with --quick none)",
    ),
  },
  run,
}
