/**
 * `murmuration supernet table|fit|refine`: a table of measured strategies, the accuracy predictor fitted on it, and more of what
 * searches choose by that predictor. Every command ends by naming the next one.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Console, Effect, Option } from "effect"
import { Command } from "effect/cli"
import { chosenStrategies } from "../policies/ChosenStrategies.ts"
import { defaultFit, fitPredictor } from "../supernet/AccuracyFit.ts"
import { queryKey } from "../supernet/AccuracyPredictor.ts"
import {
  accuracyPredictorFile,
  accuracyTableFile,
  putFile,
  readArtifact,
  recordFiles,
} from "../supernet/Artifact.ts"
import {
  type AccuracyTable,
  HeldOutImages,
  measureTable,
  type TableRow,
  tableStrategies,
} from "../supernet/Evaluate.ts"
import { mean } from "../supernet/Statistics.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { intFrom } from "./Bounds.ts"
import { nextCommand } from "./Next.ts"
import { withShownDefault } from "./Settings.ts"
import {
  accuracyPool,
  artifactFlag,
  artifactFolder,
  badInput,
  dataFlag,
  imagesFlag,
  judged,
  progress,
  seedFlag,
  threadsFlag,
  timeLeft,
} from "./SupernetFlags.ts"
import { percent } from "./Text.ts"

/** One row a line. */
const writeTable = Effect.fnUntraced(function* (folder: string, table: AccuracyTable) {
  const rows = table.rows.map((r) => JSON.stringify(r)).join(",\n")
  const text = JSON.stringify({ ...table, rows: [] }, null, 1).replace(
    '"rows": []',
    () => `"rows": [\n${rows}\n]`,
  )
  yield* Effect.promise(() => putFile(folder, accuracyTableFile, `${text}\n`))
  yield* recordFiles(folder, [accuracyTableFile])
})

/** Progress of so many measurements. */
const shown = (count: number) => {
  const [show, started] = [progress(), performance.now()]
  return (row: TableRow, done: number) =>
    show(done / count, `top-1 ${percent(row.top1)} · ${timeLeft(done / count, started)}`)
}

export const tableCommand = Command.make(
  "table",
  {
    data: dataFlag,
    artifact: artifactFlag,
    images: imagesFlag,
    strategies: withShownDefault(intFrom(1, "strategies"), "Strategies to measure", 300),
    threads: threadsFlag,
    seed: seedFlag,
  },
  (given) =>
    Effect.gen(function* () {
      const { data, folder, spec } = yield* judged(given)
      const images = new HeldOutImages(data, Option.getOrUndefined(given.images))
      const pool = yield* accuracyPool(folder, images, given.threads)
      const strategies = tableStrategies(spec, given.strategies, given.seed)
      const table = yield* Effect.promise(() =>
        measureTable(spec, pool, strategies, given.seed, shown(strategies.length)),
      )
      yield* writeTable(folder, table)
      yield* Console.log(`Next: ${nextCommand("supernet fit", { artifact: folder })}`)
    }).pipe(Effect.scoped),
).pipe(Command.withDescription("Measure the accuracy of a few hundred sampled strategies"))

/** The table of an artifact; one that was measured on another supernet is refused: a predictor fitted on it would guess. */
export const tableOf = Effect.fnUntraced(function* (folder: string, { name, version }: SupernetSpec) {
  const make = nextCommand("supernet table", { artifact: folder })
  const table = yield* Effect.tryPromise({
    try: async () => JSON.parse(await readFile(join(folder, accuracyTableFile), "utf8")) as AccuracyTable,
    catch: () => badInput(`${folder} has no ${accuracyTableFile} that can be read`, `make one: ${make}`),
  })
  if (table.supernet !== `${name} ${version}`) {
    const what = `${join(folder, accuracyTableFile)} was measured on ${table.supernet}, not on ${name} ${version}`
    return yield* badInput(what, `measure this one: ${make}`)
  }
  return table
})

/** Fits, writes the predictor, and says how well it does. */
const fit = Effect.fnUntraced(function* (
  folder: string,
  spec: SupernetSpec,
  table: AccuracyTable,
  seed: number,
) {
  const data = fitPredictor(spec, table.rows, { ...defaultFit, seed })
  yield* Effect.promise(() => putFile(folder, accuracyPredictorFile, `${JSON.stringify(data)}\n`))
  yield* recordFiles(folder, [accuracyPredictorFile])
  const { strategies, meanAbsoluteError, kendallTau } = data.heldOut
  yield* Console.log(
    `On ${strategies} strategies that the fit did not see: mean absolute error ${(meanAbsoluteError * 100).toFixed(2)} points, Kendall tau ${kendallTau.toFixed(3)}`,
  )
})

export const fitCommand = Command.make("fit", { artifact: artifactFlag, seed: seedFlag }, (given) =>
  Effect.gen(function* () {
    const folder = yield* artifactFolder(given.artifact)
    const { spec } = yield* readArtifact(folder)
    yield* fit(folder, spec, yield* tableOf(folder, spec), given.seed)
    yield* Console.log(`Next: ${nextCommand("supernet refine", { artifact: folder })}`)
  }),
).pipe(Command.withDescription("Fit the accuracy predictor on the table"))

export const refineCommand = Command.make(
  "refine",
  {
    data: dataFlag,
    artifact: artifactFlag,
    strategies: withShownDefault(intFrom(1, "strategies"), "Strategies to measure, at most", 120),
    threads: threadsFlag,
    seed: seedFlag,
  },
  (given) =>
    Effect.gen(function* () {
      const { data, folder, spec } = yield* judged(given)
      const table = yield* tableOf(folder, spec)
      const images = new HeldOutImages(data, table.images)
      if (images.count !== table.images) {
        const what = `${data} has ${images.count} held-out images, and the table is of ${table.images}`
        return yield* badInput(
          what,
          `measure it anew: ${nextCommand("supernet table", { artifact: folder })}`,
        )
      }
      const chosen = chosenStrategies({
        supernet: { spec, directory: folder },
        count: given.strategies,
        seed: given.seed,
        known: new Set(table.rows.map(queryKey)),
      })
      const pool = yield* accuracyPool(folder, images, given.threads)
      const strategies = chosen.map((c) => c.strategy)
      const { rows } = yield* Effect.promise(() =>
        measureTable(spec, pool, strategies, given.seed, shown(strategies.length)),
      )
      const errors = rows.map((r, i) => (chosen[i]?.predicted ?? 0) - r.top1)
      const [off, bias] = [mean(errors.map(Math.abs)), mean(errors)].map((e) => (100 * e).toFixed(2))
      yield* Console.log(
        `Of ${rows.length} strategies that searches chose by it, the predictor was off by ${off} points, and by ${bias} too high`,
      )
      const all = { ...table, rows: [...table.rows, ...rows.map((r) => ({ ...r, chosen: true }))] }
      yield* writeTable(folder, all)
      yield* fit(folder, spec, all, given.seed)
    }).pipe(Effect.scoped),
).pipe(
  Command.withDescription(
    "Measure what searches choose by the predictor, add it to the table, and fit again",
  ),
)
