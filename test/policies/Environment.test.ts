import { describe, expect, it } from "vitest"
import { makeEnvironment } from "../../policies/Environment.ts"
import { devicesUsed } from "../../policies/Genome.ts"
import { mutate } from "../../policies/Moves.ts"
import { accuracySloReward, latencySloReward, reward } from "../../policies/Objective.ts"
import {
  absent,
  conditionOf,
  type Constraint,
  fitCondition,
  type Scenario,
  sloAtEase,
  sortSlots,
} from "../../policies/Scenario.ts"
import { loadScenario, scenarioNames } from "../../policies/ScenarioFiles.ts"
import { isStricter } from "../../policies/DominanceTree.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { tinyWorld } from "./TinyWorld.ts"

/** The shipped swarm's ranges over devices that the tiny world knows. */
const scenario: Scenario = { ...loadScenario("swarm"), local: "slow", remotes: ["slow", "slow", "fast"] }
const kinds = ["latency", "accuracy"] as const

describe("reward", () => {
  it("is zero for a miss, and grows with accuracy under a latency SLO (eq. 2)", () => {
    const scale = latencySloReward(0.7, 0.9)
    const slo = { kind: "latency", latencyMs: 100 } as const
    expect(reward(scale, slo, { latencyMs: 101, accuracy: 0.9 })).toBe(0)
    expect(reward(scale, slo, { latencyMs: 99, accuracy: 0.9 })).toBeCloseTo(1, 12)
    expect(reward(scale, slo, { latencyMs: 99, accuracy: 0.7 })).toBeCloseTo(0.1, 12)
  })

  it("is zero for a miss, and grows as latency falls under an accuracy SLO (eq. 3, alpha < 0)", () => {
    const scale = accuracySloReward(200)
    const slo = { kind: "accuracy", accuracy: 0.8 } as const
    expect(scale.alpha).toBeLessThan(0)
    expect(reward(scale, slo, { latencyMs: 10, accuracy: 0.79 })).toBe(0)
    expect(reward(scale, slo, { latencyMs: 200, accuracy: 0.8 })).toBeCloseTo(0.1, 12)
    expect(reward(scale, slo, { latencyMs: 50, accuracy: 0.8 })).toBeGreaterThan(
      reward(scale, slo, { latencyMs: 60, accuracy: 0.9 }),
    )
  })
})

describe("scenario", () => {
  it.each(scenarioNames)(
    "%s has 10 training points per metric and remotes of one type side by side",
    (name) => {
      const s = loadScenario(name)
      for (const range of [s.bandwidthMbps, s.delayMs, s.latencySloMs, s.accuracySlo]) {
        expect(range.points).toBe(10)
        expect(range.min).toBeLessThan(range.max)
      }
      const types = s.remotes.filter((type, i) => type !== s.remotes[i - 1])
      expect(new Set(types).size).toBe(types.length)
    },
  )

  it("finds for every condition the constraint that it was made from", () => {
    const random = seededRandom(1)
    for (const kind of kinds) {
      const environment = makeEnvironment(tinyWorld, scenario, kind)
      for (let n = 0; n < 100; n++) {
        const constraint = environment.draw(random, { grid: n % 2 === 0, presence: 0.6 })
        const condition = conditionOf(scenario, constraint)
        const fitted = fitCondition(scenario, condition, sloAtEase(scenario, kind, constraint[0] ?? 0))
        expect(fitted?.deviceOfSlot.filter((d) => d >= 0)).toHaveLength(condition.devices.length)
        for (const [d, ease] of constraint.entries()) expect(fitted?.constraint[d]).toBeCloseTo(ease, 9)
      }
    }
  })

  it("has no slot for a device type that it does not know, or for one device too many", () => {
    const slo = { kind: "latency", latencyMs: 50 } as const
    const device = (type: string, i: number) => ({ id: `d${i}`, type, bandwidthMbps: 50, delayMs: 1 })
    const condition = (...types: ReadonlyArray<string>) => ({ devices: types.map(device) })
    expect(fitCondition(scenario, condition("slow", "fast"), slo)).toBeDefined()
    expect(fitCondition(scenario, condition("fast"), slo)).toBeUndefined()
    expect(fitCondition(scenario, condition("slow", "strange"), slo)).toBeUndefined()
    expect(fitCondition(scenario, condition("slow", "fast", "fast"), slo)).toBeUndefined()
  })

  it("puts the best link of a type into its first slot, absent ones last", () => {
    const constraint: Constraint = Float64Array.of(0.5, 0.2, 0.3, 0.9, 0.9, absent, absent)
    const sorted = sortSlots({ ...scenario, remotes: ["slow", "slow", "slow"] }, constraint)
    expect([...sorted]).toEqual([0.5, 0.9, 0.9, 0.2, 0.3, absent, absent])
  })
})

describe("environment", () => {
  it.each(kinds)("relabels to a constraint that is met and asks for nothing unneeded, %s SLO", (kind) => {
    const random = seededRandom(2)
    const environment = makeEnvironment(tinyWorld, scenario, kind)
    let start = environment.bootstrap[0] ?? new Uint8Array()
    for (let n = 0; n < 400; n++) {
      const constraint = environment.draw(random, { grid: true })
      const genome = mutate(
        tinyWorld.space,
        environment.bootstrap[n % 2] ?? start,
        environment.usable(constraint),
        random,
        3,
      )
      const result = environment.step(constraint, genome)
      const relabelled = environment.relabel(constraint, genome, result)
      // The links that it needs are no better than those it had, up to the order of equal devices.
      const [had, needs] = [constraint.slice(1), relabelled.constraint.slice(1)]
      expect(needs.filter((e) => e > absent)).toHaveLength(
        2 * (devicesUsed(tinyWorld.space, genome).toString(2).split("1").length - 2),
      )
      expect(
        isStricter(Float64Array.of(...needs), Float64Array.of(...had)) || needs.some((e) => e > absent),
      ).toBe(true)
      const again = environment.peek(relabelled.constraint, relabelled.genome)
      expect(again.latencyMs).toBeCloseTo(result.latencyMs, 6)
      // Its own outcome meets its own SLO: at most rounding stands between.
      const eased = relabelled.constraint.with(0, (relabelled.constraint[0] ?? 0) + 1e-9)
      expect(environment.peek(eased, relabelled.genome).reward).toBeCloseTo(environment.rewardOf(result), 6)
      start = genome
    }
    expect(environment.steps()).toBe(400)
  })

  it("relabels the SLO alone where unused remotes must stay, to the same SLO", () => {
    const environment = makeEnvironment(tinyWorld, scenario, "latency")
    const [, smallest = new Uint8Array()] = environment.bootstrap
    const constraint = environment.draw(seededRandom(3), { grid: true, presence: 1 })
    const result = environment.step(constraint, smallest)
    const kept = environment.relabelSlo(constraint, result)
    expect(kept.slice(1)).toEqual(constraint.slice(1))
    const bare = environment.relabel(constraint, smallest, result).constraint
    expect(kept[0]).toBe(bare[0])
    expect(new Set(bare.slice(1))).toEqual(new Set([absent]))
  })
})
