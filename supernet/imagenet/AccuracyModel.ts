/**
 * The form of our small model of OFA's accuracy: every block that runs adds what its kernel and its expand are worth, the
 * resolution adds a parabola, and the sum saturates a little. A hundred numbers that anyone can read, within 0.15 points
 * of a predictor of 370,000.
 */
import { Schema } from "effect"
import type { Submodel } from "../Submodel.ts"

const kernels = [3, 5, 7]
/** Expand 3 is the reference: a block's own worth is in its kernel's number. */
const expands = [4, 6]

export const AccuracyModel = Schema.Struct({
  /** What was fitted, to what, and where that comes from. */
  source: Schema.String,
  /** Constant of the sum. */
  base: Schema.Finite,
  /** Top-1 per block that runs, by kernel 3, 5, 7. */
  kernel: Schema.Array(Schema.Array(Schema.Finite)),
  /** Added for expand 4, 6. */
  expand: Schema.Array(Schema.Array(Schema.Finite)),
  /** For (resolution - 224) / 32 and its square. */
  resolution: Schema.Array(Schema.Finite),
  /** Top-1 as a parabola of the sum's distance from `centre`: constant, slope, curvature. */
  centre: Schema.Finite,
  saturation: Schema.Array(Schema.Finite),
})
export type AccuracyModel = typeof AccuracyModel.Type

/** The same network at another width: top-1 as a line of the wide model's top-1 at 224, plus a resolution parabola. */
export const NarrowModel = Schema.Struct({
  source: Schema.String,
  base: Schema.Finite,
  scale: Schema.Finite,
  resolution: Schema.Array(Schema.Finite),
})
export type NarrowModel = typeof NarrowModel.Type

const resolutionTerms = (resolution: number): readonly [number, number] => {
  const r = (resolution - 224) / 32
  return [r, r * r]
}

const resolutionWorth = (coefficients: ReadonlyArray<number>, resolution: number): number => {
  const [linear, square] = resolutionTerms(resolution)
  return (coefficients[0] ?? 0) * linear + (coefficients[1] ?? 0) * square
}

const blocksWorth = (model: AccuracyModel, submodel: Submodel): number =>
  submodel.kernels.reduce((sum, kernel, i) => {
    if (kernel === 0) return sum
    const expand = expands.indexOf(submodel.expands[i] ?? 0)
    const worth = model.kernel[i]?.[kernels.indexOf(kernel)] ?? 0
    return sum + worth + (expand < 0 ? 0 : (model.expand[i]?.[expand] ?? 0))
  }, 0)

const saturated = ([constant = 0, slope = 1, curvature = 0]: ReadonlyArray<number>, z: number): number =>
  constant + slope * z + curvature * z * z

/** Predicted top-1, 0..1. */
export const modelAccuracy = (model: AccuracyModel, submodel: Submodel): number => {
  const sum =
    model.base + blocksWorth(model, submodel) + resolutionWorth(model.resolution, submodel.resolution)
  return saturated(model.saturation, sum - model.centre)
}

/** Inputs of the narrow model's regression: 1, the wide model's top-1 at 224, resolution terms. */
export const narrowRegressors = (wide: AccuracyModel, submodel: Submodel): Float64Array =>
  Float64Array.of(
    1,
    modelAccuracy(wide, { ...submodel, resolution: 224 }),
    ...resolutionTerms(submodel.resolution),
  )

export const narrowAccuracy = (wide: AccuracyModel, narrow: NarrowModel, submodel: Submodel): number =>
  narrow.base +
  narrow.scale * modelAccuracy(wide, { ...submodel, resolution: 224 }) +
  resolutionWorth(narrow.resolution, submodel.resolution)

