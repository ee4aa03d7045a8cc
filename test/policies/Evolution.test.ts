/** Evolutionary search, beside which decision times are shown: it must find what there is, and end when it should. */
import { describe, expect, it } from "vitest"
import type { Condition } from "../../policies/Condition.ts"
import { type EvolutionSettings, evolve } from "../../policies/Evolution.ts"
import {
  blockGene,
  canonicalize,
  devicesUsed,
  expandGene,
  type Genome,
  geneLimits,
  genesPerBlock,
  gridGene,
  isActiveBlock,
  kernelGene,
  localGenome,
  type Space,
  spaceOf,
  tilesOfGrid,
} from "../../policies/Genome.ts"
import { meetsSlo } from "../../policies/Objective.ts"
import { type Judge, judge, type World } from "../../policies/World.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { tinySpec as narrowSpec } from "../supernet/Tiny.ts"
import { tinyCondition, tinySpace, tinyWorld } from "./TinyWorld.ts"

/** Once-for-all's, but for fewer generations. */
const settings: EvolutionSettings = {
  population: 100,
  generations: 30,
  parentShare: 0.25,
  mutantShare: 0.5,
  mutation: 0.1,
  resolutionMutation: 0.5,
  attempts: 20,
}

/** One dynamic block: on one device there are few enough strategies to look at all. */
const smallSpace = spaceOf({
  ...narrowSpec,
  stages: narrowSpec.stages.slice(0, 1),
  maxDepth: 1,
  depths: [1],
})

const active = (space: Space, genome: Genome) =>
  space.blocks.flatMap((b, i) => (isActiveBlock(space, genome, i) ? [{ b, at: blockGene(space, i) }] : []))

/** Larger choices are slower and more accurate; tiles are faster and less accurate. */
const smallWorld: World = {
  space: smallSpace,
  latency: {
    at: () => (genome) =>
      active(smallSpace, genome).reduce((sum, { at }, i) => {
        const work =
          (3 + i + 2 * (genome[at + kernelGene] ?? 0) + 3 * (genome[at + expandGene] ?? 0)) *
          (1 + (genome[0] ?? 0))
        return sum + work / (tilesOfGrid[genome[at + gridGene] ?? 0] ?? 1) ** 0.5
      }, 0),
  },
  accuracy: {
    accuracy: (genome) =>
      active(smallSpace, genome).reduce(
        (sum, { at }, i) =>
          sum +
          0.013 * (genome[at + kernelGene] ?? 0) +
          0.021 * (genome[at + expandGene] ?? 0) -
          0.005 * (1 + 0.1 * i) * (genome[at + gridGene] ?? 0),
        0.6 + 0.05 * (genome[0] ?? 0),
      ),
  },
}

const alone: Condition = tinyCondition(0, "slow", 1, 1)

/** Every strategy of the small space for one device. Nothing is sent, so that bits are all the same. */
const all = (): ReadonlyArray<Genome> => {
  const { firstBlockGene, blocks, length } = smallSpace
  const limits = geneLimits(smallSpace, 1)
  const free = blocks.flatMap(({ kind }, i) => {
    const at = firstBlockGene + i * genesPerBlock
    if (kind === "head") return []
    return kind === "dynamic" ? [at + kernelGene, at + expandGene, at + gridGene] : [at + gridGene]
  })
  return [0, ...free]
    .reduce<ReadonlyArray<Genome>>(
      (some, gene) =>
        some.flatMap((genome) => Array.from({ length: limits[gene] ?? 1 }, (_, v) => genome.with(gene, v))),
      [new Uint8Array(length)],
    )
    .map((genome) => canonicalize(smallSpace, genome))
}

