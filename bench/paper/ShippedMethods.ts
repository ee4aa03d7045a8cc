/**
 * Methods for the shipped supernet, all of which the swarm can run: the planner's search, and what Neurosurgeon would do with one
 * fixed submodel: its best cut between the serving device and one remote (or none), with values as narrow as the SLO allows.
 */
import type { Condition, Slo } from "../../policies/Condition.ts"
import {
  bitsGene,
  blockGene,
  canonicalize,
  deviceGene,
  type Genome,
  localGenome,
  maxTiles,
  type Space,
} from "../../policies/Genome.ts"
import { meetsSlo, type Outcome } from "../../policies/Objective.ts"
import type { World } from "../../policies/World.ts"
import { bitsChoices } from "../../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel, type Submodel, uniformSubmodel } from "../../supernet/Submodel.ts"
import { OurPlanner } from "./Methods.ts"

export interface Choice extends Outcome {
  readonly genome: Genome
}

export interface ShippedMethod {
  readonly name: string
  readonly choose: (condition: Condition, slo: Slo) => Choice
}

/** Blocks from `cut` on run on the device of that index; what crosses the cut has the bits of that index. */
const cutAt = (space: Space, submodel: Submodel, cut: number, device: number, bits: number): Genome => {
  const genome = localGenome(space, submodel)
  for (let i = cut; i < space.blocks.length; i++) {
    const at = blockGene(space, i)
    genome[at + bitsGene] = bits
    genome.fill(device, at + deviceGene, at + deviceGene + maxTiles)
  }
  return canonicalize(space, genome)
}

/**
 * The fastest cut, whatever the latency SLO: nothing of this submodel is in time more surely. Under an accuracy SLO the fastest of those
 * that are accurate enough, as narrow values may cost a little; the fastest where none is.
 */
const bestCut = (world: World, submodel: Submodel, condition: Condition, slo: Slo): Choice => {
  const { space } = world
  const latencyMs = world.latency.at(condition)
  const remotes = [...condition.devices.keys()].slice(1)
  const cuts = space.blocks.flatMap((_, cut) =>
    remotes.flatMap((r) => bitsChoices.map((_, bits) => cutAt(space, submodel, cut, r, bits))),
  )
  const all = [localGenome(space, submodel), ...cuts].map((genome) => ({
    genome,
    latencyMs: latencyMs(genome),
    accuracy: world.accuracy.accuracy(genome),
  }))
  const enough = all.filter((c) => slo.kind === "latency" || meetsSlo(slo, c))
  return (enough.length > 0 ? enough : all).reduce((a, b) => (b.latencyMs < a.latencyMs ? b : a))
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
      choose: (condition: Condition, slo: Slo) => bestCut(world, submodel, condition, slo),
    })),
  ]
}
