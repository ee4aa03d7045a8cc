/**
 * Methods for the shipped supernet, all of which the swarm can run: the planner's search, and what Neurosurgeon would do with one
 * fixed submodel: its best cut between the serving device and one remote (or none), bytes on the bus.
 */
import type { Condition, Slo } from "../../policies/Condition.ts"
import {
  bits8,
  bitsGene,
  blockGene,
  canonicalize,
  deviceGene,
  type Genome,
  localGenome,
  maxTiles,
  type Space,
} from "../../policies/Genome.ts"
import type { Outcome } from "../../policies/Objective.ts"
import type { World } from "../../policies/World.ts"
import { maxSubmodel, minSubmodel, type Submodel, uniformSubmodel } from "../../supernet/Submodel.ts"
import { OurPlanner } from "./Methods.ts"

export interface Choice extends Outcome {
  readonly genome: Genome
}

export interface ShippedMethod {
  readonly name: string
  readonly choose: (condition: Condition, slo: Slo) => Choice
}

/** Blocks from `cut` on run on the device of that index. */
const cutAt = (space: Space, submodel: Submodel, cut: number, device: number): Genome => {
  const genome = localGenome(space, submodel)
  for (let i = cut; i < space.blocks.length; i++) {
    const at = blockGene(space, i)
    genome[at + bitsGene] = bits8
    genome.fill(device, at + deviceGene, at + deviceGene + maxTiles)
  }
  return canonicalize(space, genome)
}

const bestCut = (world: World, submodel: Submodel, condition: Condition): Choice => {
  const { space } = world
  const latencyMs = world.latency.at(condition)
  const remotes = [...condition.devices.keys()].slice(1)
  const cuts = space.blocks.flatMap((_, cut) => remotes.map((r) => cutAt(space, submodel, cut, r)))
  const all = [localGenome(space, submodel), ...cuts].map((genome) => ({ genome, ms: latencyMs(genome) }))
  const { genome, ms } = all.reduce((a, b) => (b.ms < a.ms ? b : a))
  return { genome, latencyMs: ms, accuracy: world.accuracy.accuracy(genome) }
}

export const oursName = "ours"

export const shippedMethods = (world: World, seed: number): ReadonlyArray<ShippedMethod> => {
  const { spec } = world.space
  const planner = new OurPlanner(6000, seed, world)
  const fixed: ReadonlyArray<readonly [string, Submodel]> = [
    ["smallest", minSubmodel(spec)],
    ["middle", uniformSubmodel(spec, 160, 3, 5, 4)],
    ["largest", maxSubmodel(spec)],
  ]
  return [
    { name: oursName, choose: (condition, slo) => planner.best(condition, slo) },
    ...fixed.map(([name, submodel]) => ({
      name: `${name} submodel, best cut`,
      choose: (condition: Condition) => bestCut(world, submodel, condition),
    })),
  ]
}
