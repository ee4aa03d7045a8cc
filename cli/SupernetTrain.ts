/** `murmuration supernet train`, `export` and `calibrate`: from a folder of images to an artifact. */
import { join } from "node:path"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { imageFolder } from "../supernet/Data.ts"
import type { Recipe } from "../supernet/train/Recipe.ts"
import { intFrom, positive } from "./Bounds.ts"
import { nextCommand } from "./Next.ts"
import {
  artifactFlag,
  artifactFolder,
  badInput,
  dataFlag,
  dataFolder,
  knownClasses,
  progress,
  seedFlag,
  timeLeft,
} from "./SupernetFlags.ts"
import { withShownDefault } from "./Settings.ts"
import { percent } from "./Text.ts"

/** What `supernet train` is told. */
export const trainFlags = {
  data: dataFlag,
  output: withShownDefault(
    Flag.String("out"),
    "Folder of the run: checkpoint (resumed from when there) and log",
    ".train/default",
  ),
  continueFrom: Flag.String("continue").pipe(
    Flag.withDescription("Artifact whose weights to train on, where the run has no checkpoint"),
    Flag.optional,
  ),
  statistics: Flag.String("statistics-from").pipe(
    Flag.withDescription(
      "Artifact whose batch-norm statistics to train under (a last, short phase); give it to export too",
    ),
    Flag.optional,
  ),
  width: withShownDefault(positive("width"), "Width multiplier", 0.5),
  minutes: withShownDefault(
    positive("minutes"),
    "Length of the whole training, earlier runs included: the learning rate falls towards its end",
    240,
  ),
  workers: withShownDefault(intFrom(1, "workers"), "Training threads", 2),
  free: Flag.Boolean("free").pipe(
    Flag.withDescription("Workers do not wait for each other: faster on a busy machine, not reproducible"),
    Flag.withDefault(false),
  ),
  recipe: withShownDefault(
    Flag.String("recipe"),
    "JSON of recipe fields to change, such as '{\"batch\":24}'; see supernet/train/Recipe.ts",
    "{}",
  ),
  seed: seedFlag,
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isNumber = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value)

/** Parts of a recipe whose fields may be given one by one. */
const recipeParts = ["augment", "optimizer"] as const

/** Fields whose value is of another kind than in a recipe, with what they must be; numbers must be finite. */
const wrongKinds = (
  given: Record<string, unknown>,
  recipe: Record<string, unknown>,
  at = "",
): Array<string> =>
  Object.entries(given).flatMap(([name, value]) => {
    const normal = recipe[name]
    if (!isObject(normal)) return isNumber(value) ? [] : [`${at}${name} must be a number`]
    if (!isObject(value)) return [`${at}${name} must be a JSON object`]
    // The weights of resolutions, of which there may be others than usual; else parts of a recipe.
    const alike = name.endsWith("Weights")
      ? Object.fromEntries(Object.keys(value).map((k) => [k, 1]))
      : normal
    return wrongKinds(value, alike, `${at}${name}.`)
  })

/** A recipe with what `--recipe` changes. A misspelt field would train for hours on something else, so it fails. */
export const changedRecipe = (text: string, recipe: Recipe) =>
  Effect.gen(function* () {
    const hint = `fields: ${Object.keys(recipe).join(", ")}; see supernet/train/Recipe.ts`
    const given = yield* Effect.try({
      try: () => JSON.parse(text) as unknown,
      catch: () => badInput(`--recipe is not JSON: ${text}`, hint),
    })
    if (!isObject(given)) return yield* badInput(`--recipe is not a JSON object: ${text}`, hint)
    if ("seed" in given) return yield* badInput("--recipe: the seed is not given here", "give it as --seed")
    const changes = { ...given }
    const strangers = Object.keys(given).filter((name) => !(name in recipe))
    for (const part of recipeParts) {
      const fields = given[part] ?? {}
      if (!isObject(fields)) return yield* badInput(`--recipe: ${part} is not a JSON object`, hint)
      strangers.push(...Object.keys(fields).flatMap((f) => (f in recipe[part] ? [] : [`${part}.${f}`])))
      changes[part] = { ...recipe[part], ...fields }
    }
    if (strangers.length > 0)
      return yield* badInput(`--recipe: a recipe has no ${strangers.join(", ")}`, hint)
    const wrong = wrongKinds(given, { ...recipe })
    if (wrong.length > 0) return yield* badInput(`--recipe: ${wrong.join("; ")}`, hint)
    return { ...recipe, ...changes }
  })

