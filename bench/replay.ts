/**
 * A planner's memory while real traces play on its links: how often a remembered strategy answers, how long a decision
 * takes, and whether the objective is met, for three memories, each with and without forecasts.
 *
 *   bucket      only the very bucket of the condition
 *   dominance   also a strategy made for a harder condition nearby (`devices/StrategyCache.ts`)
 *   portfolio   the best of all remembered strategies, judged under the condition of the moment (`actors/Portfolio.ts`)
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Portfolio } from "../actors/Portfolio.ts"
import { adaptive } from "../devices/links/Forecaster.ts"
import { readTraces } from "../devices/links/TraceFiles.ts"
import type { Trace } from "../devices/links/Traces.ts"
import { shippedProfile } from "../devices/profiles/Shipped.ts"
import { type CacheCondition, type CachedPlan, hardCorner, StrategyCache } from "../devices/StrategyCache.ts"
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
const objective = { kind: "latency", value: 80 } as const
const everyMs = 500
const memories = ["bucket", "dominance", "portfolio"] as const
type Memory = (typeof memories)[number]

interface Remembered extends CachedPlan {
  readonly strategy: Strategy
}

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

const cacheCondition = (c: Condition): CacheCondition => ({
  objective,
  devices: c.devices.map((d) => ({ id: d.id, type: d.type, mbps: d.bandwidthMbps, delayMs: d.delayMs })),
})
const conditionOf = (c: CacheCondition): Condition => ({
  devices: c.devices.map((d) => ({ id: d.id, type: d.type, bandwidthMbps: d.mbps, delayMs: d.delayMs })),
})

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

/** One way to remember: finds what is known for a condition, and keeps what was decided. */
const memoryOf = ({ world }: Lane, kind: Memory) => {
  if (kind === "portfolio") {
    const portfolio = new Portfolio(world)
    return {
      find: (c: Condition) => {
        const best = portfolio.best(c, slo)
        return best?.meets === true ? best.strategy : undefined
      },
      // Judged exactly, so a decision is made for the condition itself.
      target: (c: Condition) => c,
      keep: (_: Condition, strategy: Strategy) => void portfolio.add(strategy),
    }
  }
  const cache = new StrategyCache<Remembered>(kind === "bucket" ? { reachBuckets: -1 } : {})
  return {
    find: (c: Condition) => cache.lookUp(cacheCondition(c))?.plan.strategy,
    target: (c: Condition) => conditionOf(hardCorner(cacheCondition(c))),
    keep: (c: Condition, strategy: Strategy) => {
      const { latencyMs, accuracy } = outcomeOf(world, strategy, c)
      cache.store(cacheCondition(c), { strategy, uses: strategy.devices, latencyMs, top1: accuracy })
    },
  }
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

const replay = async (lane: Lane, all: ReadonlyArray<Condition>, kind: Memory, forecasts: boolean) => {
  const memory = memoryOf(lane, kind)
  const decide = async (c: Condition) => {
    const target = memory.target(c)
    const { ms, evaluations } = lane.budget
    const decision = await lane.decider.decide(target, slo, ms, { maxEvaluations: evaluations })
    memory.keep(target, decision.strategy)
    return decision.strategy
  }
  const [times, accuracies]: [Array<number>, Array<number>] = [[], []]
  let [hits, met, ahead] = [0, 0, 0]
  for (const [i, now] of all.entries()) {
    const start = performance.now()
    const found = memory.find(now)
    const strategy = found ?? (await decide(now))
    times.push(performance.now() - start)
    if (found !== undefined) hits++
    const { latencyMs, accuracy } = outcomeOf(lane.world, strategy, now)
    if (latencyMs <= slo.latencyMs) {
      met++
      accuracies.push(accuracy)
    }
    const next = forecasts ? expected(all.slice(Math.max(0, i - 59), i + 1), everyMs) : undefined
    if (next === undefined || memory.find(next) !== undefined) continue
    ahead++
    await decide(next)
  }
  return {
    memory: kind,
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
    for (const kind of memories) {
      for (const forecasts of [false, true])
        rows.push({ drive, ...(await replay(lane, all, kind, forecasts)) })
    }
  }
  const ratio = (kind: Memory, forecasts: boolean) =>
    mean(rows.filter((r) => r.memory === kind && r.forecasts === forecasts).map((r) => r.hit_ratio))
  return {
    kind: "modelled",
    checks: [
      {
        name: "portfolio_hit_ratio",
        value: ratio("portfolio", false),
        op: ">=",
        bound: ratio("dominance", false),
      },
      {
        name: "dominance_hit_ratio",
        value: ratio("dominance", false),
        op: ">=",
        bound: ratio("bucket", false),
      },
      { name: "forecast_gain", value: ratio("bucket", true) - ratio("bucket", false), op: ">=", bound: 0 },
    ],
    rows,
    notes: [
      `A ${localType} with 4 remotes (${type}), each on a real trace of its own (they were never measured together) with an assumed delay of 1 to 3 ms; a request every ${everyMs} ms, objective ${slo.latencyMs} ms; latency by the model, accuracy by the stand-in for untrained weights.`,
      "A miss is decided by search over 2,000 evaluations. Bucket and dominance decide for the hard corner of the bucket; the portfolio decides for the condition itself and judges exactly.",
    ],
  }
}

export const bench: BenchModule = {
  name: "replay",
  proves:
    "remembered strategies answer most requests while real traces play, and forecasts raise their share",
  takes: "3 min",
  run,
}
