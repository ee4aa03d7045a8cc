import { mkdtempSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it, vi } from "vitest"
import { realTraces } from "../../bench/RealTraces.ts"
import { ReplayPlanner } from "../../bench/ReplayPlanner.ts"
import { type Condition, idealBandwidthMbps, type Slo } from "../../policies/Condition.ts"
import { loadSetting } from "../../policies/Setting.ts"

const slo: Slo = { kind: "latency", latencyMs: 60 }
const at = (bandwidthMbps: number): Condition => ({
  devices: [
    { id: "local", type: "raspberry-pi-zero-2-w", bandwidthMbps: idealBandwidthMbps, delayMs: 0 },
    { id: "remote-1", type: "raspberry-pi-5", bandwidthMbps, delayMs: 1 },
  ],
})

describe("the planner of bench replay", () => {
  it("thinks beside a request that it can answer, and not again about what it has thought of", async () => {
    const planner = new ReplayPlanner(loadSetting("team").world, "local", 300)
    const first = await planner.plan(at(100), slo)
    expect([first.isAtOnce, first.judged.meets]).toEqual([true, true])
    const second = await planner.plan(at(100), slo)
    expect(second.judged.outcome.accuracy).toBeGreaterThan(first.judged.outcome.accuracy)
    expect(planner.decisions).toEqual({ waited: 0, beside: 1, ahead: 0 })
  })

  it("thinks ahead about the objectives of requests, so that the next one finds what it decided", async () => {
    const planner = new ReplayPlanner(loadSetting("team").world, "local", 300)
    await planner.expect(at(100))
    expect(planner.decisions.ahead).toBe(0)
    await planner.plan(at(1), slo)
    planner.nowMs = 250
    await planner.expect(at(100))
    expect(planner.decisions).toEqual({ waited: 0, beside: 1, ahead: 1 })
    planner.nowMs = 500
    const { judged, isAtOnce } = await planner.plan(at(100), slo)
    expect([isAtOnce, judged.strategy.devices]).toEqual([true, ["local", "remote-1"]])
    expect(planner.decisions.beside).toBe(1)
  })
})

describe("real traces", () => {
  it("are never none: a bench without them fails before it writes anything", () => {
    const folder = mkdtempSync(join(tmpdir(), "murmuration-no-traces-"))
    vi.stubEnv("MURMURATION_DATA", folder)
    expect(() => realTraces()).toThrow("the traces are not there")
    vi.unstubAllEnvs()
    rmdirSync(folder)
  })
})
