/** Of what kinds a set of strategies is: proof that a scenario asks for more than staying at home. */
import { localDevice } from "../supernet/Strategy.ts"
import type { Environment } from "./Environment.ts"
import {
  blockGene,
  deviceGene,
  type Genome,
  gridGene,
  isActiveBlock,
  type Space,
  tilesOfGrid,
} from "./Genome.ts"
import type { Constraint } from "./Scenario.ts"

export type StrategyKind = "local" | "offloaded" | "layer-split" | "tiled"

/** tiled: some block runs on several devices at once; layer-split: several devices, one at a time. */
const strategyKind = (space: Space, genome: Genome): StrategyKind => {
  const used = new Set<number>()
  for (let i = 0; i < space.blocks.length; i++) {
    if (!isActiveBlock(space, genome, i)) continue
    const at = blockGene(space, i)
    const tiles = tilesOfGrid[genome[at + gridGene] ?? 0] ?? 1
    const here = new Set(Array.from({ length: tiles }, (_, t) => genome[at + deviceGene + t] ?? localDevice))
    if (here.size > 1) return "tiled"
    for (const d of here) used.add(d)
  }
  if (used.size > 1) return "layer-split"
  return used.has(localDevice) ? "local" : "offloaded"
}

/** Shares among the constraints whose SLO the strategies meet. */
export const strategyShares = (
  environment: Environment,
  constraints: ReadonlyArray<Constraint>,
  genomes: ReadonlyArray<Genome>,
): Readonly<Record<StrategyKind, number>> => {
  const counts = { local: 0, offloaded: 0, "layer-split": 0, tiled: 0 }
  let met = 0
  for (const [i, constraint] of constraints.entries()) {
    const genome = genomes[i]
    if (genome === undefined || environment.peek(constraint, genome).reward <= 0) continue
    counts[strategyKind(environment.world.space, genome)]++
    met++
  }
  const share = (n: number) => Math.round((100 * n) / Math.max(1, met)) / 100
  return {
    local: share(counts.local),
    offloaded: share(counts.offloaded),
    "layer-split": share(counts["layer-split"]),
    tiled: share(counts.tiled),
  }
}
