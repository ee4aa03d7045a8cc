/** The accuracy model of a supernet artifact: its own predictor where it has one, else the stand-in for untrained weights. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { AccuracyPredictor, PredictorData } from "../supernet/AccuracyPredictor.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { spaceOf } from "./Genome.ts"
import { predictorAccuracy } from "./PredictorAccuracy.ts"
import { untrainedAccuracy } from "./UntrainedAccuracy.ts"
import type { AccuracyModel } from "./World.ts"

/** Written into the artifact's directory by `murmuration supernet fit`. */
export const accuracyPredictorFile = "accuracy-predictor.json"

export interface ArtifactAccuracy {
  readonly model: AccuracyModel
  /** Where the numbers come from, in words. */
  readonly source: string
  /** Names the numbers themselves (a digest): the words of `source` stay the same when a predictor is fitted anew. */
  readonly numbers: string
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(PredictorData))

export const hasPredictor = (directory: string): boolean => existsSync(join(directory, accuracyPredictorFile))

/** Throws when the predictor's file is there but is not a predictor for this supernet. */
export const artifactAccuracy = (spec: SupernetSpec, directory: string): ArtifactAccuracy => {
  const file = join(directory, accuracyPredictorFile)
  const space = spaceOf(spec)
  if (!hasPredictor(directory)) {
    return {
      model: untrainedAccuracy(space),
      source: "size of the submodel, standing in for untrained weights",
      numbers: "untrained",
    }
  }
  const text = readFileSync(file, "utf8")
  const data = decode(text)
  const { strategies, meanAbsoluteError } = data.heldOut
  const error = `${(100 * meanAbsoluteError).toFixed(2)} points on ${strategies} held-out strategies`
  return {
    model: predictorAccuracy(space, new AccuracyPredictor(spec, data)),
    source: `predictor fitted on measured strategies of ${data.supernet} (mean absolute error ${error})`,
    numbers: createHash("sha256").update(text).digest("hex"),
  }
}
