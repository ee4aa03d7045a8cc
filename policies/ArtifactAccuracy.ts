/** The accuracy model of a supernet artifact: its own predictor where it has one, else the stand-in for untrained weights. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { accuracyPredictorFile } from "../supernet/Artifact.ts"
import { PredictorData } from "../supernet/Schemas.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { accuracyModelOf } from "./PredictorAccuracy.ts"
import type { AccuracyModel } from "./World.ts"

export interface AccuracySource {
  readonly model: AccuracyModel
  /** Where the numbers come from, in words. */
  readonly source: string
  /** Names the numbers themselves (a digest): the words of `source` stay the same when a predictor is fitted anew. */
  readonly numbers: string
}

export interface ArtifactAccuracy extends AccuracySource {
  /** What the model was made from; none for untrained weights, or where it is of another supernet. */
  readonly predictor: PredictorData | undefined
  /** Why the predictor that lies there is not used, and what to do: to be said loudly. */
  readonly refused?: string
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(PredictorData))

export const hasPredictor = (directory: string): boolean => existsSync(join(directory, accuracyPredictorFile))

const standIn = (spec: SupernetSpec, why: string) => ({
  model: accuracyModelOf(spec, undefined),
  predictor: undefined,
  source: `size of the submodel, standing in for ${why}`,
})

/**
 * A predictor of another supernet (by name and version) is not used: its numbers would look like measurements of this one. The
 * stand-in takes its place, and `refused` says so. Throws when the file is there but is no predictor.
 */
export const artifactAccuracy = (spec: SupernetSpec, directory: string): ArtifactAccuracy => {
  const file = join(directory, accuracyPredictorFile)
  if (!hasPredictor(directory)) return { ...standIn(spec, "untrained weights"), numbers: "untrained" }
  const text = readFileSync(file, "utf8")
  const data = decode(text)
  const supernet = `${spec.name} ${spec.version}`
  if (data.supernet !== supernet) {
    const refused = `${file} is not used: it was fitted on ${data.supernet}, not on ${supernet}. Make one for this supernet: murmuration supernet table, then murmuration supernet fit, with --artifact ${directory}`
    return { ...standIn(spec, `a predictor of ${supernet}`), numbers: "refused", refused }
  }
  const { strategies, meanAbsoluteError } = data.heldOut
  const error = `${(100 * meanAbsoluteError).toFixed(2)} points on ${strategies} held-out strategies`
  return {
    model: accuracyModelOf(spec, data),
    predictor: data,
    source: `predictor fitted on measured strategies of ${data.supernet} (mean absolute error ${error})`,
    numbers: createHash("sha256").update(text).digest("hex"),
  }
}
