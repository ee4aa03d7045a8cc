/**
 * Fits the accuracy predictor on a table of measured strategies: squared error, Adam, weight decay chosen by cross-validation,
 * the whole table as one batch. A few hundred rows take some seconds.
 *
 * Cuts and narrow values never add accuracy, and larger kernels and expand ratios never take any, whatever noise in the table
 * says: a search would find and exploit each such gain. Weights are projected after each step so that the prediction can only
 * fall, or rise, with them (a partially monotonic network; Sill 1997); how much still depends on the rest, such as the resolution.
 */
import {
  AccuracyPredictor,
  type AccuracyQuery,
  FeatureSpace,
  type PredictorData,
} from "./AccuracyPredictor.ts"
import { normal, seededRandom, shuffled } from "./Random.ts"
import type { SupernetSpec } from "./Spec.ts"
import { kendallTau, mean } from "./Statistics.ts"

export interface MeasuredStrategy extends AccuracyQuery {
  /** Top-1 accuracy 0..1. */
  readonly top1: number
}

export interface FitOptions {
  readonly hidden: number
  readonly steps: number
  readonly learningRate: number
  /** Candidates for the weight decay. */
  readonly decays: ReadonlyArray<number>
  /** Share of the table kept out of the fit, to report the error on. */
  readonly heldOutShare: number
  readonly seed: number
}

export const defaultFit: FitOptions = {
  hidden: 12,
  steps: 600,
  learningRate: 3e-3,
  decays: [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
  heldOutShare: 0.2,
  seed: 1,
}

interface Row {
  /** Each feature once. */
  readonly features: ReadonlyArray<number>
  /** How often each of them comes, times its reach: [features]. */
  readonly weights: ReadonlyArray<number>
  readonly top1: number
}

const rowOf = (space: FeatureSpace, reach: Float64Array, { top1, ...query }: MeasuredStrategy): Row => {
  const weights = new Map<number, number>()
  for (const f of space.of(query)) weights.set(f, (weights.get(f) ?? 0) + reach[f]!)
  return { features: [...weights.keys()], weights: [...weights.values()], top1 }
}

const rowsOf = (spec: SupernetSpec, table: ReadonlyArray<MeasuredStrategy>): ReadonlyArray<Row> => {
  const space = new FeatureSpace(spec)
  const { reach } = space
  return table.map((measured) => rowOf(space, reach, measured))
}

/** Parameters as one vector: [features][1 + hidden], each in units of its `reach`, bias [1 + hidden], output [hidden]. */
const gradientOf = (
  p: Float64Array,
  g: Float64Array,
  rows: ReadonlyArray<Row>,
  size: number,
  hidden: number,
): void => {
  const stride = 1 + hidden
  const [biasAt, outputAt] = [size * stride, (size + 1) * stride]
  const sum = new Float64Array(stride)
  g.fill(0)
  for (const { features, weights, top1 } of rows) {
    for (let j = 0; j < stride; j++) sum[j] = p[biasAt + j]!
    for (let i = 0; i < features.length; i++) {
      const [at, w] = [features[i]! * stride, weights[i]!]
      for (let j = 0; j < stride; j++) sum[j]! += w * p[at + j]!
    }
    let value = sum[0]!
    for (let j = 0; j < hidden; j++) value += Math.max(0, sum[j + 1]!) * p[outputAt + j]!
    const d = (value - top1) / rows.length
    for (let j = 0; j < hidden; j++) {
      const h = sum[j + 1]!
      g[outputAt + j]! += d * Math.max(0, h)
      sum[j + 1] = h > 0 ? d * p[outputAt + j]! : 0
    }
    sum[0] = d
    for (let j = 0; j < stride; j++) g[biasAt + j]! += sum[j]!
    for (let i = 0; i < features.length; i++) {
      const [at, w] = [features[i]! * stride, weights[i]!]
      for (let j = 0; j < stride; j++) g[at + j]! += w * sum[j]!
    }
  }
}

/** The nearest values (least squares) that do not fall: pools those that do (pool adjacent violators). */
export const isotonic = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const pools: Array<{ sum: number; count: number }> = []
  for (const value of values) {
    let pool = { sum: value, count: 1 }
    for (let last = pools.at(-1); last !== undefined && last.sum / last.count > pool.sum / pool.count;) {
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count }
      pools.pop()
      last = pools.at(-1)
    }
    pools.push(pool)
  }
  return pools.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count))
}

/** Along each row of features (`FeatureSpace.rising`), weights rise in the direction in which the prediction does. */
const projectRising = (
  p: Float64Array,
  rows: ReadonlyArray<ReadonlyArray<number>>,
  size: number,
  hidden: number,
): void => {
  const stride = 1 + hidden
  const outputAt = (size + 1) * stride
  for (let j = 0; j < stride; j++) {
    const sign = j === 0 || p[outputAt + j - 1]! > 0 ? 1 : -1
    for (const row of rows) {
      const rising = isotonic(row.map((f) => sign * p[f * stride + j]!))
      for (const [i, f] of row.entries()) p[f * stride + j] = sign * rising[i]!
    }
  }
}

