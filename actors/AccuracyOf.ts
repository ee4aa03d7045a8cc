/** The accuracy model of a supernet artifact: its own predictor where it has one, else the stand-in for untrained weights. */
import { artifactAccuracy } from "../policies/ArtifactAccuracy.ts"
import type { AccuracyModel } from "../policies/World.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"

export const accuracyModel = (spec: SupernetSpec, artifact: string): AccuracyModel =>
  artifactAccuracy(spec, artifact).model
