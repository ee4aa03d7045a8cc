/** Learning curves: reward and compliance as shares of the oracle's, against environment steps, mean and spread over seeds. */
import type { ValidationReport } from "../policies/Train.ts"
import { besides, type Point, type Series, svgDocument, xyChart } from "./Charts.ts"

export interface NamedCurves {
  readonly name: string
  /** One curve per seed, validated at the same iterations. */
  readonly curves: ReadonlyArray<ReadonlyArray<ValidationReport>>
}

const spread = (
  curves: NamedCurves["curves"],
  value: (r: ValidationReport) => number,
): ReadonlyArray<Point> =>
  (curves[0] ?? []).map((first, i) => {
    const values = curves.flatMap((c) => {
      const report = c[i]
      return report === undefined ? [] : [value(report)]
    })
    const mean = values.reduce((a, b) => a + b, 0) / values.length
    const point = { x: first.steps, y: mean }
    return values.length < 2 ? point : { ...point, low: Math.min(...values), high: Math.max(...values) }
  })

/** An SVG document: reward on the left, compliance on the right. */
export const learningCurves = (title: string, subtitle: string, all: ReadonlyArray<NamedCurves>): string => {
  const chart = (y: string, value: (r: ValidationReport) => number) => {
    const series = all.map(({ name, curves }): Series => ({ name, points: spread(curves, value) }))
    const labels = { title: `${title}: ${y}`, subtitle, x: "environment steps", y: `${y} / oracle's` }
    return xyChart(labels, series, { y: { min: 0, max: 1 }, horizontal: [{ y: 0.97, label: "97 %" }] })
  }
  return svgDocument(
    besides(
      [chart("reward", (r) => r.overOracle.reward), chart("compliance", (r) => r.overOracle.compliance)],
      2,
    ),
  )
}
