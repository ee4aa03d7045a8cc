/**
 * Strategies that searches choose in the shipped scenarios by the accuracy predictor. A search finds whatever a predictor thinks
 * too well of, so that its errors there are not those on random strategies: they are measured, and learned from, apart.
 */
import type { SloKind } from "./Condition.ts"
import { makeEnvironment } from "./Environment.ts"
import { decodeGenome } from "./Genome.ts"
import { oracle } from "./Oracle.ts"
import { loadScenario } from "./ScenarioFiles.ts"
import { settingFor, type Supernet } from "./Setting.ts"
import { validationConstraints } from "./Validation.ts"
import { queryKey, queryOf } from "../supernet/AccuracyPredictor.ts"
import { seededRandom, shuffled } from "../supernet/Random.ts"
import type { Strategy } from "../supernet/Strategy.ts"

export interface Chosen {
  readonly scenario: string
  readonly kind: SloKind
  readonly strategy: Strategy
  /** Top-1 by the predictor that it was chosen by, 0..1. */
  readonly predicted: number
}

const scenarios = ["swarm", "augmented", "team", "fleet"]
const kinds: ReadonlyArray<SloKind> = ["latency", "accuracy"]
/** Of each scenario and kind of SLO. */
const mostConstraints = 64
const effort = { searchEvaluations: 3000, polishEvaluations: 1500 }

/** Searches for a supernet's predictor, and which of what they find is wanted. */
export interface Choosing {
  readonly supernet: Supernet
  readonly count: number
  readonly seed: number
  /** `queryKey` of what was measured already: left out. */
  readonly known: ReadonlySet<string>
}

/** Up to `count` of them, all different in what accuracy depends on, for conditions and SLOs spread over the scenarios. */
export const chosenStrategies = ({ supernet, count, seed, known }: Choosing): ReadonlyArray<Chosen> => {
  const each = Math.min(mostConstraints, 4 * count)
  const all = scenarios.flatMap((scenario) =>
    kinds.flatMap((kind) => {
      const { scenario: ranges, world } = settingFor(loadScenario(scenario), supernet)
      const environment = makeEnvironment(world, ranges, kind)
      const constraints = validationConstraints(ranges, { count: each, grid: false })
      return oracle(environment, constraints, { ...effort, seed })
        .filter((genome, i) => environment.peek(constraints[i]!, genome).reward > 0)
        .map((genome): Chosen => {
          const ids = ["local", ...ranges.remotes.map((_, slot) => `remote-${slot + 1}`)]
          const strategy = decodeGenome(world.space, genome, ids)
          return { scenario, kind, strategy, predicted: world.accuracy.accuracy(genome) }
        })
    }),
  )
  const different = new Map(all.map((c) => [queryKey(queryOf(c.strategy)), c]))
  return shuffled(seededRandom(seed), [...different])
    .flatMap(([key, chosen]) => (known.has(key) ? [] : [chosen]))
    .slice(0, count)
}
