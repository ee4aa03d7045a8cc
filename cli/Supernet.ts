/**
 * `murmuration supernet eval|table|fit`: an artifact's accuracy, measured by ONNX Runtime on held-out images, and the predictor
 * fitted on it. Every command ends by naming the next one.
 */
import { readFile } from "node:fs/promises"
import { cpus } from "node:os"
import { join } from "node:path"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { defaultFit, fitPredictor } from "../supernet/AccuracyFit.ts"
import { AccuracyPool } from "../supernet/AccuracyPool.ts"
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
  tableStrategies,
  treatedStrategy,
} from "../supernet/Evaluate.ts"
import { seededRandom } from "../supernet/Random.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel, type Submodel } from "../supernet/Submodel.ts"
import { intFrom } from "./Bounds.ts"
import { nextCommand } from "./Next.ts"
import {
  artifactFlag,
  artifactFolder,
  badInput,
  dataFlag,
  dataFolder,
  knownClasses,
  imagesFlag,
  progress,
  seedFlag,
  timeLeft,
} from "./SupernetFlags.ts"
import { calibrateCommand, exportCommand, trainCommand } from "./SupernetTrain.ts"
import { withShownDefault } from "./Settings.ts"
import { percent } from "./Text.ts"

const threadsFlag = intFrom(1, "threads").pipe(
  Flag.withDescription("Threads that divide the images; default: one per core"),
  Flag.withDefault(cpus().length),
)

const accuracyPool = (artifact: string, images: HeldOutImages, threads: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new AccuracyPool(artifact, images, threads)),
    (pool) => Effect.promise(() => pool.close()),
  )

const evalFlags = {
  data: dataFlag,
  artifact: artifactFlag,
  images: imagesFlag,
  submodel: withShownDefault(
    Flag.Literals("submodel", ["ends", "largest", "smallest", "random"]),
    "Which submodel; ends = the largest and the smallest",
    "ends" as const,
  ),
  resolution: Flag.Int("resolution").pipe(
    Flag.withDescription("Pixels; default all of the supernet's"),
    Flag.optional,
  ),
  grid: withShownDefault(
    Flag.Literals("grid", ["1x1", "1x2", "2x1", "2x2"]),
    "Grid of the blocks that are cut",
    "1x1" as const,
  ),
  cut: withShownDefault(
    Flag.Literals("cut", ["early", "all"]),
    "Blocks that are cut: the first half, or all",
    "early" as const,
  ),
  bits: withShownDefault(
    Flag.Literals("bits", ["32", "16", "8"]),
    "Width of every block's input on the bus",
    "32" as const,
  ),
  threads: threadsFlag,
  seed: seedFlag,
}

const wantedSubmodels = (
  spec: SupernetSpec,
  kind: string,
  resolution: number,
  seed: number,
): ReadonlyArray<Submodel> => {
  if (kind === "random") return [{ ...sampleSubmodel(spec, seededRandom(seed)), resolution }]
  const [largest, smallest] = [maxSubmodel(spec, resolution), minSubmodel(spec, resolution)]
  return kind === "largest" ? [largest] : kind === "smallest" ? [smallest] : [largest, smallest]
}

/** The resolutions to look at: the one that was given, or all. One that the supernet was not made for is refused. */
export const wantedResolutions = (
  { name, version, resolutions }: SupernetSpec,
  given: Option.Option<number>,
) => {
  if (Option.isNone(given)) return Effect.succeed(resolutions)
  if (resolutions.includes(given.value)) return Effect.succeed([given.value])
  const what = `${name} ${version} has no resolution of ${given.value} pixels`
  return Effect.fail(badInput(what, `give one of ${resolutions.join(", ")}: --resolution ${resolutions[0]}`))
}

const describe = (s: Submodel): string =>
  `${s.resolution} px, depths ${s.depths.join("")}, kernels ${s.kernels.join("")}, expands ${s.expands.join("")}`

const evalCommand = Command.make("eval", evalFlags, (given) =>
  Effect.gen(function* () {
    const data = yield* dataFolder(given.data)
    const folder = yield* artifactFolder(given.artifact)
    const { spec } = yield* readArtifact(folder)
    yield* knownClasses(data, "val", spec)
    const resolutions = yield* wantedResolutions(spec, given.resolution)
    const images = new HeldOutImages(data, Option.getOrUndefined(given.images))
    const { grid, cut } = given
    const pool = yield* accuracyPool(folder, images, given.threads)
    const bits = Number(given.bits) as 8 | 16 | 32
    yield* Console.log(
      `${spec.name} ${spec.version}${spec.trained ? "" : " (untrained weights)"}, ${images.count} images`,
    )
    for (const resolution of resolutions) {
      for (const submodel of wantedSubmodels(spec, given.submodel, resolution, given.seed)) {
        const strategy = treatedStrategy(spec, submodel, { grid, cut, bits })
        const top1 = yield* Effect.promise(() => pool.accuracy(strategy))
        yield* Console.log(`top-1 ${percent(top1)}  ${describe(submodel)}`)
      }
    }
  }).pipe(Effect.scoped),
).pipe(
  Command.withDescription(
    "Accuracy on the held-out images, by ONNX Runtime with the graphs that devices run",
  ),
)

const tableCommand = Command.make(
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
      const data = yield* dataFolder(given.data)
      const folder = yield* artifactFolder(given.artifact)
      const { spec } = yield* readArtifact(folder)
      yield* knownClasses(data, "val", spec)
      const images = new HeldOutImages(data, Option.getOrUndefined(given.images))
      const pool = yield* accuracyPool(folder, images, given.threads)
      const strategies = tableStrategies(spec, given.strategies, given.seed)
      const [show, started] = [progress(), performance.now()]
      const table = yield* Effect.promise(() =>
        measureTable(spec, pool, strategies, given.seed, (row, done) => {
          const share = done / strategies.length
          show(share, `top-1 ${percent(row.top1)} · ${timeLeft(share, started)}`)
        }),
      )
      const rows = table.rows.map((r) => JSON.stringify(r)).join(",\n")
      const text = JSON.stringify({ ...table, rows: [] }, null, 1).replace(
        '"rows": []',
        () => `"rows": [\n${rows}\n]`,
      )
      yield* Effect.promise(() => putFile(folder, accuracyTableFile, `${text}\n`))
      yield* recordFiles(folder, [accuracyTableFile])
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

const fitCommand = Command.make("fit", { artifact: artifactFlag, seed: seedFlag }, (given) =>
  Effect.gen(function* () {
    const folder = yield* artifactFolder(given.artifact)
    const { spec } = yield* readArtifact(folder)
    const table = yield* tableOf(folder, spec)
    const data = fitPredictor(spec, table.rows, { ...defaultFit, seed: given.seed })
    yield* Effect.promise(() => putFile(folder, accuracyPredictorFile, `${JSON.stringify(data)}\n`))
    yield* recordFiles(folder, [accuracyPredictorFile])
    const { strategies, meanAbsoluteError, kendallTau } = data.heldOut
    yield* Console.log(
      `On ${strategies} strategies that the fit did not see: mean absolute error ${(meanAbsoluteError * 100).toFixed(2)} points, Kendall tau ${kendallTau.toFixed(3)}`,
    )
  }),
).pipe(Command.withDescription("Fit the accuracy predictor on the table"))

export const supernetCommands = [
  trainCommand,
  exportCommand,
  calibrateCommand,
  evalCommand,
  tableCommand,
  fitCommand,
] as const
