/** From a finished training to an artifact that devices accept: the averaged weights as ONNX, and a manifest that says it all. */
import { createHash } from "node:crypto"
import { packPolicy, type PolicyArtifact } from "./PolicyArtifact.ts"
import { policyModel } from "./PolicyOnnx.ts"
import type { Setting } from "./Setting.ts"
import type { Training, TrainOptions } from "./Train.ts"

/** Metrics are those of the last validation, greedy decoding without any repair; `OverOracle` ones are shares. */
export const publishTraining = (
  setting: Setting,
  options: TrainOptions,
  training: Training,
): PolicyArtifact => {
  const onnx = policyModel(training.network)
  const { scenario } = setting
  const last = training.curve.at(-1)
  const command = [
    `murmuration policy train --scenario ${scenario.name} --algorithm ${options.algorithm} --slo ${options.kind}`,
    `--seed ${options.seed} --iterations ${options.iterations} --hidden ${options.hidden} --batch ${options.batch}`,
  ]
  return packPolicy({
    version: createHash("sha256").update(onnx).digest("hex").slice(0, 12),
    kind: options.kind,
    hidden: options.hidden,
    scenario,
    spec: setting.world.space.spec,
    onnx,
    metrics: {
      reward: last?.score.reward ?? 0,
      compliance: last?.score.compliance ?? 0,
      rewardOverOracle: last?.overOracle.reward ?? 0,
      complianceOverOracle: last?.overOracle.compliance ?? 0,
      oracleReward: training.oracle.reward,
      oracleCompliance: training.oracle.compliance,
      environmentSteps: last?.steps ?? 0,
    },
    trainedBy: `${command.join(" ")} (accuracy: ${setting.accuracyName})`,
  })
}
