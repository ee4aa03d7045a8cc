/**
 * A policy network from its ONNX file: the file is what is shipped, and the network decodes it several times faster than ONNX Runtime,
 * for which a strategy is some 1,300 operations, each far smaller than its fixed cost. The names are those of `PolicyOnnx.ts`.
 */
import { seededRandom } from "../supernet/Random.ts"
import { onnxWeights } from "./OnnxWeights.ts"
import { PolicyNetwork } from "./PolicyNetwork.ts"
import { policyShape, type PolicyShape } from "./PolicyShape.ts"

type Take = (name: string, size: number) => Float32Array

const taker =
  (weights: ReadonlyMap<string, Float32Array>): Take =>
  (name, size) => {
    const found = weights.get(name)
    if (found?.length === size) return found
    const has = found === undefined ? "no weights" : `${found.length} weights`
    throw new RangeError(`the policy's model has ${has} '${name}'; its scenario and supernet need ${size}`)
  }

/** Takes the tables of choices apart: what a choice tells the next step, and how it shifts later heads of its own. */
const restoreChoices = (network: PolicyNetwork, take: Take) => {
  const { shape, parameters } = network
  const { columns, positions } = shape
  const gates = 4 * shape.hidden
  const [inputs, within] = [parameters.weight("inputs"), parameters.weight("within")]
  for (const { column, count } of [...shape.outlineHeads, ...shape.blockHeads]) {
    const width = columns + gates
    const rows = take(`choices${column}16`, count * width)
    for (let v = 0; v < count; v++) {
      const row = rows.subarray(v * width, (v + 1) * width)
      inputs.set(row.subarray(columns), (positions + column + v) * gates)
      // Where each decision is a step there are no later heads.
      if (within.length > 0) within.set(row.subarray(0, columns), (column + v) * columns)
    }
  }
}

const restorePositions = (network: PolicyNetwork, take: Take) => {
  const { shape, parameters } = network
  const gates = 4 * shape.hidden
  const inputs = parameters.weight("inputs")
  inputs.fill(0)
  inputs.set(take("start16", gates), 0)
  inputs.set(take("positions16", shape.space.blocks.length * gates), gates)
  for (const { position } of shape.plan) {
    const [, row] = position
    if (row !== undefined) inputs.set(take(`place${row}16`, gates), row * gates)
  }
}

/** Puts a model's weights into a network. Throws where the model has not those that the network's shape needs. */
export const restorePolicy = (network: PolicyNetwork, weights: ReadonlyMap<string, Float32Array>): void => {
  const take = taker(weights)
  const set = (name: "features" | "trunk" | "hidden" | "output" | "bias", from: string) => {
    const w = network.parameters.weight(name)
    w.set(take(from, w.length))
  }
  set("features", "features_w16")
  set("trunk", "trunk16")
  set("hidden", "hidden16")
  set("output", "output16")
  set("bias", "outlineBias")
  restorePositions(network, take)
  restoreChoices(network, take)
}

/** A network of its own for a model. Rejects where `restorePolicy` throws. */
export const policyFrom = async (model: Uint8Array, given: PolicyShape): Promise<PolicyNetwork> => {
  const weights = onnxWeights(model)
  // Whoever loads a policy does not know what its LSTM takes a step for; its file does.
  const stepPer = [...weights.keys()].some((name) => name.startsWith("place")) ? "decision" : "block"
  const shape = policyShape(given.space, given.slots, given.hidden, stepPer)
  const network = await PolicyNetwork.make(shape, seededRandom(0))
  restorePolicy(network, weights)
  return network
}
