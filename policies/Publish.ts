/** From a finished training to an artifact that devices accept: the averaged weights as ONNX, and a manifest that says it all. */
import { createHash } from "node:crypto"
import { onnxWeights } from "./OnnxWeights.ts"
import { packPolicy, type PolicyArtifact } from "./PolicyArtifact.ts"
import { restorePolicy } from "./PolicyImport.ts"
import { policyModel } from "./PolicyOnnx.ts"
import type { Setting } from "./Setting.ts"
import { decodeAll, type Training, type TrainOptions } from "./Train.ts"
import { normalised, type Score, scoreStrategies } from "./Validation.ts"

/**
 * What the artifact's own weights reach on the training's validation grid: rounded to half floats, they choose a little differently
 * from those that were trained.
 */
const scoreOf = (onnx: Uint8Array, { network, environment, validation }: Training): Score => {
  const decoded = network.parameters.withWeights(network.parameters.copy(), () => {
    restorePolicy(network, onnxWeights(onnx))
    return decodeAll(network, validation)
  })
  return scoreStrategies(environment, validation, decoded)
}

/**
 * Metrics are the artifact's, by greedy decoding on the validation grid without any repair; `OverOracle` ones are shares. `given` is
 * what `--scenario` said: a name, or the path of a file.
 */
export const publishTraining = (
  setting: Setting,
  options: TrainOptions,
  training: Training,
  given: string = setting.scenario.name,
): PolicyArtifact => {
  const onnx = policyModel(training.network)
  const { scenario } = setting
  const score = scoreOf(onnx, training)
  const overOracle = normalised(score, training.oracle)
  const command = [
    `murmuration policy train --scenario ${given} --algorithm ${options.algorithm} --slo ${options.kind}`,
    `--seed ${options.seed} --iterations ${options.iterations} --hidden ${options.hidden}`,
    ...(options.stepPer === "block" ? [] : [`--step-per ${options.stepPer}`]),
    ...(options.batch === undefined ? [] : [`--batch ${options.batch}`]),
    ...(options.supreme.mutations === undefined ? [] : [`--mutations ${options.supreme.mutations}`]),
    ...(options.rate === undefined ? [] : [`--rate ${options.rate}`]),
    ...(options.startFrom === undefined ? [] : [`--from ${options.startFrom}`]),
  ]
  return packPolicy({
    version: createHash("sha256").update(onnx).digest("hex").slice(0, 12),
    kind: options.kind,
    hidden: options.hidden,
    scenario,
    spec: setting.world.space.spec,
    onnx,
    metrics: {
      reward: score.reward,
      compliance: score.compliance,
      rewardOverOracle: overOracle.reward,
      complianceOverOracle: overOracle.compliance,
      oracleReward: training.oracle.reward,
      oracleCompliance: training.oracle.compliance,
      environmentSteps: training.best.steps,
    },
    trainedBy: `${command.join(" ")} (accuracy: ${setting.accuracyName})`,
  })
}