/** The regression's inputs: 1, resolution terms, then per block 3 kernel and 2 expand indicators. */
export const regressors = (submodel: Submodel): Float64Array => {
  const x = new Float64Array(3 + 5 * submodel.kernels.length)
  x.set([1, ...resolutionTerms(submodel.resolution)])
  for (const [i, kernel] of submodel.kernels.entries()) {
    if (kernel === 0) continue
    x[3 + 5 * i + kernels.indexOf(kernel)] = 1
    const expand = expands.indexOf(submodel.expands[i] ?? 0)
    if (expand >= 0) x[3 + 5 * i + 3 + expand] = 1
  }
  return x
}

/** Coefficients x that minimise |Ax - y|^2 + ridge |x|^2, by Cholesky. For a few hundred columns at most. */
export const ridgeFit = (
  rows: ReadonlyArray<Float64Array>,
  targets: ReadonlyArray<number>,
  ridge: number,
): ReadonlyArray<number> => {
  const n = rows[0]?.length ?? 0
  const gram = Array.from({ length: n }, (_, i) => new Float64Array(n).fill(0).with(i, ridge))
  const x = new Float64Array(n)
  for (const [k, row] of rows.entries()) {
    for (let i = 0; i < n; i++) {
      const value = row[i] ?? 0
      if (value === 0) continue
      x[i] = (x[i] ?? 0) + value * (targets[k] ?? 0)
      const g = gram[i] ?? new Float64Array()
      for (let j = 0; j <= i; j++) g[j] = (g[j] ?? 0) + value * (row[j] ?? 0)
    }
  }
  const at = (i: number, j: number) => gram[i]?.[j] ?? 0
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = at(i, j)
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k)
      const row = gram[i] ?? new Float64Array()
      row[j] = i === j ? Math.sqrt(sum) : sum / at(j, j)
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] = (x[i] ?? 0) - at(i, k) * (x[k] ?? 0)
    x[i] = (x[i] ?? 0) / at(i, i)
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] = (x[i] ?? 0) - at(k, i) * (x[k] ?? 0)
    x[i] = (x[i] ?? 0) / at(i, i)
  }
  return [...x]
}

const dot = (a: ReadonlyArray<number>, b: Float64Array): number =>
  a.reduce((sum, v, i) => sum + v * (b[i] ?? 0), 0)

/**
 * Fits an `AccuracyModel` by Gauss-Newton: the parabola given the sums, then the sums' coefficients given the parabola.
 */
export const fitAccuracyModel = (
  source: string,
  submodels: ReadonlyArray<Submodel>,
  targets: ReadonlyArray<number>,
): AccuracyModel => {
  const rows = submodels.map(regressors)
  const centre = targets.reduce((a, b) => a + b, 0) / targets.length
  let coefficients = ridgeFit(rows, targets, 1e-3)
  const parabola = () => {
    const sums = rows.map((row) => dot(coefficients, row) - centre)
    return {
      sums,
      saturation: ridgeFit(
        sums.map((z) => Float64Array.of(1, z, z * z)),
        targets,
        1e-9,
      ),
    }
  }
  for (let iteration = 0; iteration < 6; iteration++) {
    const { sums, saturation } = parabola()
    const slopes = sums.map((z) => (saturation[1] ?? 1) + 2 * (saturation[2] ?? 0) * z)
    const steps = ridgeFit(
      rows.map((row, i) => row.map((v) => v * (slopes[i] ?? 1))),
      targets.map((t, i) => t - saturated(saturation, sums[i] ?? 0)),
      1e-2,
    )
    coefficients = coefficients.map((c, i) => c + (steps[i] ?? 0))
  }
  const short = (value: number | undefined) => Number((value ?? 0).toFixed(6))
  const table = (from: number, count: number) =>
    Array.from({ length: (coefficients.length - 3) / 5 }, (_, i) =>
      coefficients.slice(3 + 5 * i + from, 3 + 5 * i + from + count).map(short),
    )
  return {
    source,
    base: short(coefficients[0]),
    resolution: coefficients.slice(1, 3).map(short),
    kernel: table(0, 3),
    expand: table(3, 2),
    centre: short(centre),
    saturation: parabola().saturation.map(short),
  }
}
