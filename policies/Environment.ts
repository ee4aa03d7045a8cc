/**
 * The learning problem (paper section 4.2): given a constraint (the goal, an SLO, and the task, the links), choose a
 * strategy; the reward comes once, at the end (equations 2 and 3, see `Objective.ts`). Goal-conditioned and multi-task:
 * constraints are drawn from the scenario, on its 10-point grid or between the points, for any subset of the remotes.
 */
import { localDevice } from "../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel } from "../supernet/Submodel.ts"
import { below, type Random } from "../supernet/Random.ts"
import type { SloKind } from "./Condition.ts"
import {
  blockGene,
  canonicalize,
  deviceGene,
  devicesUsed,
  type Genome,
  isActiveBlock,
  localGenome,
  maxTiles,
} from "./Genome.ts"
import { accuracyRange } from "./MeasuredRange.ts"
import {
  accuracySloReward,
  earned,
  latencySloReward,
  type Outcome,
  reward,
  type RewardScale,
} from "./Objective.ts"
import {
  absent,
  bandwidthAt,
  conditionOf,
  type Constraint,
  delayAt,
  dimensions,
  isPresent,
  positionOf,
  type Scenario,
  sloAtEase,
  sloRange,
  sortSlots,
} from "./Scenario.ts"
import type { World } from "./World.ts"

/** How constraints are drawn. */
export interface Draw {
  /** Dimensions that vary, from the front of the constraint; remotes beyond them are absent, other metrics at their best. */
  readonly varying?: number
  /** Chance that each remote (but the first that varies) is there. Default 0.85. */
  readonly presence?: number
  /** On the grid of training points, or anywhere. */
  readonly grid: boolean
}

export interface Result extends Outcome {
  readonly reward: number
}

export interface Environment {
  readonly world: World
  readonly scenario: Scenario
  readonly kind: SloKind
  readonly dimensions: number
  readonly scale: RewardScale
  /** Slots sorted (see `sortSlots`). */
  readonly draw: (random: Random, options: Draw) => Constraint
  /** Runs one strategy whose device genes are slots; absent slots must not be used. Counts as one environment step. */
  readonly step: (constraint: Constraint, genome: Genome) => Result
  readonly steps: () => number
  /** Counts steps that were taken elsewhere. */
  readonly count: (steps: number) => void
  /** The same as `step`, but not counted: for validation. */
  readonly peek: (constraint: Constraint, genome: Genome) => Result
  /** An outcome with its reward under a constraint. */
  readonly rewarded: (constraint: Constraint, outcome: Outcome) => Result
  /** What an outcome earns under any SLO that it meets. */
  readonly rewardOf: (outcome: Outcome) => number
  /** Devices of present slots: what a mutation may use. */
  readonly usable: (constraint: Constraint) => ReadonlyArray<number>
  /**
   * The strictest constraint that an outcome satisfies: SLO = what was reached, remotes without work absent, the others
   * moved to the front of their type. The genome's slots are renumbered alike.
   */
  readonly relabel: (
    constraint: Constraint,
    genome: Genome,
    outcome: Outcome,
  ) => { readonly constraint: Constraint; readonly genome: Genome }
  /** The same in its SLO alone: every remote that was there counts as needed. */
  readonly relabelSlo: (constraint: Constraint, outcome: Outcome) => Constraint
  /** Largest and smallest submodel, everything local: the two bootstrap trajectories. */
  readonly bootstrap: ReadonlyArray<Genome>
}

const usableSlots = (constraint: Constraint, remotes: number): ReadonlyArray<number> => {
  const out = [localDevice]
  for (let slot = 0; slot < remotes; slot++) if (isPresent(constraint, slot)) out.push(slot + 1)
  return out
}

/** The condition leaves absent remotes out; this renumbers slots to its devices. Identity when none is missing before. */
export const toDevices = (world: World, genome: Genome, deviceOfSlot: ReadonlyArray<number>): Genome => {
  if (deviceOfSlot.every((device, slot) => device === slot || device < 0)) return genome
  const out = genome.slice()
  for (let i = 0; i < world.space.blocks.length; i++) {
    if (!isActiveBlock(world.space, out, i)) continue
    const at = blockGene(world.space, i) + deviceGene
    for (let t = 0; t < maxTiles; t++) {
      out[at + t] = Math.max(localDevice, deviceOfSlot[out[at + t] ?? 0] ?? localDevice)
    }
  }
  return out
}

