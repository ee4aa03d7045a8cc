/**
 * A world small enough to reason about: one time per block and tile, one price per device change, accuracy that grows with
 * everything. Monotone in every link by construction. The real models are tested in their own folders.
 */
import type { Condition } from "../../policies/Condition.ts"
import {
  blockGene,
  bitsGene,
  deviceGene,
  expandGene,
  type Genome,
  gridGene,
  isActiveBlock,
  kernelGene,
  spaceOf,
  tilesOfGrid,
} from "../../policies/Genome.ts"
import type { World } from "../../policies/World.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"

export const tinySpec = ofaMobileNetV3({
  name: "tiny",
  version: "1",
  widthMultiplier: 0.5,
  classes: ["a", "b"],
})
export const tinySpace = spaceOf(tinySpec)

const speed: Record<string, number> = { slow: 1, fast: 20 }

const latencyAt = (condition: Condition) => (genome: Genome) => {
  const devices = condition.devices.map((d) => ({ ...d, speed: speed[d.type] ?? 1 }))
  const pixels = (tinySpec.resolutions[genome[0] ?? 0] ?? 0) ** 2 / 224 ** 2
  let total = 0
  let before: ReadonlyArray<number> = [0, 0, 0, 0]
  for (let i = 0; i < tinySpace.blocks.length; i++) {
    if (!isActiveBlock(tinySpace, genome, i)) continue
    const at = blockGene(tinySpace, i)
    const tiles = tilesOfGrid[genome[at + gridGene] ?? 0] ?? 1
    const here = [0, 1, 2, 3].map((t) => genome[at + deviceGene + t] ?? 0)
    const size = pixels * (1 + (genome[at + kernelGene] ?? 0) + (genome[at + expandGene] ?? 0))
    const busy = devices.map(() => 0)
    let transfer = 0
    for (let t = 0; t < tiles; t++) {
      const d = here[t] ?? 0
      busy[d] = (busy[d] ?? 0) + (4 * size) / tiles / (devices[d]?.speed ?? 1)
      const from = before[t] ?? 0
      if (from === d) continue
      for (const end of [from, d]) {
        const link = devices[end]
        const bits = [32, 16, 8][genome[at + bitsGene] ?? 0] ?? 32
        if (link !== undefined) transfer += link.delayMs + (bits * pixels * 40) / tiles / link.bandwidthMbps
      }
    }
    total += Math.max(...busy) + transfer
    before = here
  }
  const last = devices[before[0] ?? 0]
  return total + (before[0] === 0 ? 0 : (last?.delayMs ?? 0))
}

const accuracy = (genome: Genome) => {
  let value = 0.7 + 0.02 * (genome[0] ?? 0)
  for (let i = 2; i < tinySpace.blocks.length - 1; i++) {
    if (!isActiveBlock(tinySpace, genome, i)) continue
    const at = blockGene(tinySpace, i)
    value += 0.001 + 0.001 * (genome[at + kernelGene] ?? 0) + 0.0015 * (genome[at + expandGene] ?? 0)
    value -= (genome[at + gridGene] ?? 0) > 0 ? 0.0004 : 0
    value -= 0.0003 * (genome[at + bitsGene] ?? 0)
  }
  return value
}

export const tinyWorld: World = { space: tinySpace, latency: { at: latencyAt }, accuracy: { accuracy } }

/** A slow local device and remotes of one type behind equal links. */
export const tinyCondition = (
  remotes: number,
  type: "slow" | "fast",
  bandwidthMbps: number,
  delayMs: number,
): Condition => ({
  devices: [
    { id: "local", type: "slow", bandwidthMbps: 100_000, delayMs: 0 },
    ...Array.from({ length: remotes }, (_, i) => ({ id: `remote-${i}`, type, bandwidthMbps, delayMs })),
  ],
})