export const trainCommand = Command.make("train", trainFlags, (given) =>
  Effect.gen(function* () {
    // Loaded here: no other command needs the training code.
    const [{ defaultTrainOptions, train }, { TrainingRefused }, { checkBatch }] = yield* Effect.promise(() =>
      Promise.all([
        import("../supernet/train/Trainer.ts"),
        import("../supernet/train/Beginning.ts"),
        import("../supernet/train/Learner.ts"),
      ]),
    )
    const recipe = yield* changedRecipe(given.recipe, defaultTrainOptions.recipe)
    const data = yield* dataFolder(given.data, ["train", "val"])
    const heldOut = imageFolder(join(data, "val")).files.length
    if (heldOut < checkBatch)
      yield* Console.log(
        `${heldOut} held-out images: fewer than ${checkBatch}, so there are no checks meanwhile`,
      )
    const show = progress()
    const rates = { images: 0, since: 0 }
    const outcome = yield* Effect.promise(
      () =>
        train({
          ...defaultTrainOptions,
          ...(Option.isSome(given.continueFrom) ? { continueFrom: given.continueFrom.value } : {}),
          ...(Option.isSome(given.statistics) ? { statisticsFrom: given.statistics.value } : {}),
          data,
          output: given.output,
          widthMultiplier: given.width,
          minutes: given.minutes,
          workers: given.workers,
          inStep: !given.free,
          recipe: { ...recipe, seed: given.seed },
          onStep: (r) => {
            if (rates.since === 0) Object.assign(rates, { images: r.images, since: performance.now() })
            const rate = (r.images - rates.images) / Math.max(1, (performance.now() - rates.since) / 1000)
            const losses = r.losses.map((l) => l.toFixed(2)).join(" ")
            const left = `${Math.ceil((1 - r.progress) * given.minutes)} min left`
            show(r.progress, `step ${r.step} · ${rate.toFixed(0)} images/s · loss ${losses} · ${left}`)
          },
          onCheck: (c) =>
            show(
              c.minutes / given.minutes,
              `held out, ${c.resolution} px: largest ${percent(c.largest)}, smallest ${percent(c.smallest)}\n`,
            ),
        }).catch((cause: unknown) => {
          if (cause instanceof TrainingRefused) return cause
          throw cause
        }),
      // A signal stops the training itself, which then writes its checkpoint: nothing may leave before that.
    ).pipe(Effect.uninterruptible)
    if (typeof outcome !== "boolean") return yield* outcome
    if (!outcome) return yield* Console.log("\nStopped before the first step: nothing was trained.")
    const next = {
      run: given.output,
      data: Option.getOrUndefined(given.data),
      "statistics-from": Option.getOrUndefined(given.statistics),
    }
    yield* Console.log(`\nNext: ${nextCommand("supernet export --out ARTIFACT", next)}`)
  }),
).pipe(
  Command.withDescription(
    "Train a supernet, or train one further; stop with Ctrl-C, go on with the same command",
  ),
)

/** What `supernet export` and `supernet calibrate` are told alike. */
export const calibrationFlags = {
  perResolution: Flag.Boolean("per-resolution").pipe(
    Flag.withDescription("Statistics of each resolution apart: five times the weights that devices hold"),
    Flag.withDefault(false),
  ),
  submodels: withShownDefault(
    intFrom(1, "submodels"),
    "Random submodels per resolution that the batch-norm statistics are averaged over",
    72,
  ),
  seed: seedFlag,
}

