/**
 * What a link's bandwidth or delay will be a little later, from its recent past: several methods behind one interface, and
 * a band that should hold the coming value with 90 % probability. Pure; history in, forecast out.
 *
 * The paper extrapolates a linear regression over a sliding window. On real traces that is worse than repeating the last
 * value (`npm run bench -- predictor`): bandwidth has little trend and much mean reversion. The default weighs simple
 * methods by how each would have done on this very history, leaning on the last value when nothing is better.
 */
import { mean, median } from "../../supernet/Statistics.ts"

export interface Observation {
  /** Monotonic. */
  readonly atMs: number
  readonly value: number
}

export interface Forecast {
  readonly value: number
  /** 5 % and 95 % quantiles, as far as the past tells. */
  readonly low: number
  readonly high: number
}

/** Observations oldest first; `horizonMs` after the last one. Undefined without any. Values are never negative. */
export type Forecaster = (history: ReadonlyArray<Observation>, horizonMs: number) => Forecast | undefined

/** A method sees values at about even steps, and says what comes `steps` after the last one. */
export type Method = (values: ReadonlyArray<number>, steps: number) => number

const last = (values: ReadonlyArray<number>): number => values.at(-1) ?? 0

export const lastValue: Method = last

const medianOrZero = (values: ReadonlyArray<number>): number => (values.length === 0 ? 0 : median(values))

/** The paper's: least squares over the last `window` values, extrapolated. */
export const linearRegression =
  (window: number): Method =>
  (all, steps) => {
    const values = all.slice(-window)
    const centre = (values.length - 1) / 2
    const level = mean(values)
    let [covariance, variance] = [0, 0]
    for (const [i, v] of values.entries()) {
      covariance += (i - centre) * (v - level)
      variance += (i - centre) ** 2
    }
    const slope = variance === 0 ? 0 : covariance / variance
    return Math.max(0, level + slope * (centre + steps))
  }

/** Median of the slopes between all pairs of the window (Theil-Sen): a trend that outliers do not bend. */
export const robustSlope =
  (window: number): Method =>
  (all, steps) => {
    const values = all.slice(-window)
    const slopes = values.flatMap((a, i) => values.slice(i + 1).map((b, j) => (b - a) / (j + 1)))
    if (slopes.length === 0) return last(values)
    const slope = medianOrZero(slopes)
    const level = medianOrZero(values.map((v, i) => v - slope * (i - (values.length - 1))))
    return Math.max(0, level + slope * steps)
  }

/** Holt's double exponential smoothing with a damped trend. */
export const holt =
  (alpha: number, beta: number, damping = 0.8): Method =>
  (values, steps) => {
    let level = values[0] ?? 0
    let trend = 0
    for (const v of values.slice(1)) {
      const before = level
      level = alpha * v + (1 - alpha) * (level + damping * trend)
      trend = beta * (level - before) + (1 - beta) * damping * trend
    }
    const reach = (damping * (1 - damping ** steps)) / (1 - damping)
    return Math.max(0, level + trend * reach)
  }

export const exponentialMean =
  (alpha: number): Method =>
  (values) => {
    let level = values[0] ?? 0
    for (const v of values) level += alpha * (v - level)
    return level
  }

export const movingMedian =
  (window: number): Method =>
  (values) =>
    medianOrZero(values.slice(-window))

/** Part of the way from the last value back to the mean of the window. */
export const reverting =
  (share: number, window: number): Method =>
  (values) =>
    (1 - share) * last(values) + share * mean(values.slice(-window))

/** What the default weighs; the last value first. None of them looks at how far ahead it is asked about (`adaptiveAll`). */
const experts: ReadonlyArray<Method> = [
  lastValue,
  reverting(0.2, 20),
  reverting(0.4, 20),
  exponentialMean(0.7),
  exponentialMean(0.4),
  exponentialMean(0.15),
  movingMedian(5),
  movingMedian(9),
]

/** Values a forecast looks back on; more makes the band smoother and the weights slower. */
const lookBack = 90
/** Values before an origin that the methods see. */
const memory = 30
/** How fast evidence moves weight away from the last value: per relative error and past origin. */
const learningRate = 0.35
/** Weight of all others together before any evidence, the last value having 1. */
const priorOfOthers = 0.3
/** An expert must beat the last value by this share of its error before it gains: on 20 classes of traces, less was chance. */
const margin = 0.2

