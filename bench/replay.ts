/**
 * A planner's memory (`actors/Portfolio.ts`) while real traces play on its links: how often the best of all remembered
 * strategies, judged under the condition of the moment, answers; how long a decision takes; whether the objective is met;
 * and what it gains to decide ahead for the links that are forecast.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Portfolio } from "../actors/Portfolio.ts"
import { adaptive } from "../devices/links/Forecaster.ts"
import { readTraces } from "../devices/links/TraceFiles.ts"
import type { Trace } from "../devices/links/Traces.ts"
import { shippedProfile } from "../devices/profiles/Shipped.ts"
import { type Condition, idealBandwidthMbps, type Slo } from "../policies/Condition.ts"
import { type Decider, makeDecider } from "../policies/Decision.ts"
import { encodeStrategy, spaceOf } from "../policies/Genome.ts"
import { modelWorld } from "../policies/ModelWorld.ts"
import { untrainedAccuracy } from "../policies/UntrainedAccuracy.ts"
import type { World } from "../policies/World.ts"
import { dataRoot } from "../supernet/Data.ts"
import { pick, type Random, seededRandom } from "../supernet/Random.ts"
import { ofaMobileNetV3 } from "../supernet/Spec.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { type BenchModule, type BenchOptions, type BenchResult, mean, median, quantile } from "./Bench.ts"

/** A weak device among strong ones, so that a good strategy depends on the links. */
const localType = "raspberry-pi-zero-2-w"
const type = "raspberry-pi-5"
const slo: Slo = { kind: "latency", latencyMs: 80 }
const everyMs = 500

/** Conditions of a drive: each remote follows its own trace, its delay a slow wave of its own. */
const conditions = (traces: ReadonlyArray<Trace>, count: number): ReadonlyArray<Condition> =>
  Array.from({ length: count }, (_, i) => ({
    devices: [
      { id: "local", type: localType, bandwidthMbps: idealBandwidthMbps, delayMs: 0 },
      ...traces.map((t, k) => ({
        id: `remote-${k + 1}`,
        type,
        bandwidthMbps: Math.max(0.5, t.values[Math.floor((i * everyMs) / t.stepMs) % t.values.length] ?? 1),
        delayMs: 2 + Math.sin(i / 40 + k),
      })),
    ],
  }))

interface Lane {
  readonly world: World
  readonly decider: Decider
  readonly budget: { readonly ms: number; readonly evaluations: number }
}

const outcomeOf = (world: World, strategy: Strategy, c: Condition) => {
  const genome = encodeStrategy(
    world.space,
    strategy,
    c.devices.map((d) => d.id),
  )
  return { latencyMs: world.latency.at(c)(genome), accuracy: world.accuracy.accuracy(genome) }
}

/** What the links will be in a moment, from what they were. */
const expected = (past: ReadonlyArray<Condition>, horizonMs: number): Condition | undefined => {
  const now = past.at(-1)
  if (now === undefined || past.length < 4) return undefined
  return {
    devices: now.devices.map((d, k) => {
      if (k === 0) return d
      const history = past.map((c, i) => ({ atMs: i * everyMs, value: c.devices[k]?.bandwidthMbps ?? 0 }))
      return { ...d, bandwidthMbps: Math.max(0.5, adaptive(history, horizonMs)?.value ?? d.bandwidthMbps) }
    }),
  }
}

const replay = async (lane: Lane, all: ReadonlyArray<Condition>, forecasts: boolean) => {
  const portfolio = new Portfolio(lane.world)
  const find = (c: Condition) => {
    const best = portfolio.best(c, slo)
    return best?.meets === true ? best.strategy : undefined
  }
  const decide = async (c: Condition) => {
    const { ms, evaluations } = lane.budget
    const decision = await lane.decider.decide(c, slo, ms, { maxEvaluations: evaluations })
    portfolio.add(decision.strategy, decision.source)
    return decision.strategy
  }
  const [times, accuracies]: [Array<number>, Array<number>] = [[], []]
  let [hits, met, ahead] = [0, 0, 0]
  for (const [i, now] of all.entries()) {
    const start = performance.now()
    const found = find(now)
    const strategy = found ?? (await decide(now))
    times.push(performance.now() - start)
    if (found !== undefined) hits++
    const { latencyMs, accuracy } = outcomeOf(lane.world, strategy, now)
    if (latencyMs <= slo.latencyMs) {
      met++
      accuracies.push(accuracy)
    }
    const next = forecasts ? expected(all.slice(Math.max(0, i - 59), i + 1), everyMs) : undefined
    if (next === undefined || find(next) !== undefined) continue
    ahead++
    await decide(next)
  }
  return {
    forecasts,
    requests: all.length,
    hit_ratio: hits / all.length,
    decisions_ahead: ahead,
    decision_p50_ms: median(times),
    decision_p95_ms: quantile(times, 0.95),
    slo_met: met / all.length,
    accuracy_when_met: mean(accuracies),
  }
}

const pickTraces = (traces: ReadonlyArray<Trace>, random: Random): ReadonlyArray<Trace> => {
  const usable = traces.filter((t) => t.unit === "Mbps" && t.values.length >= 60)
  return Array.from({ length: 4 }, () => pick(random, usable))
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const root = dataRoot()
  const folder = root === undefined ? undefined : join(root, "traces")
  if (folder === undefined || !existsSync(folder)) {
    return {
      kind: "modelled",
      checks: [],
      rows: [],
      notes: ["No traces: set MURMURATION_DATA. Nothing was measured."],
    }
  }
  const spec = ofaMobileNetV3({
    name: "ofa",
    version: "1",
    widthMultiplier: 0.5,
    classes: Array.from({ length: 10 }, (_, i) => `${i}`),
  })
  const world = modelWorld(
    spec,
    [shippedProfile(localType), shippedProfile(type)],
    untrainedAccuracy(spaceOf(spec)),
  )
  const lane: Lane = { world, decider: makeDecider(world), budget: { ms: 200, evaluations: 2000 } }
  const random = seededRandom(seed)
  const drives = Array.from({ length: quick ? 1 : 4 }, () => pickTraces(readTraces(folder), random))
  const rows: Array<Awaited<ReturnType<typeof replay>> & { readonly drive: number }> = []
  for (const [drive, traces] of drives.entries()) {
    const all = conditions(traces, quick ? 60 : 240)
    for (const forecasts of [false, true]) rows.push({ drive, ...(await replay(lane, all, forecasts)) })
  }
  const ratio = (forecasts: boolean) =>
    mean(rows.filter((r) => r.forecasts === forecasts).map((r) => r.hit_ratio))
  return {
    kind: "modelled",
    checks: [
      { name: "hit_ratio", value: ratio(false), op: ">=", bound: 0.95 },
      { name: "slo_met", value: mean(rows.map((r) => r.slo_met)), op: ">=", bound: 0.99 },
      { name: "forecast_gain", value: ratio(true) - ratio(false), op: ">=", bound: 0 },
    ],
    rows,
    notes: [
      `A ${localType} with 4 remotes (${type}), each on a real trace of its own (they were never measured together) with an assumed delay of 1 to 3 ms; a request every ${everyMs} ms, objective ${slo.latencyMs} ms; latency by the model, accuracy by the stand-in for untrained weights.`,
      "A miss is decided by search over 2,000 evaluations.",
    ],
  }
}

export const bench: BenchModule = {
  name: "replay",
  proves: "remembered strategies answer nearly all requests while real traces play, and meet their objective",
  takes: "1 min",
  run,
}
