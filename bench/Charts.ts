/**
 * The kinds of chart that the benches draw: lines with bands and dots (XyChart.ts), bars, heat grid, Gantt rows.
 * Each takes data with names and units in its labels and returns a `Figure` (see Svg.ts).
 */
import { frame, type Labels } from "./Frame.ts"
import {
  axes,
  colorAt,
  element,
  type Figure,
  formatNumber,
  ink,
  polyline,
  scale,
  type ScaleOptions,
  text,
} from "./Svg.ts"

export { besides, svgDocument } from "./Svg.ts"
export type { Figure } from "./Svg.ts"
export { type Point, type Series, xyChart, type XyOptions } from "./XyChart.ts"

export interface BarSeries {
  readonly name: string
  /** One per category; null draws nothing. */
  readonly values: ReadonlyArray<number | null>
  readonly errors?: ReadonlyArray<number>
  readonly color?: string
}

/** Grouped bars from zero, with the value above each. */
export const barChart = (
  labels: Labels,
  categories: ReadonlyArray<string>,
  series: ReadonlyArray<BarSeries>,
  options: ScaleOptions = {},
): Figure => {
  const entries = series.map((s, i) => ({ name: s.name, color: s.color ?? colorAt(i) }))
  const { plot: whole, width, height, body } = frame(labels, series.length > 1 ? entries : [])
  // Room for the value above the highest bar.
  const plot = { ...whole, top: whole.top + 12 }
  const values = series.flatMap((s) =>
    s.values.flatMap((v, c) => (v === null ? [] : [v + (s.errors?.[c] ?? 0)])),
  )
  const y = scale(options.log === true ? values : [0, ...values], plot.bottom, plot.top, options)
  const slot = (plot.right - plot.left) / Math.max(1, categories.length)
  const bar = (slot * 0.8) / Math.max(1, series.length)
  const bars = series.flatMap((s, i) =>
    s.values.map((value, c) => {
      if (value === null) return ""
      const left = plot.left + c * slot + slot * 0.1 + i * bar
      const [top, base] = [y.at(value), options.log === true ? plot.bottom : y.at(0)]
      const error = s.errors?.[c]
      const middle = left + bar / 2
      return (
        element("rect", {
          x: left,
          y: Math.min(top, base),
          width: bar * 0.92,
          height: Math.abs(base - top),
          fill: s.color ?? colorAt(i),
        }) +
        (error === undefined
          ? ""
          : polyline(
              [
                [middle, y.at(value - error)],
                [middle, y.at(value + error)],
              ],
              ink,
            )) +
        (bar < 14
          ? ""
          : text(
              middle,
              Math.min(y.at(value + (error ?? 0)), base) - 4,
              formatNumber(Number(value.toPrecision(3))),
              {
                anchor: "middle",
                size: 9,
              },
            ))
      )
    }),
  )
  const names = categories.map((name, c) =>
    text(plot.left + (c + 0.5) * slot, plot.bottom + 15, name, { anchor: "middle", size: 10 }),
  )
  return { width, height, body: body + axes(plot, undefined, y) + bars.join("") + names.join("") }
}

export interface HeatOptions {
  /** Pixels for the names of the rows. */
  readonly left?: number
  readonly format?: (value: number) => string
  readonly min?: number
  readonly max?: number
}

/** White to blue to dark: lightness falls all the way, so it prints in grey. */
const heatColor = (share: number): string => {
  const t = Math.max(0, Math.min(1, share))
  const mix = (a: number, b: number) => Math.round(a + (b - a) * t)
  return `rgb(${mix(236, 8)},${mix(244, 69)},${mix(252, 148)})`
}

/** A cell per (row, column); null is an empty cell (SLO missed). `values[0]` is the bottom row. */
export const heatGrid = (
  labels: Labels,
  columns: ReadonlyArray<string>,
  rows: ReadonlyArray<string>,
  values: ReadonlyArray<ReadonlyArray<number | null>>,
  options: HeatOptions = {},
): Figure => {
  const { plot, width, height, body } = frame(labels, [], options)
  const present = values.flat().filter((v) => v !== null)
  const min = options.min ?? present.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const max = options.max ?? present.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const format = options.format ?? formatNumber
  const [w, h] = [(plot.right - plot.left) / columns.length, (plot.bottom - plot.top) / rows.length]
  const cells = values.flatMap((row, r) =>
    row.map((value, c) => {
      const [x, y] = [plot.left + c * w, plot.bottom - (r + 1) * h]
      const share = value === null ? 0 : max > min ? (value - min) / (max - min) : 1
      const fill = value === null ? "#ffffff" : heatColor(share)
      const box = element("rect", { x, y, width: w, height: h, fill, stroke: "#cccccc", "stroke-width": 0.5 })
      if (value === null || w < 24 || h < 11) return box
      const style = { anchor: "middle" as const, size: 9, fill: share > 0.55 ? "#ffffff" : ink }
      return box + text(x + w / 2, y + h / 2 + 3, format(value), style)
    }),
  )
  const every = Math.max(1, Math.ceil(24 / w))
  const names = [
    ...columns.map((name, c) =>
      c % every === 0
        ? text(plot.left + (c + 0.5) * w, plot.bottom + 15, name, { anchor: "middle", size: 10 })
        : "",
    ),
    ...rows.map((name, r) =>
      text(plot.left - 6, plot.bottom - (r + 0.5) * h + 3.5, name, { anchor: "end", size: 10 }),
    ),
  ]
  return { width, height, body: body + cells.join("") + names.join("") }
}