export const devicesOfSlots = (constraint: Constraint, remotes: number): ReadonlyArray<number> => {
  let next = 1
  return [0, ...Array.from({ length: remotes }, (_, slot) => (isPresent(constraint, slot) ? next++ : -1))]
}

const drawer = (scenario: Scenario) => {
  const metric = (random: Random, points: number, grid: boolean) =>
    grid ? below(random, points) / (points - 1) : random.next()
  return (kind: SloKind) =>
    (random: Random, options: Draw): Constraint => {
      const n = dimensions(scenario)
      const varying = options.varying ?? n
      const constraint = new Float64Array(n).fill(absent)
      constraint[0] = metric(random, sloRange(scenario, kind).points, options.grid)
      for (let slot = 0; slot < scenario.remotes.length; slot++) {
        if (bandwidthAt(slot) >= varying) continue
        if (random.next() >= (options.presence ?? 0.85)) continue
        constraint[bandwidthAt(slot)] = metric(random, scenario.bandwidthMbps.points, options.grid)
        constraint[delayAt(slot)] =
          delayAt(slot) < varying ? metric(random, scenario.delayMs.points, options.grid) : 1
      }
      return sortSlots(scenario, constraint)
    }
}

/** Ease of the strictest SLO that an outcome meets. */
const easeReached = (scenario: Scenario, kind: SloKind, { latencyMs, accuracy }: Outcome): number => {
  const position = positionOf(sloRange(scenario, kind), kind === "latency" ? latencyMs : accuracy)
  return kind === "latency" ? position : 1 - position
}

const relabeller =
  (world: World, scenario: Scenario, kind: SloKind) =>
  (constraint: Constraint, genome: Genome, outcome: Outcome) => {
    const used = devicesUsed(world.space, genome)
    const relabelled = new Float64Array(constraint.length).fill(absent)
    relabelled[0] = easeReached(scenario, kind, outcome)
    const slotOfSlot = [localDevice]
    const filled = new Map<string, number>()
    for (let slot = 0; slot < scenario.remotes.length; slot++) {
      slotOfSlot.push(-1)
      if (((used >> (slot + 1)) & 1) === 0) continue
      const type = scenario.remotes[slot] ?? ""
      const place = scenario.remotes.indexOf(type) + (filled.get(type) ?? 0)
      filled.set(type, (filled.get(type) ?? 0) + 1)
      slotOfSlot[slot + 1] = place + 1
      relabelled[bandwidthAt(place)] = constraint[bandwidthAt(slot)] ?? absent
      relabelled[delayAt(place)] = constraint[delayAt(slot)] ?? absent
    }
    return { constraint: relabelled, genome: toDevices(world, genome, slotOfSlot) }
  }

export const makeEnvironment = (world: World, scenario: Scenario, kind: SloKind): Environment => {
  const largest = localGenome(world.space, maxSubmodel(world.space.spec))
  const smallest = localGenome(world.space, minSubmodel(world.space.spec))
  const alone = conditionOf(scenario, new Float64Array(dimensions(scenario)).fill(absent))
  const scale =
    kind === "latency"
      ? latencySloReward(...accuracyRange(world.space, world.accuracy))
      : accuracySloReward(world.latency.at(alone)(largest))
  let steps = 0
  const rewarded = (constraint: Constraint, { latencyMs, accuracy }: Outcome): Result => {
    const outcome = { latencyMs, accuracy }
    return { ...outcome, reward: reward(scale, sloAtEase(scenario, kind, constraint[0] ?? 0), outcome) }
  }
  const peek = (constraint: Constraint, genome: Genome): Result => {
    const placed = toDevices(world, genome, devicesOfSlots(constraint, scenario.remotes.length))
    const latencyMs = world.latency.at(conditionOf(scenario, constraint))(placed)
    return rewarded(constraint, { latencyMs, accuracy: world.accuracy.accuracy(placed) })
  }
  const draw = drawer(scenario)(kind)
  return {
    world,
    scenario,
    kind,
    scale,
    dimensions: dimensions(scenario),
    draw,
    step: (constraint, genome) => {
      steps++
      return peek(constraint, genome)
    },
    peek,
    rewarded,
    steps: () => steps,
    count: (more) => {
      steps += more
    },
    rewardOf: (outcome) => earned(scale, kind, outcome),
    usable: (constraint) => usableSlots(constraint, scenario.remotes.length),
    relabel: relabeller(world, scenario, kind),
    relabelSlo: (constraint, outcome) => constraint.with(0, easeReached(scenario, kind, outcome)),
    bootstrap: [largest, smallest].map((g) => canonicalize(world.space, g)),
  }
}
