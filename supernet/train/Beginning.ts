/**
 * Where a training run begins: at its own checkpoint, at an artifact to continue, or at random weights. What was trained for
 * other classes or another network is refused: it would train for hours on labels that mean something else.
 */
import { copyFileSync, existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { someOf } from "../ErrorText.ts"
import type { SupernetSpec } from "../Spec.ts"
import { randomWeights } from "../Weights.ts"
import { readCheckpoint, readState, type TrainingState } from "./Checkpoint.ts"
import { artifactState, trainingLogFile } from "./Export.ts"
import { decayMask, packParameters, parameterLayout } from "./Parameters.ts"
import type { Recipe } from "./Recipe.ts"
import { optimizerState, type SharedBuffers } from "./Shared.ts"

/** What lies there was trained for something else than this run is to train. */
export class TrainingRefused extends Schema.TaggedError<TrainingRefused>()("TrainingRefused", {
  /** Checkpoint or artifact. */
  path: Schema.String,
  /** What is different: there, and wanted here. */
  differs: Schema.Array(Schema.String),
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.path} is of another training: ${this.differs.join("; ")}`
  }
}

const differences = (found: SupernetSpec, wanted: SupernetSpec): ReadonlyArray<string> => {
  const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
  const widths = ({ stages }: SupernetSpec) => stages.map((s) => s.width).join(" ")
  return [
    ...(isSame(found.classes, wanted.classes)
      ? []
      : [`it has the classes ${someOf(found.classes)}, the images ${someOf(wanted.classes)}`]),
    ...(found.widthMultiplier === wanted.widthMultiplier
      ? []
      : [`its width is ${found.widthMultiplier}, not ${wanted.widthMultiplier}`]),
    ...(isSame(found.stages, wanted.stages)
      ? []
      : [`its stages are ${widths(found)} wide or otherwise made, not ${widths(wanted)}`]),
  ]
}

/** Throws `TrainingRefused` where the two differ in what the weights depend on. */
const mustAgree = (path: string, found: SupernetSpec, wanted: SupernetSpec): void => {
  const differs = differences(found, wanted)
  if (differs.length === 0) return
  const hint = `Give the images and the width that it was trained with (--data, --width ${found.widthMultiplier}), or begin another run: --out FOLDER, without --continue.`
  throw new TrainingRefused({ path, differs, retryable: false, hint })
}

export interface BeginningOptions {
  readonly output: string
  readonly continueFrom?: string
  readonly recipe: Recipe
}

const freshState = (spec: SupernetSpec, recipe: Recipe): TrainingState => ({
  spec,
  recipe,
  step: 0,
  updates: 0,
  images: 0,
  minutes: 0,
  sorted: false,
})

/** Fills the shared vectors. Throws `TrainingRefused` where the checkpoint or the artifact is of another training. */
export const beginning = async (
  shared: SharedBuffers,
  spec: SupernetSpec,
  { output, continueFrom, recipe }: BeginningOptions,
  checkpoint: string,
): Promise<TrainingState> => {
  const layout = parameterLayout(spec)
  const vectors = optimizerState(shared)
  vectors.decays.set(decayMask(layout))
  if (existsSync(checkpoint)) mustAgree(checkpoint, readState(checkpoint).spec, spec)
  const resumed = readCheckpoint(checkpoint, vectors)
  if (resumed !== undefined) return { ...resumed, recipe }
  if (continueFrom !== undefined) {
    const { parameters, state } = await artifactState(continueFrom)
    mustAgree(continueFrom, state.spec, spec)
    vectors.parameters.set(parameters)
    vectors.average.set(parameters)
    // The log goes on where the artifact's ends.
    const log = join(continueFrom, trainingLogFile)
    mkdirSync(output, { recursive: true })
    if (existsSync(log)) copyFileSync(log, join(output, "log.jsonl"))
    return { ...state, recipe }
  }
  const weights = packParameters(layout, randomWeights(spec, recipe.seed))
  vectors.parameters.set(weights)
  vectors.average.set(weights)
  return freshState(spec, recipe)
}
