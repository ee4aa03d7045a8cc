/**
 * A trained policy at run time: it decodes strategies for the device's planner. A few variants of the same constraint (the SLO a
 * little stricter) are decoded together: the planner's latency model picks among them.
 */
import { seededRandom } from "../supernet/Random.ts"
import { inTypesOf } from "./AlikeTypes.ts"
import type { Condition, Slo, SloKind } from "./Condition.ts"
import type { Proposer } from "./Decision.ts"
import { toDevices } from "./Environment.ts"
import { canonicalize, type Genome, type Space } from "./Genome.ts"
import { policyFrom } from "./PolicyImport.ts"
import { policyShape, type PolicyShape } from "./PolicyShape.ts"
import { type Constraint, fitCondition, type Scenario } from "./Scenario.ts"
import type { World } from "./World.ts"

export interface PolicyRuntime {
  readonly shape: PolicyShape
  /** Raw genomes with slots as devices, one per constraint, decoded greedily. */
  readonly decode: (constraints: ReadonlyArray<Constraint>) => Promise<ReadonlyArray<Genome>>
}

/** Rejects where the model's weights are not those of the shape. */
export const loadPolicy = async (model: Uint8Array, shape: PolicyShape): Promise<PolicyRuntime> => {
  const network = await policyFrom(model, shape)
  const random = seededRandom(0)
  return { shape, decode: async (constraints) => network.choose(constraints, { greedy: true, random }) }
}

/** How much stricter an SLO the variants are decoded for, as ease. */
const variants = [0, 0.02, 0.05, 0.1]

export interface PolicyIdentity {
  readonly name: string
  readonly kind: SloKind
  readonly scenario: Scenario
}

/** The policy as the planner's decider wants it. */
export const policyProposer = (runtime: PolicyRuntime, world: World, identity: PolicyIdentity): Proposer => {
  const { name, kind, scenario } = identity
  const known = inTypesOf(world, scenario)
  const fit = (condition: Condition, slo: Slo) => fitCondition(scenario, known(condition), slo)
  return {
    name,
    fits: (condition, slo) => slo.kind === kind && fit(condition, slo) !== undefined,
    propose: async (condition, slo) => {
      const fitted = fit(condition, slo)
      if (fitted === undefined) return []
      const constraints = variants.map((stricter) => {
        const constraint = fitted.constraint.slice()
        constraint[0] = (constraint[0] ?? 0) - stricter
        return constraint
      })
      const genomes = await runtime.decode(constraints)
      return genomes.map((genome) => toDevices(world, canonicalize(world.space, genome), fitted.deviceOfSlot))
    },
  }
}

/** The shape that a policy for this scenario and supernet must have. */
export const shapeFor = (scenario: Scenario, space: Space, hidden: number): PolicyShape =>
  policyShape(space, scenario.remotes.length, hidden)
