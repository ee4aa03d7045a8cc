/**
 * A planner's memory while real traces play on its links: how often what it remembers answers at once, as well as a decision made
 * afresh for that moment would, and what it gains to decide ahead for the links that are forecast.
 */
import { adaptiveAll, forecastHorizonsMs } from "../devices/links/Forecaster.ts"
import type { Trace } from "../devices/links/Traces.ts"
import { type Condition, idealBandwidthMbps, type Slo } from "../policies/Condition.ts"
import { type Decision, makeDecider } from "../policies/Decision.ts"
import { isNoticeablyBetter } from "../policies/Objective.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import { pick, type Random, seededRandom } from "../supernet/Random.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  type Check,
  mean,
  median,
  quantile,
} from "./Bench.ts"
import { realTraces } from "./RealTraces.ts"
import { decide, outcomeOf, type Planned, ReplayPlanner } from "./ReplayPlanner.ts"

/** Its models: a Pi Zero 2 W among faster ones, so that a good strategy depends on the links. */
const scenario = "team"
const local = "raspberry-pi-zero-2-w"
const remotes = ["raspberry-pi-4", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-5"]
/** Objectives in turn. The local device alone takes 31 to 162 ms, at less accuracy than with others in most of that time. */
const slos: ReadonlyArray<Slo> = [40, 50, 65, 85].map((latencyMs) => ({ kind: "latency", latencyMs }))
const everyMs = 500
/** Of a decision: what search does in about the 40 ms that a device gives it. */
const evaluations = 2000
/** Values of a link's past that forecasts are made from, as a device's. */
const window = 60

/** Conditions of a drive: each remote follows its own trace, its delay a slow wave of its own. */
const conditions = (traces: ReadonlyArray<Trace>, count: number): ReadonlyArray<Condition> =>
  Array.from({ length: count }, (_, i) => ({
    devices: [
      { id: "local", type: local, bandwidthMbps: idealBandwidthMbps, delayMs: 0 },
      ...traces.map((t, k) => ({
        id: `remote-${k + 1}`,
        type: remotes[k] ?? local,
        bandwidthMbps: Math.max(0.5, t.values[Math.floor((i * everyMs) / t.stepMs) % t.values.length] ?? 1),
        delayMs: 2 + Math.sin(i / 40 + k),
      })),
    ],
  }))

/** What the links will be at each horizon, from what they were. */
const expected = (past: ReadonlyArray<Condition>): ReadonlyArray<Condition> => {
  const now = past.at(-1)
  if (now === undefined || past.length < 4) return []
  const history = (k: number, of: "bandwidthMbps" | "delayMs") =>
    past.map((c, i) => ({ atMs: i * everyMs, value: c.devices[k]?.[of] ?? 0 }))
  const links = now.devices.map((_, k) => ({
    bandwidth: adaptiveAll(history(k, "bandwidthMbps"), forecastHorizonsMs),
    delay: adaptiveAll(history(k, "delayMs"), forecastHorizonsMs),
  }))
  return forecastHorizonsMs.map((_, h) => ({
    devices: now.devices.map((d, k) => {
      if (k === 0) return d
      const { bandwidth, delay } = links[k] ?? {}
      return {
        ...d,
        bandwidthMbps: Math.max(0.5, bandwidth?.[h]?.value ?? d.bandwidthMbps),
        delayMs: delay?.[h]?.value ?? d.delayMs,
      }
    }),
  }))
}

/** A moment of a drive: a request, and what is decided afresh for it, without any memory. */
interface Moment {
  readonly condition: Condition
  readonly slo: Slo
  readonly fresh: Decision
}

const momentsOf = async (
  { world }: Setting,
  all: ReadonlyArray<Condition>,
): Promise<ReadonlyArray<Moment>> => {
  const decider = makeDecider(world)
  const moments: Array<Moment> = []
  for (const [i, condition] of all.entries()) {
    const slo = slos[i % slos.length]
    if (slo === undefined) continue
    moments.push({ condition, slo, fresh: await decide(decider, condition, slo, { evaluations, hints: [] }) })
  }
  return moments
}

type Answered = Moment & { readonly planned: Planned }

const share = (all: ReadonlyArray<Answered>, is: (a: Answered) => boolean): number =>
  all.filter(is).length / all.length

const summary = (all: ReadonlyArray<Answered>) => {
  /** Requests whose objective anybody meets; the others say nothing. */
  const possible = all.filter(({ fresh, planned }) => fresh.meetsSlo || planned.judged.meets)
  const points = possible.flatMap(({ fresh, planned }) =>
    fresh.meetsSlo && planned.judged.meets
      ? [100 * (fresh.predictedAccuracy - planned.judged.outcome.accuracy)]
      : [],
  )
  const lookUps = all.map((a) => a.planned.lookUpMs)
  return {
    requests: all.length,
    possible: possible.length,
    answered_at_once: share(possible, ({ planned }) => planned.isAtOnce),
    as_good_as_fresh: share(
      possible,
      ({ slo, fresh, planned }) =>
        planned.isAtOnce && !isNoticeablyBetter(slo, outcomeOf(fresh), planned.judged.outcome),
    ),
    points_below_fresh: mean(points),
    points_below_fresh_p95: quantile(points, 0.95),
    slo_met: share(possible, ({ planned }) => planned.judged.meets),
    submodels_used: new Set(all.map((a) => JSON.stringify(a.planned.judged.strategy.submodel))).size,
    strategies_used: new Set(all.map((a) => JSON.stringify(a.planned.judged.strategy))).size,
    look_up_p50_ms: median(lookUps),
    look_up_p95_ms: quantile(lookUps, 0.95),
  }
}

/** What is thought about between requests: nothing, the links as they are, or as they are forecast. */
const aheads = ["nothing", "last value", "forecast"] as const
type Ahead = (typeof aheads)[number]

const replay = async ({ world }: Setting, moments: ReadonlyArray<Moment>, ahead: Ahead) => {
  const planner = new ReplayPlanner(world, "local", evaluations)
  const all: Array<Answered> = []
  for (const [i, moment] of moments.entries()) {
    planner.nowMs = i * everyMs
    all.push({ ...moment, planned: await planner.plan(moment.condition, moment.slo) })
    planner.nowMs += everyMs / 2
    const past = moments.slice(Math.max(0, i + 1 - window), i + 1).map((m) => m.condition)
    const coming = { nothing: [], "last value": past.slice(-1), forecast: expected(past) }[ahead]
    for (const condition of coming) await planner.expect(condition)
  }
  const { decisions } = planner
  return {
    ahead,
    ...summary(all),
    decisions_waited_for: decisions.waited,
    decisions_beside: decisions.beside,
    decisions_ahead: decisions.ahead,
  }
}

const pickTraces = (traces: ReadonlyArray<Trace>, random: Random): ReadonlyArray<Trace> => {
  const usable = traces.filter((t) => t.unit === "Mbps" && t.values.length >= 60)
  return remotes.map(() => pick(random, usable))
}

const checksOf = (rows: ReadonlyArray<Awaited<ReturnType<typeof replay>>>): ReadonlyArray<Check> => {
  const over = (ahead: Ahead, of: (row: (typeof rows)[number]) => number) =>
    mean(rows.filter((r) => r.ahead === ahead).map(of))
  const asGood = (ahead: Ahead) => over(ahead, (r) => r.as_good_as_fresh)
  const below = over("forecast", (r) => r.points_below_fresh)
  const decided = rows.filter((r) => r.ahead === "forecast").map((r) => r.decisions_ahead)
  return [
    { name: "as_good_as_fresh", value: asGood("forecast"), op: ">=", bound: 0.95 },
    { name: "points_below_fresh", value: below, op: "<=", bound: 0.5 },
    { name: "decisions_ahead_fewest", value: Math.min(...decided), op: ">", bound: 0 },
    { name: "forecast_gain", value: asGood("forecast") - asGood("nothing"), op: ">", bound: 0 },
    {
      name: "forecast_gain_over_last_value",
      value: asGood("forecast") - asGood("last value"),
      op: ">",
      bound: 0,
    },
  ]
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const traces = realTraces()
  const setting = loadSetting(scenario)
  const random = seededRandom(seed)
  const drives = Array.from({ length: quick ? 1 : 8 }, () => pickTraces(traces, random))
  const rows: Array<Awaited<ReturnType<typeof replay>> & { readonly drive: string }> = []
  for (const drive of drives) {
    const moments = await momentsOf(setting, conditions(drive, quick ? 60 : 240))
    const name = drive.map((t) => t.class).join(", ")
    for (const ahead of aheads) rows.push({ drive: name, ...(await replay(setting, moments, ahead)) })
  }
  return { kind: "modelled", checks: checksOf(rows), rows, notes: notesOf(setting) }
}

const notesOf = ({ world, accuracyName }: Setting): ReadonlyArray<string> => [
  `A ${local} with ${remotes.join(", ")}, each on a real trace of its own (they were never measured together) with an assumed delay of 1 to 3 ms; a request every ${everyMs} ms, with objectives of ${slos.map((s) => (s.kind === "latency" ? s.latencyMs : s.accuracy)).join(", ")} ms in turn; supernet ${world.space.spec.name} ${world.space.spec.version}, latency by the model, accuracy: ${accuracyName}.`,
  `Fresh: what search over ${evaluations} evaluations decides for that very moment, without memory. answered_at_once: something remembered meets the objective, which the local strategies that are there from the start nearly always do; as_good_as_fresh: and a fresh decision is not noticeably better by the Planner's own measure (0.2 points of top-1); points_below_fresh: mean difference of top-1 where both meet the objective, below 0 where memory is better. Shares of the requests whose objective the fresh or the chosen strategy meets (possible).`,
  "Planner and forecasts as on an idle device, in the time of the trace (bench/ReplayPlanner.ts): a decision where nothing known meets the objective, which the request waits for; decisions beside requests where its Curiosity expects something; ahead, half way between requests: of nothing, of the links as they are (last value), or as they are forecast for four horizons, as a device does. as_good_as_fresh and points_below_fresh are checked for the last; forecast_gain: its as_good_as_fresh less that of thinking of nothing, forecast_gain_over_last_value: less that of the last value. Each decision by search over the same evaluations, without policies.",
]

export const bench: BenchModule = {
  name: "replay",
  proves:
    "remembered strategies answer nearly all requests while real traces play, as well as fresh decisions would",
  takes: "3 min",
  run,
}
