/**
 * Evolutionary search as once-for-all does it (Cai et al., `evolution.py`), extended to whole strategies: population 100,
 * the best quarter are parents, half of each generation mutants and half crossovers, mutation chance 0.1 per decision (0.5
 * for the resolution), up to 500 generations. Children that miss the SLO are drawn again, as there. The paper's reference
 * for decision time (figure 18).
 */
import { grids } from "../supernet/Partition.ts"
import { below, type Random } from "../supernet/Random.ts"
import { localDevice } from "../supernet/Strategy.ts"
import {
  bitsGene,
  blockGene,
  canonicalize,
  choiceCounts,
  confine,
  deviceGene,
  expandGene,
  type Genome,
  gridGene,
  kernelGene,
  localGenome,
  maxTiles,
  type Space,
} from "./Genome.ts"
import { minSubmodel } from "../supernet/Submodel.ts"
import { type Budget, stopper } from "./Search.ts"
import type { Candidate, Judge } from "./World.ts"

export interface EvolutionSettings {
  readonly population: number
  readonly generations: number
  readonly parentShare: number
  /** Share of each generation that are mutants; the others are crossovers. */
  readonly mutantShare: number
  readonly mutation: number
  readonly resolutionMutation: number
  /** Draws for one child before it is accepted although it misses the SLO (once-for-all draws for ever). */
  readonly attempts: number
}

const ofaEvolution: EvolutionSettings = {
  population: 100,
  generations: 500,
  parentShare: 0.25,
  mutantShare: 0.5,
  mutation: 0.1,
  resolutionMutation: 0.5,
  attempts: 20,
}

/** Redraws each decision with its chance; 1 gives a uniformly random strategy. */
const redraw = (
  judge: Judge,
  genome: Genome,
  chance: number,
  resolutionChance: number,
  random: Random,
): Genome => {
  const { space, usable } = judge
  const counts = choiceCounts(space.spec)
  const child = genome.slice()
  const maybe = (at: number, count: number, p: number) => {
    if (random.next() < p) child[at] = below(random, count)
  }
  maybe(0, counts.resolution, resolutionChance)
  for (let s = 0; s < space.stages; s++) maybe(1 + s, counts.depth, chance)
  for (let i = 0; i < space.blocks.length; i++) {
    const at = blockGene(space, i)
    maybe(at + kernelGene, counts.kernel, chance)
    maybe(at + expandGene, counts.expand, chance)
    maybe(at + gridGene, grids.length, chance)
    maybe(at + bitsGene, counts.bits, chance)
    for (let t = 0; t < maxTiles; t++) {
      if (random.next() < chance)
        child[at + deviceGene + t] = usable[below(random, usable.length)] ?? localDevice
    }
  }
  return canonicalize(space, child)
}

/** Each decision from one parent or the other. */
const cross = (space: Space, a: Genome, b: Genome, random: Random): Genome =>
  canonicalize(
    space,
    a.map((gene, i) => (random.next() < 0.5 ? gene : (b[i] ?? gene))),
  )

export interface EvolutionResult extends Candidate {
  readonly generations: number
  /** Best score after each generation. */
  readonly history: ReadonlyArray<number>
}

/** Stops at the budget, after all generations, or as soon as `goodEnough` is reached. */
export const evolve = (
  judge: Judge,
  random: Random,
  budget: Budget = {},
  goodEnough = Number.POSITIVE_INFINITY,
  settings: EvolutionSettings = ofaEvolution,
): EvolutionResult => {
  const stop = stopper(budget, judge.evaluations)
  const smallest = localGenome(judge.space, minSubmodel(judge.space.spec))
  const judged = (genome: Genome): Candidate => ({ genome, score: judge.score(genome) })
  const accepted = (make: () => Genome): Candidate => {
    let child = judged(make())
    for (let n = 1; n < settings.attempts && child.score <= 0 && !stop(); n++) {
      const again = judged(make())
      if (again.score > child.score) child = again
    }
    return child
  }
  let population: Array<Candidate> = [judged(confine(judge.space, smallest, judge.usable))]
  while (population.length < settings.population && !stop()) {
    population.push(accepted(() => redraw(judge, smallest, 1, 1, random)))
  }
  const history: Array<number> = []
  let best = population[0] ?? judged(smallest)
  let generation = 0
  for (; generation < settings.generations; generation++) {
    population.sort((a, b) => b.score - a.score)
    const first = population[0]
    if (first !== undefined && first.score > best.score) best = first
    history.push(best.score)
    if (stop() || best.score >= goodEnough) break
    const parents = population.slice(0, Math.max(2, Math.round(settings.parentShare * settings.population)))
    const parent = () => parents[below(random, parents.length)]?.genome ?? smallest
    const mutants = Math.round(settings.mutantShare * settings.population)
    const children = Array.from({ length: settings.population }, (_, n) =>
      accepted(() =>
        n < mutants
          ? redraw(judge, parent(), settings.mutation, settings.resolutionMutation, random)
          : cross(judge.space, parent(), parent(), random),
      ),
    )
    population = [...parents, ...children]
  }
  return { ...best, generations: generation, history }
}
