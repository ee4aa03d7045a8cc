/**
 * `murmuration supernet import CHECKPOINT --classes FILE --out DIR`: a PyTorch once-for-all checkpoint becomes a supernet
 * artifact. The file is read as data; nothing in it is ever executed (see supernet/import/Pickle.ts).
 */
import { basename } from "node:path"
import { Console, Effect, FileSystem, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { writeArtifact } from "../supernet/Artifact.ts"
import { importOfa } from "../supernet/import/OfaImport.ts"
import { readTorchCheckpoint } from "../supernet/import/TorchCheckpoint.ts"
import { nextCommand } from "./Next.ts"
import { withShownDefault } from "./Settings.ts"

export class NoSuchInput extends Schema.TaggedError<NoSuchInput>()("NoSuchInput", {
  path: Schema.String,
  what: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.path}: this ${this.what} cannot be read`
  }
}

export interface ImportFiles {
  readonly checkpoint: string
  /** Text file, one class name a line, in the order of the classifier's outputs. */
  readonly classes: string
  readonly out: string
  readonly name: string
  readonly version: string
  readonly weights: "float32" | "float16"
}

const checkpointHint = "give the path of a file (.pth) that once-for-all's PyTorch code saved"
const classesHint =
  "give a text file with one class name a line, in the order of the classifier's outputs: --classes FILE"

/** Checkpoint file in, artifact directory out. Returns what was written. */
export const importCheckpoint = Effect.fn("importCheckpoint")(function* (files: ImportFiles) {
  const fs = yield* FileSystem.FileSystem
  const unreadable = (path: string, what: string, hint: string) => () =>
    new NoSuchInput({ path, what, retryable: false, hint })
  const bytes = yield* fs
    .readFile(files.checkpoint)
    .pipe(Effect.mapError(unreadable(files.checkpoint, "checkpoint", checkpointHint)))
  const text = yield* fs
    .readFileString(files.classes)
    .pipe(Effect.mapError(unreadable(files.classes, "list of class names", classesHint)))
  const classes = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
  const state = yield* readTorchCheckpoint(bytes)
  const { spec, weights } = yield* importOfa(state, { name: files.name, version: files.version, classes })
  const training = `imported from the PyTorch checkpoint ${basename(files.checkpoint)}`
  const manifest = yield* writeArtifact(files.out, spec, weights, { training, weights: files.weights })
  return { spec, weights, manifest }
})

export const importCommand = Command.make(
  "import",
  {
    checkpoint: Argument.String("checkpoint").pipe(
      Argument.withDescription("OFA-MobileNetV3 checkpoint (.pth), zip or legacy form"),
    ),
    classes: Flag.String("classes").pipe(
      Flag.withDescription("Text file with one class name a line, in the order of the classifier's outputs"),
    ),
    out: Flag.String("out").pipe(Flag.withDescription("Directory to write the artifact into")),
    name: withShownDefault(Flag.String("name"), "Name of the supernet", "ofa-mbv3"),
    version: withShownDefault(Flag.String("version-name"), "Version of the supernet", "1"),
    weights: withShownDefault(
      Flag.Literals("weights", ["float16", "float32"]),
      "Width of the stored numbers",
      "float16" as const,
    ),
  },
  Effect.fn(function* (files) {
    const { spec, weights, manifest } = yield* importCheckpoint(files)
    const parameters = [...weights.values()].reduce((sum, t) => sum + t.data.length, 0)
    const stored = Object.values(manifest.files).reduce((sum, f) => sum + f.bytes, 0)
    yield* Console.log(
      [
        `${spec.name} ${spec.version}: OFA-MobileNetV3, width ${spec.widthMultiplier}, ${spec.classes.length} classes, depth up to ${spec.maxDepth}`,
        `stem ${spec.stemWidth}, stages ${spec.stages.map((s) => s.width).join(" ")}, head ${spec.headWidth} -> ${spec.featureWidth}`,
        `${(parameters / 1e6).toFixed(2)} M numbers, ${(stored / 1e6).toFixed(2)} MB (${files.weights}) in ${files.out}`,
        "Batch-norm statistics are the checkpoint's own, those of the largest network: smaller submodels need others.",
        `Next: ${nextCommand("supernet calibrate --data FOLDER --out ARTIFACT", { artifact: files.out })}`,
      ].join("\n"),
    )
  }),
).pipe(Command.withDescription("Turn a PyTorch once-for-all checkpoint into a supernet artifact"))