describe("evolutionary search", () => {
  it.each([10, 14, 20, 30, 45])("finds the best there is of a small space, within %d ms", (latencyMs) => {
    const judged = judge(smallWorld, alone, { kind: "latency", latencyMs })
    const every = all()
    expect(every).toHaveLength(2 * 3 * 3 * 4 ** 3)
    const best = Math.max(...every.map(judged.score))
    expect(evolve(judged, seededRandom(1), {}, undefined, settings).score).toBeCloseTo(best, 9)
  })

  it("comes to the top of a space that no chance finds, step by step", () => {
    const right = (genome: Genome) =>
      active(tinySpace, genome).reduce((sum, { b, at }) => {
        if (b.kind !== "dynamic") return sum
        return sum + (genome[at + kernelGene] === 2 ? 1 : 0) + (genome[at + expandGene] === 1 ? 1 : 0)
      }, 0)
    const judged: Judge = {
      ...judge(tinyWorld, alone, { kind: "latency", latencyMs: 1 }),
      score: (genome) => 1 + right(genome),
    }
    const { score, history } = evolve(judged, seededRandom(2), {}, 41, { ...settings, generations: 300 })
    // Forty choices, each right one time in three, and only where all blocks run.
    expect(history[0]).toBeLessThan(25)
    expect(score).toBe(41)
  })

  it("moves work to another device where only that is in time", () => {
    const condition = tinyCondition(1, "fast", 400, 1)
    const largest = localGenome(tinySpace, maxSubmodel(tinySpace.spec))
    const aloneMs = tinyWorld.latency.at(condition)(largest)
    const slo = { kind: "latency", latencyMs: aloneMs / 6 } as const
    const judged = judge(tinyWorld, condition, slo)
    const found = evolve(judged, seededRandom(3), {}, undefined, settings)
    const local = judge(tinyWorld, alone, slo)
    const here = evolve(local, seededRandom(3), {}, undefined, settings)
    expect(meetsSlo(slo, judged.outcome(found.genome))).toBe(true)
    expect(devicesUsed(tinySpace, found.genome)).toBe(0b11)
    expect(found.score).toBeGreaterThan(here.score)
  })

  it("makes as many generations as it was told, and tells the best of each", () => {
    const judged = judge(smallWorld, alone, { kind: "latency", latencyMs: 1000 })
    const options = { ...settings, generations: 7, population: 20, attempts: 1 }
    const { generations, history, score, genome } = evolve(judged, seededRandom(4), {}, undefined, options)
    expect(generations).toBe(7)
    expect(history).toHaveLength(7)
    expect([...history].sort((a, b) => a - b)).toEqual(history)
    expect(score).toBe(history.at(-1))
    expect(judged.evaluations()).toBe(20 * 8)
    expect(judged.score(genome)).toBe(score)
    expect(canonicalize(smallSpace, genome.slice())).toEqual(genome)
  })

  it("ends as soon as it has what is good enough, or has spent its budget", () => {
    const slo = { kind: "latency", latencyMs: 1000 } as const
    const far = evolve(judge(tinyWorld, alone, slo), seededRandom(5), {}, undefined, settings)
    const between = ((far.history[0] ?? 0) + far.score) / 2
    const near = evolve(judge(tinyWorld, alone, slo), seededRandom(5), {}, between, settings)
    expect(near.score).toBeGreaterThanOrEqual(between)
    expect(near.generations).toBeLessThan(far.generations)
    expect(near.history.slice(0, -1).every((score) => score < between)).toBe(true)
    const poor = judge(tinyWorld, alone, slo)
    evolve(poor, seededRandom(5), { evaluations: 300 }, undefined, settings)
    // It looks at its budget between two children's generations, and between draws of a child that misses.
    expect(poor.evaluations()).toBeGreaterThanOrEqual(300)
    expect(poor.evaluations()).toBeLessThanOrEqual(300 + settings.population)
  })

  it("finds the same with the same seed, and goes another way with another", () => {
    const found = (seed: number) =>
      evolve(judge(tinyWorld, alone, { kind: "latency", latencyMs: 60 }), seededRandom(seed), {}, undefined, {
        ...settings,
        generations: 5,
      })
    expect(found(6)).toEqual(found(6))
    expect(found(7).history).not.toEqual(found(6).history)
  })
})