interface Backtest {
  /** For each past origin (oldest first) what each expert said, and what came. */
  readonly said: ReadonlyArray<ReadonlyArray<number>>
  readonly came: ReadonlyArray<number>
}

/** Values before the first origin. */
const firstOrigin = (values: ReadonlyArray<number>): number => Math.min(4, values.length)

/** What each method says at each origin, the last value included, about `steps` later. */
const opinions = (
  values: ReadonlyArray<number>,
  steps: number,
  methods: ReadonlyArray<Method>,
): ReadonlyArray<ReadonlyArray<number>> =>
  values.slice(firstOrigin(values)).map((_, i) => {
    const end = firstOrigin(values) + i + 1
    const seen = values.slice(Math.max(0, end - memory), end)
    return methods.map((m) => m(seen, steps))
  })

const backtest = (
  values: ReadonlyArray<number>,
  said: ReadonlyArray<ReadonlyArray<number>>,
  steps: number,
): Backtest => {
  const came = values.slice(firstOrigin(values) + steps)
  return { said: said.slice(0, came.length), came }
}

const weightsOf = (test: Backtest, count: number): ReadonlyArray<number> => {
  const errors = Array.from({ length: count }, (_, k) =>
    mean(test.said.map((s, i) => Math.abs((s[k] ?? 0) - (test.came[i] ?? 0)))),
  )
  const base = errors[0] ?? 0
  const n = test.came.length
  const raw = errors.map((error, k) => {
    if (k === 0) return 1
    const evidence = base > 0 ? -learningRate * n * (error / base - 1 + margin) : Number.NEGATIVE_INFINITY
    return (priorOfOthers / (count - 1)) * Math.exp(evidence)
  })
  const total = raw.reduce((a, b) => a + b, 0)
  return raw.map((w) => w / total)
}

const blend = (said: ReadonlyArray<number>, weights: ReadonlyArray<number>): number =>
  said.reduce((sum, v, k) => sum + v * (weights[k] ?? 0), 0)

/** Without a past of its own a link's value stays within this factor, 5 % to 95 %: the traces' own at 1 s. */
const assumedLow = 0.45
const assumedHigh = 1.9
/** Share of values that may lie on either side of a band. */
const tailShare = 0.05
/**
 * Past errors are older than the one the band is for by the horizon, and a link is another by then: each step of the
 * horizon takes this share off the tails. Chosen on half of the traces (`npm run bench -- predictor` shows all).
 */
const lagCost = 0.08
const mostLag = 5

/** Quantile of sorted values whose expected coverage is right for few of them: rank (n + 1) share, interpolated. */
const quantile = (sorted: ReadonlyArray<number>, share: number): number => {
  const rank = Math.max(0, Math.min(sorted.length - 1, (sorted.length + 1) * share - 1))
  const below = sorted[Math.floor(rank)] ?? 0
  return below + (rank - Math.floor(rank)) * ((sorted[Math.ceil(rank)] ?? below) - below)
}

/** Changes that restlessness is the mean of. */
const lately = 8

/** How much values change from one to the next, at each origin and then now: the mean log ratio over the last few. */
const restlessness = (values: ReadonlyArray<number>, floor: number): ReadonlyArray<number> => {
  const changes = values.slice(1).map((v, i) => Math.abs(Math.log((v + floor) / ((values[i] ?? 0) + floor))))
  const first = firstOrigin(values)
  return values
    .slice(first - 1)
    .map((_, i) => mean(changes.slice(Math.max(0, first - 1 + i - lately), first - 1 + i)))
}

/** Values, what counts as nothing beside them, and how restless they were at each origin, now last. */
interface Series {
  readonly values: ReadonlyArray<number>
  readonly floor: number
  readonly restless: ReadonlyArray<number>
}

/** The floor: so that an outage is not infinitely far away. */
const seriesOf = (values: ReadonlyArray<number>): Series => {
  const floor = 0.03 * medianOrZero(values) + 1e-3
  return { values, floor, restless: restlessness(values, floor) }
}

/**
 * Errors are log ratios of what came to what was said, over how restless the link was when it was said: a band learned in calm
 * times is widened in restless ones, and the reverse.
 */
