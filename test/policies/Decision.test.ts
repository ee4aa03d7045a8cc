import { describe, expect, it } from "vitest"
import { makeDecider, type Proposer } from "../../policies/Decision.ts"
import { encodeStrategy, localGenome } from "../../policies/Genome.ts"
import { strategyProblems } from "../../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel } from "../../supernet/Submodel.ts"
import { tinyCondition, tinySpace, tinySpec, tinyWorld } from "./TinyWorld.ts"

const alone = tinyCondition(0, "slow", 100, 1)
const latencyOf = (genome: Uint8Array) => tinyWorld.latency.at(alone)(genome)
const minimumMs = latencyOf(localGenome(tinySpace, minSubmodel(tinySpec)))

/** Budgets in evaluations, so that a busy machine decides the same. */
const patience = 20_000
const counted = { maxEvaluations: 4000 }

const proposer = (genome: Uint8Array, fits = true): Proposer => ({
  name: "test policy",
  fits: () => fits,
  propose: () => Promise.resolve([genome]),
})

describe("decision", () => {
  it("meets a latency SLO with one device, and spends the slack on accuracy", async () => {
    const decided = await makeDecider(tinyWorld).decide(
      alone,
      { kind: "latency", latencyMs: 120 },
      patience,
      counted,
    )
    expect(decided.meetsSlo).toBe(true)
    expect(decided.predictedLatencyMs).toBeLessThanOrEqual(120)
    expect(decided.predictedLatencyMs).toBeGreaterThan(60)
    expect(decided.source).toBe("search")
    expect(strategyProblems(tinySpec, decided.strategy)).toEqual([])
  })

  it("offloads to a fast device behind a fast link, and stays at home behind a slow one", async () => {
    const slo = { kind: "latency", latencyMs: 60 } as const
    const near = await makeDecider(tinyWorld).decide(tinyCondition(1, "fast", 500, 1), slo, patience, counted)
    const far = await makeDecider(tinyWorld).decide(tinyCondition(1, "fast", 1, 200), slo, patience, counted)
    expect(near.strategy.devices).toContain("remote-0")
    expect(far.strategy.devices).toEqual(["local"])
    expect(near.predictedAccuracy).toBeGreaterThan(far.predictedAccuracy)
  })

  it("reaches an accuracy SLO with less latency than the largest submodel needs", async () => {
    const largest = localGenome(tinySpace, maxSubmodel(tinySpec))
    const decided = await makeDecider(tinyWorld).decide(
      alone,
      { kind: "accuracy", accuracy: 0.82 },
      patience,
      counted,
    )
    expect(decided.meetsSlo).toBe(true)
    expect(decided.predictedAccuracy).toBeGreaterThanOrEqual(0.82)
    expect(decided.predictedLatencyMs).toBeLessThan(latencyOf(largest) / 2)
  })

  it("returns the nearest miss, marked as such, when nothing can meet the SLO", async () => {
    const decided = await makeDecider(tinyWorld).decide(
      alone,
      { kind: "latency", latencyMs: minimumMs / 2 },
      50,
    )
    expect(decided.meetsSlo).toBe(false)
    expect(decided.predictedLatencyMs).toBeCloseTo(minimumMs, 6)
  })

  it("takes a policy's proposal that nothing near improves, and says so", async () => {
    const smallest = localGenome(tinySpace, minSubmodel(tinySpec))
    const slo = { kind: "latency", latencyMs: minimumMs * 1.0001 } as const
    const decided = await makeDecider(tinyWorld, [proposer(smallest)]).decide(alone, slo, patience, counted)
    expect(decided).toMatchObject({ source: "policy", policy: "test policy", meetsSlo: true })
  })

  it("repairs a proposal that misses the SLO", async () => {
    const largest = localGenome(tinySpace, maxSubmodel(tinySpec))
    const decider = makeDecider(tinyWorld, [proposer(largest)])
    const decided = await decider.decide(alone, { kind: "latency", latencyMs: 200 }, patience, counted)
    expect(decided).toMatchObject({ source: "repair", policy: "test policy", meetsSlo: true })
  })

  it("searches when no policy fits the devices that are there", async () => {
    const smallest = localGenome(tinySpace, minSubmodel(tinySpec))
    const decider = makeDecider(tinyWorld, [proposer(smallest, false)])
    const decided = await decider.decide(alone, { kind: "latency", latencyMs: 200 }, patience, counted)
    expect(decided.source).toBe("search")
  })

  it("starts from a strategy that it is given", async () => {
    const condition = tinyCondition(2, "fast", 300, 1)
    const slo = { kind: "latency", latencyMs: 40 } as const
    const good = await makeDecider(tinyWorld).decide(condition, slo, patience, counted)
    const hinted = await makeDecider(tinyWorld).decide(condition, slo, patience, {
      hints: [good.strategy],
      maxEvaluations: 50,
    })
    expect(hinted.predictedAccuracy).toBeGreaterThanOrEqual(good.predictedAccuracy)
    const ids = condition.devices.map((d) => d.id)
    expect(encodeStrategy(tinySpace, hinted.strategy, ids)).toHaveLength(tinySpace.length)
  })

  it("does not say that a policy found what it was given as a hint", async () => {
    const condition = tinyCondition(2, "fast", 300, 1)
    const slo = { kind: "latency", latencyMs: 40 } as const
    const good = await makeDecider(tinyWorld).decide(condition, slo, patience, counted)
    const decider = makeDecider(tinyWorld, [proposer(localGenome(tinySpace, minSubmodel(tinySpec)))])
    const hinted = await decider.decide(condition, slo, patience, {
      hints: [good.strategy],
      maxEvaluations: 50,
    })
    expect(hinted.predictedAccuracy).toBeGreaterThanOrEqual(good.predictedAccuracy)
    expect(hinted.source).toBe("search")
    expect(hinted.policy).toBeUndefined()
  })
})
