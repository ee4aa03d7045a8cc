/**
 * How good a policy is: average reward and SLO compliance over validation constraints spread evenly over the constraint
 * space (paper section 6.1.2), beside the best that is known to be reachable there.
 */
import { canonicalize, type Genome } from "./Genome.ts"
import type { Environment } from "./Environment.ts"
import {
  absent,
  bandwidthAt,
  type Constraint,
  delayAt,
  dimensions,
  type Scenario,
  sloAtEase,
  sortSlots,
} from "./Scenario.ts"
import { meetsSlo } from "./Objective.ts"

/** Radical inverse of n in a prime base: the coordinates of Halton's sequence. */
const radicalInverse = (n: number, base: number): number => {
  let [value, fraction] = [0, 1]
  for (let rest = n; rest > 0; rest = Math.floor(rest / base)) {
    fraction /= base
    value += fraction * (rest % base)
  }
  return value
}

const primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71]

export interface ValidationOptions {
  readonly count: number
  /** Round to the training grid, or keep the continuous values. */
  readonly grid: boolean
  /** Share of constraints in which at least one remote is absent. Default 0.25. */
  readonly subsets?: number
}

/**
 * Which remotes are missing: any set of them but the empty one, from a number in [0, 1). Bit `slot` is 1 where it is missing.
 */
const missingRemotes = (value: number, remotes: number): number => 1 + Math.floor(value * (2 ** remotes - 1))

/**
 * Evenly spread constraints (Halton), the same for everyone; slots sorted. Every question has a prime of its own, also
 * whether remotes are missing and which: with a shared one, conditions with a missing remote would all have a strict SLO.
 */
export const validationConstraints = (
  scenario: Scenario,
  options: ValidationOptions,
): ReadonlyArray<Constraint> => {
  const n = dimensions(scenario)
  const remotes = scenario.remotes.length
  const subsets = options.subsets ?? 0.25
  return Array.from({ length: options.count }, (_, i) => {
    const constraint = new Float64Array(n)
    const coordinate = (d: number) => radicalInverse(i + 20, primes[d] ?? 73)
    for (let d = 0; d < n; d++) {
      const value = coordinate(d)
      const points = scenario.bandwidthMbps.points
      constraint[d] = options.grid ? Math.min(points - 1, Math.floor(value * points)) / (points - 1) : value
    }
    if (coordinate(n) < subsets) {
      const missing = missingRemotes(coordinate(n + 1), remotes)
      for (let slot = 0; slot < remotes; slot++) {
        if (((missing >> slot) & 1) === 0) continue
        constraint[bandwidthAt(slot)] = absent
        constraint[delayAt(slot)] = absent
      }
    }
    return sortSlots(scenario, constraint)
  })
}

export interface Score {
  readonly reward: number
  /** Share of constraints whose SLO was met. */
  readonly compliance: number
}

/** Scores one strategy per constraint, slots as devices; not counted as environment steps of a training. */
export const scoreStrategies = (
  environment: Environment,
  constraints: ReadonlyArray<Constraint>,
  genomes: ReadonlyArray<Genome>,
): Score => {
  let [reward, met] = [0, 0]
  for (const [i, constraint] of constraints.entries()) {
    const genome = genomes[i]
    if (genome === undefined) continue
    const result = environment.peek(constraint, canonicalize(environment.world.space, genome.slice()))
    reward += result.reward
    const slo = sloAtEase(environment.scenario, environment.kind, constraint[0] ?? 0)
    if (meetsSlo(slo, result)) met++
  }
  return { reward: reward / constraints.length, compliance: met / constraints.length }
}

/** A policy's score as shares of what the oracle reaches. */
export const normalised = (score: Score, oracle: Score): Score => ({
  reward: score.reward / oracle.reward,
  compliance: score.compliance / oracle.compliance,
})