const band = (
  value: number,
  { values, floor, restless }: Series,
  { said, came }: { readonly said: ReadonlyArray<number>; readonly came: ReadonlyArray<number> },
  steps: number,
): Forecast => {
  const scales = restless.slice(1, said.length + 1)
  const usual = Math.max(1e-6, medianOrZero(scales))
  // Half way: a few values do not tell much about restlessness either.
  const relative = (scale: number) => (scale + usual) / (2 * usual)
  const errorAt = (s: number, i: number) =>
    Math.log(((came[i] ?? 0) + floor) / (s + floor)) / relative(scales[i] ?? usual)
  const sorted = said.map(errorAt).sort((a, b) => a - b)
  const share = tailShare / (1 + lagCost * Math.min(steps - 1, mostLag))
  const trust = Math.min(1, sorted.length / 30)
  const now = values.length < 2 ? 1 : relative(restless.at(-1) ?? usual)
  const low = trust * quantile(sorted, share) * now + (1 - trust) * Math.log(assumedLow)
  const high = trust * quantile(sorted, 1 - share) * now + (1 - trust) * Math.log(assumedHigh)
  return {
    value,
    low: Math.max(0, (value + floor) * Math.exp(Math.min(0, low)) - floor),
    high: (value + floor) * Math.exp(Math.max(0, high)) - floor,
  }
}

/** Gives how many steps a horizon is long, from the typical distance of the observations. */
const stepsIn = (history: ReadonlyArray<Observation>): ((horizonMs: number) => number) => {
  const gaps = history.slice(1).map((o, i) => o.atMs - (history[i]?.atMs ?? 0))
  const step = Math.max(1, medianOrZero(gaps))
  return (horizonMs) => (gaps.length === 0 ? 1 : Math.max(1, Math.round(horizonMs / step)))
}

/** From what was said at the origins so far; `now` is said of the time after the last value. */
const forecast = (
  series: Series,
  said: ReadonlyArray<ReadonlyArray<number>>,
  now: ReadonlyArray<number>,
  steps: number,
): Forecast => {
  const test = backtest(series.values, said, steps)
  const weights = test.came.length < 4 ? now.map((_, k) => (k === 0 ? 1 : 0)) : weightsOf(test, now.length)
  const blended = test.said.map((s) => blend(s, weights))
  return band(blend(now, weights), series, { said: blended, came: test.came }, steps)
}

const forecasterOf =
  (methods: ReadonlyArray<Method>): Forecaster =>
  (history, horizonMs) => {
    if (history.length === 0) return undefined
    const recent = history.slice(-lookBack)
    const values = recent.map((o) => o.value)
    const steps = stepsIn(recent)(horizonMs)
    const now = methods.map((m) => m(values.slice(-memory), steps))
    return forecast(seriesOf(values), opinions(values, steps, methods), now, steps)
  }

/** A single method with a band from its own errors. */
export const single = (method: Method): Forecaster => forecasterOf([method])

/** The default: methods weighed by their errors on this history. */
export const adaptive: Forecaster = forecasterOf(experts)

/** The same for several horizons at once. The experts say the same of all of them, so that one look at the past serves all. */
export const adaptiveAll = (
  history: ReadonlyArray<Observation>,
  horizonsMs: ReadonlyArray<number>,
): ReadonlyArray<Forecast> | undefined => {
  if (history.length === 0) return undefined
  const recent = history.slice(-lookBack)
  const values = recent.map((o) => o.value)
  const said = opinions(values, 1, experts)
  const now = experts.map((m) => m(values.slice(-memory), 1))
  const [series, stepsOf] = [seriesOf(values), stepsIn(recent)]
  return horizonsMs.map((horizonMs) => forecast(series, said, now, stepsOf(horizonMs)))
}

/** What the default is held against, by name. */
export const comparedMethods: Readonly<Record<string, Method>> = {
  "last value": lastValue,
  "linear regression (paper)": linearRegression(10),
  "robust slope": robustSlope(10),
  holt: holt(0.5, 0.1),
}

/** Horizons that a Predictor publishes, ms. */
export const forecastHorizonsMs: ReadonlyArray<number> = [500, 1000, 2000, 5000]
