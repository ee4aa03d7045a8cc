/** The accuracy model of a supernet artifact: its own predictor where it has one, else the stand-in for untrained weights. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { PredictorData } from "../supernet/Schemas.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { accuracyModelOf } from "./PredictorAccuracy.ts"
import type { AccuracyModel } from "./World.ts"

/** Written into the artifact's directory by `murmuration supernet fit`. */
export const accuracyPredictorFile = "accuracy-predictor.json"

export interface AccuracySource {
  readonly model: AccuracyModel
  /** Where the numbers come from, in words. */
  readonly source: string
  /** Names the numbers themselves (a digest): the words of `source` stay the same when a predictor is fitted anew. */
  readonly numbers: string
}

export interface ArtifactAccuracy extends AccuracySource {
  /** What the model was made from; none for untrained weights. */
  readonly predictor: PredictorData | undefined
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(PredictorData))

export const hasPredictor = (directory: string): boolean => existsSync(join(directory, accuracyPredictorFile))

/** Throws when the predictor's file is there but is not a predictor for this supernet. */
export const artifactAccuracy = (spec: SupernetSpec, directory: string): ArtifactAccuracy => {
  const file = join(directory, accuracyPredictorFile)
  if (!hasPredictor(directory)) {
    return {
      model: accuracyModelOf(spec, undefined),
      predictor: undefined,
      source: "size of the submodel, standing in for untrained weights",
      numbers: "untrained",
    }
  }
  const text = readFileSync(file, "utf8")
  const data = decode(text)
  const { strategies, meanAbsoluteError } = data.heldOut
  const error = `${(100 * meanAbsoluteError).toFixed(2)} points on ${strategies} held-out strategies`
  return {
    model: accuracyModelOf(spec, data),
    predictor: data,
    source: `predictor fitted on measured strategies of ${data.supernet} (mean absolute error ${error})`,
    numbers: createHash("sha256").update(text).digest("hex"),
  }
}
