/**
 * Forecasts of bandwidth and delay on real traces: the last value, the paper's linear regression, and our default, by
 * class of trace and horizon, and whether the default's 90 % band holds 90 %.
 */
import { adaptive, comparedMethods, forecastHorizonsMs } from "../devices/links/Forecaster.ts"
import type { Trace } from "../devices/links/Traces.ts"
import { seededRandom, shuffled } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, type Row } from "./Bench.ts"
import { realTraces } from "./RealTraces.ts"

/** Origins start after this many values; shorter traces say nothing. */
const warmUp = 20
const lookBack = 90

interface Score {
  readonly absolute: Map<string, number>
  covered: number
  count: number
}

const scoreTrace = (trace: Trace, horizonMs: number, origins: number, score: Score) => {
  const steps = Math.max(1, Math.round(horizonMs / trace.stepMs))
  const last = trace.values.length - steps - 1
  const stride = Math.max(1, Math.floor((last - warmUp) / origins))
  for (let origin = warmUp; origin <= last; origin += stride) {
    const begin = Math.max(0, origin + 1 - lookBack)
    const history = trace.values
      .slice(begin, origin + 1)
      .map((value, i) => ({ atMs: (begin + i) * trace.stepMs, value }))
    const truth = trace.values[origin + steps] ?? 0
    const values = history.slice(-30).map((o) => o.value)
    const add = (name: string, value: number) =>
      score.absolute.set(name, (score.absolute.get(name) ?? 0) + Math.abs(value - truth))
    for (const [name, method] of Object.entries(comparedMethods)) add(name, method(values, steps))
    const ours = adaptive(history, horizonMs)
    add("adaptive", ours?.value ?? Number.NaN)
    if (ours !== undefined && truth >= ours.low && truth <= ours.high) score.covered++
    score.count++
  }
}

const classes = (traces: ReadonlyArray<Trace>): ReadonlyMap<string, ReadonlyArray<Trace>> =>
  Map.groupBy(
    traces.filter((t) => t.values.length >= warmUp + 20),
    (t) => t.class,
  )

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const rows: Array<
    Row & {
      readonly class: string
      readonly last_value_mae: number
      readonly ratio_to_last_value: number
      readonly band_coverage: number
      readonly n: number
    }
  > = []
  for (const [name, all] of classes(realTraces())) {
    const traces = shuffled(seededRandom(seed), all).slice(0, quick ? 4 : 40)
    for (const horizonMs of forecastHorizonsMs) {
      const score: Score = { absolute: new Map(), covered: 0, count: 0 }
      for (const trace of traces)
        scoreTrace(trace, horizonMs, Math.ceil((quick ? 160 : 1600) / traces.length), score)
      const error = (method: string) => (score.absolute.get(method) ?? 0) / score.count
      const base = error("last value")
      rows.push({
        class: name,
        unit: traces[0]?.unit ?? "",
        horizon_ms: horizonMs,
        n: score.count,
        last_value_mae: base,
        linear_regression: error("linear regression (paper)") / base,
        robust_slope: error("robust slope") / base,
        holt: error("holt") / base,
        ratio_to_last_value: error("adaptive") / base,
        band_coverage: score.covered / score.count,
      })
    }
  }
  const total = rows.reduce((s, r) => s + r.n, 0)
  const byClass = [...Map.groupBy(rows, (r) => r.class).values()].map((all) => {
    const sum = (f: (r: (typeof rows)[number]) => number) => all.reduce((s, r) => s + r.n * f(r), 0)
    return sum((r) => r.ratio_to_last_value * r.last_value_mae) / sum((r) => r.last_value_mae)
  })
  const covered = [...Map.groupBy(rows, (r) => r.class).values()].map(
    (all) => all.reduce((s, r) => s + r.n * r.band_coverage, 0) / all.reduce((s, r) => s + r.n, 0),
  )
  return {
    kind: "measured",
    checks: [
      {
        name: "ratio_to_last_value_worst",
        value: Math.max(...byClass),
        op: "<=",
        bound: 1,
      },
      {
        name: "ratio_to_last_value_worst_class_and_horizon",
        value: Math.max(...rows.map((r) => r.ratio_to_last_value)),
        op: "<=",
        bound: 1.005,
      },
      {
        name: "band_coverage",
        value: rows.reduce((s, r) => s + r.band_coverage * r.n, 0) / total,
        op: "within",
        bound: [0.87, 0.93],
      },
      {
        name: "band_coverage_least_class",
        value: Math.min(...covered),
        op: "within",
        bound: [0.87, 0.93],
      },
      {
        name: "band_coverage_most_class",
        value: Math.max(...covered),
        op: "within",
        bound: [0.87, 0.93],
      },
    ],
    rows,
    notes: [
      `${total} forecasts on real traces: Lumos (Wi-Fi, 4G), Lumos5G, 5G mmWave uplink set, Jellyfish. Columns after last_value_mae are mean absolute errors over that of the last value; ratio_to_last_value is the default's.`,
      "Lumos has no clock: time there is time spent downloading, in bins of 1 s. Steps are 1 s (uplink set and pings 0.5 s), so horizons below a step are one step.",
      "The truth is the value of the interval in which the horizon ends; traces are of different links, never measured together.",
    ],
  }
}

export const bench: BenchModule = {
  name: "predictor",
  proves:
    "the default forecast is never worse than the last value on any class of real traces, and its band is honest",
  takes: "2 min",
  run,
}
