/**
 * What searches and trainers ask about a strategy: how long it takes and how accurate it is. Both models are injected, so
 * that the same search runs on the shipped supernet, on the ImageNet-scale space, and in tests.
 */
import type { Condition, Slo } from "./Condition.ts"
import type { Genome, Space } from "./Genome.ts"
import { type Outcome, score } from "./Objective.ts"

/** Top-1 accuracy (0..1) of a strategy: submodel, grids and bits count, devices do not. */
export interface AccuracyModel {
  readonly accuracy: (genome: Genome) => number
}

/** Latency of strategies under conditions; `at` fixes the condition once for many strategies. */
export interface LatencyModel {
  /** The function gives milliseconds at the serving device. Device genes index `condition.devices`. */
  readonly at: (condition: Condition) => (genome: Genome) => number
}

export interface World {
  readonly space: Space
  readonly latency: LatencyModel
  readonly accuracy: AccuracyModel
}

/** One condition and one SLO, ready to judge strategies; counts how many it judged. */
export interface Judge {
  readonly space: Space
  readonly slo: Slo
  readonly condition: Condition
  /** Indices of the condition's devices. */
  readonly usable: ReadonlyArray<number>
  readonly outcome: (genome: Genome) => Outcome
  readonly score: (genome: Genome) => number
  readonly evaluations: () => number
}

export const judge = (world: World, condition: Condition, slo: Slo): Judge => {
  const latencyMs = world.latency.at(condition)
  let evaluations = 0
  const outcome = (genome: Genome): Outcome => {
    evaluations++
    return { latencyMs: latencyMs(genome), accuracy: world.accuracy.accuracy(genome) }
  }
  return {
    space: world.space,
    slo,
    condition,
    usable: [...condition.devices.keys()],
    outcome,
    score: (genome) => score(slo, outcome(genome)),
    evaluations: () => evaluations,
  }
}

export interface Candidate {
  readonly genome: Genome
  readonly score: number
  /** What it began as before local search changed it; undefined where nobody asks. */
  readonly began?: "proposal" | "hint" | undefined
}
