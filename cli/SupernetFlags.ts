/** Flags, inputs and their errors, and small helpers that the `murmuration supernet` commands share. */
import { existsSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import { Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import { AccuracyPool } from "../supernet/AccuracyPool.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { classNames, imageFolder, imagenetteRoot } from "../supernet/Data.ts"
import { someOf } from "../supernet/ErrorText.ts"
import type { HeldOutImages } from "../supernet/Evaluate.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { withShownDefault } from "./Settings.ts"
import { intFrom } from "./Bounds.ts"
import { progressBar } from "./Text.ts"

export class NoData extends Schema.TaggedError<NoData>()("NoData", {
  needed: Schema.String,
  hint: Schema.String,
  retryable: Schema.Boolean,
}) {
  override get message() {
    return `no ${this.needed}`
  }
}

/** A file or flag that a command was given and cannot use. */
export class BadSupernetInput extends Schema.TaggedError<BadSupernetInput>()("BadSupernetInput", {
  what: Schema.String,
  hint: Schema.String,
  retryable: Schema.Boolean,
}) {
  override get message() {
    return this.what
  }
}

export const badInput = (what: string, hint: string): BadSupernetInput =>
  new BadSupernetInput({ what, hint, retryable: false })

export const dataFlag = Flag.String("data").pipe(
  Flag.withDescription(
    "Folder with train/ and val/ in ImageNet's layout (default: imagenette-224 in $MURMURATION_DATA, else in ../shared/data beside the project)",
  ),
  Flag.optional,
)
export const artifactFlag = Flag.String("artifact").pipe(
  Flag.withDescription("Artifact directory; default: the one that comes with the project"),
  Flag.optional,
)
export const imagesFlag = intFrom(1, "images").pipe(
  Flag.withDescription("Held-out images to use, a fixed random part; default all"),
  Flag.optional,
)
export const seedFlag = withShownDefault(Flag.Int("seed"), "Seed of all random choices", 1)

export const threadsFlag = intFrom(1, "threads").pipe(
  Flag.withDescription("Threads that divide the images; default: one per core"),
  Flag.withDefault(cpus().length),
)

/** What is judged, and by which held-out images: both are there, and of the same classes. */
export const judged = Effect.fnUntraced(function* (given: {
  readonly data: Option.Option<string>
  readonly artifact: Option.Option<string>
}) {
  const data = yield* dataFolder(given.data)
  const folder = yield* artifactFolder(given.artifact)
  const { spec } = yield* readArtifact(folder)
  yield* knownClasses(data, "val", spec)
  return { data, folder, spec }
})

/** Closed with its scope. */
export const accuracyPool = (artifact: string, images: HeldOutImages, threads: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new AccuracyPool(artifact, images, threads)),
    (pool) => Effect.promise(() => pool.close()),
  )

const layout = "Images lie in FOLDER/train/<class>/ and FOLDER/val/<class>/, as JPEG, PNG or WebP."

/** What is wrong with a data folder, if anything is. Both parts must have the same classes: a class is known by its place. */
const folderProblem = (folder: string, parts: ReadonlyArray<"train" | "val">): string | undefined => {
  const missing = parts.find((part) => !existsSync(join(folder, part)))
  if (missing !== undefined) return `folder ${join(folder, missing)}`
  const found = parts.map((part) => imageFolder(join(folder, part)))
  const empty = found.find((f) => f.files.length === 0)
  if (empty !== undefined) return `images in the subfolders of ${empty.folder}`
  const [first, second] = found.map((f) => f.classes.join(", "))
  return second === undefined || first === second
    ? undefined
    : `same classes in ${parts.join(" and ")}: ${first} / ${second}`
}

/** The folder that was given, else Imagenette's; fails with `NoData` where the named parts are not as they must be. */
export const dataFolder = (given: Option.Option<string>, parts: ReadonlyArray<"train" | "val"> = ["val"]) => {
  const folder = Option.getOrElse(given, imagenetteRoot)
  if (folder === undefined) {
    const hint = "Give --data FOLDER, or set MURMURATION_DATA to the folder that holds imagenette-224."
    return Effect.fail(new NoData({ needed: "image folder", hint, retryable: false }))
  }
  const needed = folderProblem(folder, parts)
  return needed === undefined
    ? Effect.succeed(folder)
    : Effect.fail(new NoData({ needed, hint: layout, retryable: false }))
}

/** ImageNet's own name of a class: what an imported supernet calls the same class is not known here. */
const isImageNetId = (name: string): boolean => /^n\d{8}$/.test(name)

/** Fails where the images of a part show other classes than the supernet knows: a class is known by its place. */
export const knownClasses = (
  folder: string,
  part: "train" | "val",
  { name, classes }: Pick<SupernetSpec, "name" | "classes">,
) => {
  const found = imageFolder(join(folder, part)).classes.map((c) => classNames[c] ?? c)
  const agrees = found.length === classes.length && found.every((c, i) => c === classes[i] || isImageNetId(c))
  if (agrees) return Effect.void
  const what = `${folder} has other classes than the supernet ${name}: ${someOf(found)} / ${someOf(classes)}`
  return Effect.fail(badInput(what, "Give the images that it was trained for: --data FOLDER."))
}

export const artifactFolder = (given: Option.Option<string>) =>
  Option.match(given, { onNone: () => defaultArtifact, onSome: Effect.succeed })

/** One line that is rewritten where a person looks, and printed now and then where a log does. */
export const progress = () => {
  let printed = 0
  return (share: number, text: string): void => {
    const line = `${progressBar(share)} ${text}`
    if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${line}${share >= 1 ? "\n" : ""}`)
    else if (share >= 1 || performance.now() - printed > 30_000) {
      printed = performance.now()
      process.stdout.write(`${line}\n`)
    }
  }
}

export const timeLeft = (share: number, startedMs: number, startShare = 0): string => {
  if (share <= startShare) return ""
  const left = ((performance.now() - startedMs) / (share - startShare)) * (1 - share)
  return `${Math.ceil(left / 60_000)} min left`
}
