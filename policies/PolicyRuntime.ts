/**
 * A trained policy at run time: it decodes strategies for the device's planner. A few variants of the same constraint (the SLO a
 * little stricter) are decoded together: the planner's latency model picks among them.
 */
import { seededRandom } from "../supernet/Random.ts"
import { createSession, floatTensor, output, type Session } from "../supernet/onnx/Runtime.ts"
import type { Condition, Slo, SloKind } from "./Condition.ts"
import type { Proposer } from "./Decision.ts"
import { toDevices } from "./Environment.ts"
import { blockGene, canonicalize, type Genome, genesPerBlock, type Space } from "./Genome.ts"
import { policyFrom } from "./PolicyImport.ts"
import { policyShape, type PolicyShape, presence, writeFeatures } from "./PolicyShape.ts"
import { type Constraint, fitCondition, type Scenario } from "./Scenario.ts"
import type { World } from "./World.ts"

export interface PolicyRuntime {
  readonly shape: PolicyShape
  /** Raw genomes with slots as devices, one per constraint, decoded greedily. */
  readonly decode: (constraints: ReadonlyArray<Constraint>) => Promise<ReadonlyArray<Genome>>
}

const genesOf = (
  space: Space,
  outline: BigInt64Array,
  blocks: BigInt64Array,
  row: number,
  rows: number,
): Genome => {
  const genome = new Uint8Array(space.length)
  for (let i = 0; i < space.firstBlockGene; i++) genome[i] = Number(outline[i * rows + row])
  for (let b = 0; b < space.blocks.length; b++) {
    const from = b * genesPerBlock * rows + row
    for (let i = 0; i < genesPerBlock; i++) genome[blockGene(space, b) + i] = Number(blocks[from + i * rows])
  }
  return genome
}

const longs = (data: unknown): BigInt64Array => {
  if (data instanceof BigInt64Array) return data
  throw new TypeError("the policy's outputs are not int64")
}

/** Rejects where the model's weights are not those of the shape. */
export const loadPolicy = async (model: Uint8Array, shape: PolicyShape): Promise<PolicyRuntime> => {
  const network = await policyFrom(model, shape)
  const random = seededRandom(0)
  return { shape, decode: async (constraints) => network.choose(constraints, { greedy: true, random }) }
}

/** The same by ONNX Runtime: what the artifact means to everyone else, and the reference in tests. */
export const loadOnnxPolicy = async (model: Uint8Array, shape: PolicyShape): Promise<PolicyRuntime> => {
  const session: Session = await createSession(model)
  return {
    shape,
    decode: async (constraints) => {
      const rows = constraints.length
      const features = new Float32Array(rows * shape.features)
      const present = new Float32Array(rows * (1 + shape.slots))
      for (const [i, constraint] of constraints.entries()) {
        writeFeatures(shape, constraint, features, i * shape.features)
        const bits = presence(shape, constraint)
        for (let d = 0; d <= shape.slots; d++) present[i * (1 + shape.slots) + d] = (bits >> d) & 1
      }
      const result = await session.run({
        features: floatTensor(features, [rows, shape.features]),
        present: floatTensor(present, [rows, 1 + shape.slots]),
      })
      const [outline, blocks] = [longs(output(result, "outline").data), longs(output(result, "blocks").data)]
      return constraints.map((_, row) => genesOf(shape.space, outline, blocks, row, rows))
    },
  }
}

/** How much stricter an SLO the variants are decoded for, as ease. */
const variants = [0, 0.02, 0.05, 0.1]

export interface PolicyIdentity {
  readonly name: string
  readonly kind: SloKind
  readonly scenario: Scenario
}

/** The policy as the planner's decider wants it. */
export const policyProposer = (runtime: PolicyRuntime, world: World, identity: PolicyIdentity): Proposer => ({
  name: identity.name,
  fits: (condition: Condition, slo: Slo) =>
    slo.kind === identity.kind && fitCondition(identity.scenario, condition, slo) !== undefined,
  propose: async (condition, slo) => {
    const fitted = fitCondition(identity.scenario, condition, slo)
    if (fitted === undefined) return []
    const constraints = variants.map((stricter) => {
      const constraint = fitted.constraint.slice()
      constraint[0] = (constraint[0] ?? 0) - stricter
      return constraint
    })
    const genomes = await runtime.decode(constraints)
    return genomes.map((genome) => toDevices(world, canonicalize(world.space, genome), fitted.deviceOfSlot))
  },
})

/** The shape that a policy for this scenario and supernet must have. */
export const shapeFor = (scenario: Scenario, space: Space, hidden: number): PolicyShape =>
  policyShape(space, scenario.remotes.length, hidden)