/** How to calibrate, with a progress bar. */
const calibrationOf = (given: {
  readonly perResolution: boolean
  readonly submodels: number
  readonly seed: number
}) =>
  Effect.gen(function* () {
    const { defaultCalibration } = yield* Effect.promise(() => import("../supernet/train/Calibrate.ts"))
    const [show, started] = [progress(), performance.now()]
    const onProgress = (done: number, total: number) =>
      show(done / total, `calibrating · ${timeLeft(done / total, started)}`)
    const { perResolution, submodels, seed } = given
    return { ...defaultCalibration, submodels, seed, perResolution, onProgress }
  })

/** The same images judge what was made from them: other images may have other classes. */
const evalOf = ({ out, data }: { readonly out: string; readonly data: Option.Option<string> }) =>
  nextCommand("supernet eval", { artifact: out, data: Option.getOrUndefined(data) })

const exportFlags = {
  data: dataFlag,
  run: withShownDefault(Flag.String("run"), "Folder of the training run", ".train/default"),
  out: Flag.String("out").pipe(Flag.withDescription("Artifact directory to write")),
  name: Flag.String("name").pipe(
    Flag.withDescription("Name of the supernet; default: that of the run"),
    Flag.optional,
  ),
  version: withShownDefault(Flag.String("version-name"), "Version of the supernet", "1"),
  statistics: Flag.String("statistics-from").pipe(
    Flag.withDescription("Artifact whose batch-norm statistics to keep, instead of calibrating"),
    Flag.optional,
  ),
  ...calibrationFlags,
}

export const exportCommand = Command.make("export", exportFlags, (given) =>
  Effect.gen(function* () {
    const [{ exportArtifact }, { readState }] = yield* Effect.promise(() =>
      Promise.all([import("../supernet/train/Export.ts"), import("../supernet/train/Checkpoint.ts")]),
    )
    const data = yield* dataFolder(given.data, ["train"])
    const state = yield* Effect.try({
      try: () => readState(join(given.run, "state.bin")),
      catch: () =>
        badInput(
          `${given.run} holds no training state`,
          `name the folder of a run with --run, or make one: ${nextCommand("supernet train", { out: given.run })}`,
        ),
    })
    yield* knownClasses(data, "train", state.spec)
    const calibration = yield* calibrationOf(given)
    yield* Effect.promise(() =>
      exportArtifact(
        {
          data,
          run: given.run,
          artifact: given.out,
          ...(Option.isSome(given.name) ? { name: given.name.value } : {}),
          version: given.version,
          calibration,
          ...(Option.isSome(given.statistics) ? { statisticsFrom: given.statistics.value } : {}),
        },
        state.spec,
      ),
    )
    yield* Console.log(`${given.out}: step ${state.step}, ${state.images} images`)
    yield* Console.log(`Next: ${evalOf(given)}`)
  }),
).pipe(
  Command.withDescription(
    "Write a training run as an artifact, with batch-norm statistics per block variant",
  ),
)

export const calibrateCommand = Command.make(
  "calibrate",
  {
    data: dataFlag,
    artifact: artifactFlag,
    out: Flag.String("out").pipe(Flag.withDescription("Artifact directory to write")),
    ...calibrationFlags,
  },
  (given) =>
    Effect.gen(function* () {
      const { calibrateArtifact } = yield* Effect.promise(() => import("../supernet/train/Export.ts"))
      const data = yield* dataFolder(given.data, ["train"])
      const artifact = yield* artifactFolder(given.artifact)
      const calibration = yield* calibrationOf(given)
      yield* Effect.promise(() => calibrateArtifact(artifact, given.out, data, calibration))
      yield* Console.log(`\nNext: ${evalOf(given)}`)
    }),
).pipe(
  Command.withDescription(
    "Batch-norm statistics per block variant for an artifact that has them of one network only, such as an imported one",
  ),
)
