/** From a finished training to a package that devices accept: the averaged weights as ONNX, and a manifest that says it all. */
import { policyModel } from "./PolicyOnnx.ts"
import { type PolicyPackage, sha256 } from "./PolicyStore.ts"
import type { Setting } from "./Setting.ts"
import type { Training, TrainOptions } from "./Train.ts"

export const packageTraining = (
  setting: Setting,
  options: TrainOptions,
  training: Training,
): PolicyPackage => {
  const { network, curve, oracle } = training
  const { shape } = network
  const onnx = policyModel(network)
  const last = curve.at(-1)
  const { spec } = setting.world.space
  return {
    onnx,
    manifest: {
      name: `${setting.scenario.name}-${options.kind}`,
      version: sha256(onnx).slice(0, 12),
      slo: options.kind,
      scenario: setting.scenario,
      supernet: { name: spec.name, version: spec.version },
      shape: {
        hidden: shape.hidden,
        slots: shape.slots,
        steps: shape.steps,
        features: shape.features,
        actions: shape.actions,
      },
      onnx: { bytes: onnx.byteLength, sha256: sha256(onnx) },
      metrics: {
        reward: last?.score.reward ?? 0,
        compliance: last?.score.compliance ?? 0,
        rewardOverOracle: last?.overOracle.reward ?? 0,
        complianceOverOracle: last?.overOracle.compliance ?? 0,
        oracleReward: oracle.reward,
        oracleCompliance: oracle.compliance,
      },
      training: {
        algorithm: options.algorithm,
        seed: options.seed,
        iterations: options.iterations,
        environmentSteps: last?.steps ?? 0,
        accuracyModel: setting.accuracyName,
      },
    },
  }
}
