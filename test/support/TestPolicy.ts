/** A policy network that was never trained, packed like a trained one: for tests and benches of everything around it. */
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { type PolicyArtifact, packPolicy } from "../../policies/PolicyArtifact.ts"
import { policyModel } from "../../policies/PolicyOnnx.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import { loadScenario } from "../../policies/ScenarioFiles.ts"
import { spaceOf } from "../../policies/Genome.ts"
import { seededRandom } from "../../supernet/Random.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"

export interface TestPolicyOptions {
  readonly version: string
  readonly seed?: number
  readonly hidden?: number
  /** Device type of all devices. */
  readonly profile?: string
  /** Proposes, whatever the condition, the largest submodel whole on the serving device. Default: whatever comes of its weights. */
  readonly proposesLargest?: boolean
}

/** Far above what random weights add to a logit. */
const sure = 20

const proposeLargest = (network: PolicyNetwork): void => {
  const { outlineHeads, blockHeads } = network.shape
  const bias = network.parameters.weight("bias")
  for (const { name, column, count } of [...outlineHeads, ...blockHeads]) {
    const isSize = outlineHeads.some((h) => h.name === name) || name === "kernel" || name === "expand"
    bias[isSize ? column + count - 1 : column] = sure
  }
}

export const untrainedPolicy = async (spec: SupernetSpec, o: TestPolicyOptions): Promise<PolicyArtifact> => {
  const swarm = loadScenario("swarm")
  const profile = o.profile ?? swarm.local
  const scenario = { ...swarm, name: "untrained", local: profile, remotes: swarm.remotes.map(() => profile) }
  const hidden = o.hidden ?? 32
  const shape = policyShape(spaceOf(spec), scenario.remotes.length, hidden)
  const network = await PolicyNetwork.make(shape, seededRandom(o.seed ?? 1))
  if (o.proposesLargest === true) proposeLargest(network)
  return packPolicy({
    version: o.version,
    kind: "latency",
    hidden,
    scenario,
    spec,
    onnx: policyModel(network),
    metrics: {},
    trainedBy: "nobody: random weights",
  })
}
