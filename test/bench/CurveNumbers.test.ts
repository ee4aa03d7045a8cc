import { describe, expect, it } from "vitest"
import { curveRow, equalSteps, leadsOver, rewardAt } from "../../bench/CurveNumbers.ts"
import type { Curve } from "../../bench/TrainingPool.ts"

/** Validations at so many steps, with these rewards. */
const curve = (...points: ReadonlyArray<readonly [steps: number, reward: number]>): Curve =>
  points.map(([steps, reward], i) => {
    const score = { reward, compliance: 1 }
    return {
      iteration: 20 * (i + 1),
      steps,
      seconds: i,
      score,
      overOracle: score,
      loss: 0,
      rolloutReward: 0,
      details: {},
    }
  })

describe("a learning curve", () => {
  const one = curve([100, 0.2], [200, 0.6], [300, 0.8])

  it("between two validations is in proportion, and stays as it is beyond its ends", () => {
    expect(rewardAt(one, 200)).toBe(0.6)
    expect(rewardAt(one, 150)).toBeCloseTo(0.4)
    expect(rewardAt(one, 50)).toBe(0.2)
    expect(rewardAt(one, 900)).toBe(0.8)
    expect(rewardAt([], 1)).toBeNaN()
  })

  it("that takes no more steps counts as it is in the end", () => {
    expect(rewardAt(curve([100, 0.2], [200, 0.5], [200, 0.7]), 200)).toBe(0.7)
  })

  it("of several is compared at the end, and at the steps that all have taken", () => {
    const short = { name: "short", curves: [curve([100, 0.3], [200, 0.5])] }
    const long = { name: "long", curves: [one, curve([100, 0.4], [200, 0.4], [300, 0.6])] }
    const steps = equalSteps([short, long])
    expect(steps).toBe(200)
    const row = curveRow(long, steps)
    expect(row["reward_over_oracle"]).toBeCloseTo(0.7)
    expect(row["reward_spread"]).toBeCloseTo(0.2)
    expect(row["reward_at_equal_steps"]).toBeCloseTo(0.5)
    expect(row["environment_steps"]).toBe(300)
  })
})

describe("a lead", () => {
  it("is between two methods on the same problem, with the larger spread of their seeds", () => {
    const row = (slo: string, method: string, reward: number, spread: number) => ({
      scenario: "swarm",
      slo,
      method,
      reward_over_oracle: reward,
      reward_spread: spread,
    })
    const rows = [
      row("latency", "SUPREME", 0.9, 0.01),
      row("latency", "PPO", 0.5, 0.2),
      row("accuracy", "SUPREME", 0.8, 0.05),
      row("accuracy", "PPO", 0.7, 0.01),
    ]
    const leads = leadsOver(rows, "SUPREME", "PPO")
    expect(leads.map(({ spread }) => spread)).toEqual([0.2, 0.05])
    expect(leads[0]?.lead).toBeCloseTo(0.4)
    expect(leads[1]?.lead).toBeCloseTo(0.1)
    expect(leadsOver(rows, "SUPREME", "GCSL")).toEqual([])
  })
})