/** Whatever a cost (`FeatureSpace.isCost`) does to the prediction, directly or by a hidden unit, is at most nothing. */
const projectCosts = (p: Float64Array, costs: ReadonlyArray<number>, size: number, hidden: number): void => {
  const stride = 1 + hidden
  const outputAt = (size + 1) * stride
  for (const f of costs) {
    const at = f * stride
    p[at] = Math.min(0, p[at]!)
    for (let j = 1; j < stride; j++)
      p[at + j] = p[outputAt + j - 1]! > 0 ? Math.min(0, p[at + j]!) : Math.max(0, p[at + j]!)
  }
}

const round = (v: number): number => Number(v.toPrecision(6))

const fitRows = (
  spec: SupernetSpec,
  rows: ReadonlyArray<Row>,
  decay: number,
  options: FitOptions,
): Omit<PredictorData, "heldOut"> => {
  const space = new FeatureSpace(spec)
  const { reach, size, rising } = space
  const costs = Array.from({ length: size }, (_, f) => f).filter((f) => space.isCost(f))
  const { hidden } = options
  const stride = 1 + hidden
  const random = seededRandom(options.seed)
  const length = (size + 1) * stride + hidden
  const p = Float64Array.from({ length }, (_, i) =>
    i < size * stride && i % stride === 0 ? 0 : 0.02 * normal(random),
  )
  p[size * stride] = mean(rows.map((r) => r.top1))
  for (let j = 0; j < hidden; j++) p[(size + 1) * stride + j] = 0.1 * normal(random)
  const [g, m, v] = [new Float64Array(length), new Float64Array(length), new Float64Array(length)]
  for (let step = 1; step <= options.steps; step++) {
    gradientOf(p, g, rows, size, hidden)
    const rate = options.learningRate * 0.5 * (1 + Math.cos((Math.PI * step) / options.steps))
    for (let i = 0; i < length; i++) {
      // The bias keeps its freedom: decay pulls towards the mean accuracy, not towards zero.
      const gi = g[i]! + (i === size * stride ? 0 : decay * p[i]!)
      m[i] = 0.9 * m[i]! + 0.1 * gi
      v[i] = 0.99 * v[i]! + 0.01 * gi * gi
      p[i]! -= (rate * (m[i]! / (1 - 0.9 ** step))) / (Math.sqrt(v[i]! / (1 - 0.99 ** step)) + 1e-9)
    }
    projectCosts(p, costs, size, hidden)
    projectRising(p, rising, size, hidden)
  }
  const slice = (at: number, n: number) => Array.from(p.subarray(at, at + n), round)
  return {
    format: "murmuration-accuracy-2",
    supernet: `${spec.name} ${spec.version}`,
    hidden,
    features: Array.from({ length: size }, (_, f) =>
      Array.from(p.subarray(f * stride, (f + 1) * stride), (w) => round(reach[f]! * w)),
    ),
    bias: slice(size * stride, stride),
    output: slice((size + 1) * stride, hidden),
  }
}

const unknownError = { strategies: 0, meanAbsoluteError: 0, kendallTau: 0 }

const errorOn = (
  spec: SupernetSpec,
  fitted: Omit<PredictorData, "heldOut">,
  table: ReadonlyArray<MeasuredStrategy>,
): PredictorData["heldOut"] => {
  const predictor = new AccuracyPredictor(spec, { ...fitted, heldOut: unknownError })
  const predicted = table.map((q) => predictor.predict(q))
  // Where all are equal there is no order to get right.
  const tau = kendallTau(
    table.map((q) => q.top1),
    predicted,
  )
  return {
    strategies: table.length,
    meanAbsoluteError: round(mean(table.map((q, i) => Math.abs(q.top1 - predicted[i]!)))),
    kendallTau: Number.isNaN(tau) ? 0 : round(tau),
  }
}

const folds = 4

/** The weight decay with the least cross-validated error on the part of the table that is fitted. */
const chooseDecay = (
  spec: SupernetSpec,
  table: ReadonlyArray<MeasuredStrategy>,
  options: FitOptions,
): number => {
  const rows = rowsOf(spec, table)
  const errors = options.decays.map((decay) => {
    const each = Array.from({ length: folds }, (_, fold) => {
      const fitted = fitRows(
        spec,
        rows.filter((_row, i) => i % folds !== fold),
        decay,
        options,
      )
      const outside = table.filter((_row, i) => i % folds === fold)
      return errorOn(spec, fitted, outside).meanAbsoluteError
    })
    return mean(each)
  })
  return options.decays[errors.indexOf(Math.min(...errors))] ?? 0
}

/** Fits on a random part of the table; error and rank correlation are those of the rest. */
export const fitPredictor = (
  spec: SupernetSpec,
  table: ReadonlyArray<MeasuredStrategy>,
  options: FitOptions = defaultFit,
): PredictorData => {
  const mixed = shuffled(seededRandom(options.seed), table)
  const outside = Math.round(mixed.length * options.heldOutShare)
  const [heldOut, fitted] = [mixed.slice(0, outside), mixed.slice(outside)]
  const decay = chooseDecay(spec, fitted, options)
  const result = fitRows(spec, rowsOf(spec, fitted), decay, options)
  return { ...result, heldOut: errorOn(spec, result, heldOut) }
}
