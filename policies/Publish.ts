/** From a finished training to an artifact that devices accept: the averaged weights as ONNX, and a manifest that says it all. */
import { createHash } from "node:crypto"
import { packPolicy, type PolicyArtifact } from "./PolicyArtifact.ts"
import { policyModel } from "./PolicyOnnx.ts"
import type { Setting } from "./Setting.ts"
import type { Training, TrainOptions } from "./Train.ts"

/** Metrics are those of the best validation, greedy decoding without any repair; `OverOracle` ones are shares. */
export const publishTraining = (
  setting: Setting,
  options: TrainOptions,
  training: Training,
): PolicyArtifact => {
  const onnx = policyModel(training.network)
  const { scenario } = setting
  const { best } = training
  const command = [
    `murmuration policy train --scenario ${scenario.name} --algorithm ${options.algorithm} --slo ${options.kind}`,
    `--seed ${options.seed} --iterations ${options.iterations} --hidden ${options.hidden}`,
    ...(options.stepPer === "block" ? [] : [`--step-per ${options.stepPer}`]),
    ...(options.batch === undefined ? [] : [`--batch ${options.batch}`]),
    ...(options.supreme.mutations === undefined ? [] : [`--mutations ${options.supreme.mutations}`]),
    ...(options.rate === undefined ? [] : [`--rate ${options.rate}`]),
  ]
  return packPolicy({
    version: createHash("sha256").update(onnx).digest("hex").slice(0, 12),
    kind: options.kind,
    hidden: options.hidden,
    scenario,
    spec: setting.world.space.spec,
    onnx,
    metrics: {
      reward: best.score.reward,
      compliance: best.score.compliance,
      rewardOverOracle: best.overOracle.reward,
      complianceOverOracle: best.overOracle.compliance,
      oracleReward: training.oracle.reward,
      oracleCompliance: training.oracle.compliance,
      environmentSteps: best.steps,
    },
    trainedBy: `${command.join(" ")} (accuracy: ${setting.accuracyName})`,
  })
}
