/** Flags and small helpers that the `murmuration supernet` commands share. */
import { Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import { defaultArtifact } from "../supernet/Artifact.ts"
import { imagenetteRoot } from "../supernet/Data.ts"
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

export const dataFlag = Flag.String("data").pipe(
  Flag.withDescription(
    "Folder with train/ and val/ in ImageNet's layout; default: Imagenette beside the project",
  ),
  Flag.optional,
)
export const artifactFlag = Flag.String("artifact").pipe(
  Flag.withDescription("Artifact directory; default: the one that comes with the project"),
  Flag.optional,
)
export const imagesFlag = Flag.Int("images").pipe(
  Flag.withDescription("Held-out images to use, a fixed random part; default all"),
  Flag.optional,
)
export const seedFlag = Flag.Int("seed").pipe(
  Flag.withDescription("Seed of all random choices"),
  Flag.withDefault(1),
)

export const dataFolder = (given: Option.Option<string>) => {
  const folder = Option.getOrElse(given, imagenetteRoot)
  if (folder !== undefined) return Effect.succeed(folder)
  const hint = "Give --data FOLDER, or set MURMURATION_DATA to the folder that holds imagenette-224."
  return Effect.fail(new NoData({ needed: "image folder", hint, retryable: false }))
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
