/** Lines with bands, steps and dots over two numeric axes: curves, scatter plots, predicted against measured. */
import { frame, type Labels } from "./Frame.ts"
import { axes, colorAt, element, type Figure, ink, polyline, scale, type ScaleOptions, text } from "./Svg.ts"

export interface Point {
  readonly x: number
  readonly y: number
  /** Ends of the band (line) or of the whisker (dots). */
  readonly low?: number
  readonly high?: number
}

export interface Series {
  readonly name: string
  readonly points: ReadonlyArray<Point>
  /** "line" is the default; "steps" holds a value until the next point. */
  readonly style?: "line" | "dots" | "both" | "steps"
  readonly color?: string
  readonly dashed?: boolean
  readonly dotRadius?: number
}

export interface XyOptions {
  /** Pixels left of the plot, to align it with a figure above or below. */
  readonly left?: number
  readonly x?: ScaleOptions
  readonly y?: ScaleOptions
  /** Reference lines: an SLO, a paper's value, y = x (`diagonal`). */
  readonly horizontal?: ReadonlyArray<{ readonly y: number; readonly label: string }>
  readonly vertical?: ReadonlyArray<{ readonly x: number; readonly label: string }>
  readonly diagonal?: boolean
}

type Pixel = readonly [number, number]

const band = (
  points: ReadonlyArray<Point>,
  x: (v: number) => number,
  y: (v: number) => number,
  color: string,
) => {
  const ends = points.filter((p) => p.low !== undefined && p.high !== undefined)
  if (ends.length < 2) return ""
  const upper = ends.map((p): Pixel => [x(p.x), y(p.high ?? p.y)])
  const lower = ends.map((p): Pixel => [x(p.x), y(p.low ?? p.y)]).toReversed()
  const path = [...upper, ...lower].map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ")
  return element("polygon", { points: path, fill: color, "fill-opacity": 0.15 })
}

const drawSeries = (s: Series, color: string, x: (v: number) => number, y: (v: number) => number): string => {
  const style = s.style ?? "line"
  const pixels = s.points.map((p): Pixel => [x(p.x), y(p.y)])
  const path =
    style === "steps"
      ? pixels.flatMap((p, i): ReadonlyArray<Pixel> =>
          i === 0 ? [p] : [[p[0], pixels[i - 1]?.[1] ?? p[1]], p],
        )
      : pixels
  const dash = s.dashed === true ? { dash: "5 3" } : {}
  const line = style === "dots" ? "" : polyline(path, color, { width: 1.8, ...dash })
  if (style === "line" || style === "steps") return band(s.points, x, y, color) + line
  const dots = s.points.map((p, i) => {
    const [cx, cy] = pixels[i] ?? [0, 0]
    const whisker =
      style === "dots" && p.low !== undefined && p.high !== undefined
        ? polyline(
            [
              [cx, y(p.low)],
              [cx, y(p.high)],
            ],
            color,
            { opacity: 0.5 },
          )
        : ""
    return whisker + element("circle", { cx, cy, r: s.dotRadius ?? 2.6, fill: color, "fill-opacity": 0.75 })
  })
  return (style === "both" ? band(s.points, x, y, color) : "") + line + dots.join("")
}

/** Lines, bands and dots over two numeric axes, linear or logarithmic. */
export const xyChart = (labels: Labels, series: ReadonlyArray<Series>, options: XyOptions = {}): Figure => {
  const entries = series.map((s, i) => ({
    name: s.name,
    color: s.color ?? colorAt(i),
    dash: s.dashed === true ? "5 3" : undefined,
  }))
  const { plot, width, height, body } = frame(labels, series.length > 1 ? entries : [], options)
  const points = series.flatMap((s) => s.points)
  const xs = [...points.map((p) => p.x), ...(options.vertical ?? []).map((v) => v.x)]
  const ys = [
    ...points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]),
    ...(options.horizontal ?? []).map((h) => h.y),
  ]
  const x = scale(xs, plot.left, plot.right, options.x)
  const y = scale(ys, plot.bottom, plot.top, options.y)
  const dash = { dash: "3 3" }
  const references = [
    ...(options.horizontal ?? []).map(
      (h) =>
        polyline(
          [
            [plot.left, y.at(h.y)],
            [plot.right, y.at(h.y)],
          ],
          ink,
          dash,
        ) + text(plot.right - 2, y.at(h.y) - 4, h.label, { anchor: "end", size: 10 }),
    ),
    ...(options.vertical ?? []).map(
      (v) =>
        polyline(
          [
            [x.at(v.x), plot.top],
            [x.at(v.x), plot.bottom],
          ],
          ink,
          dash,
        ) + text(x.at(v.x) + 4, plot.top + 10, v.label, { size: 10 }),
    ),
  ]
  if (options.diagonal === true) {
    const [low, high] = [
      Math.max(Math.min(...xs), Math.min(...ys)),
      Math.min(Math.max(...xs), Math.max(...ys)),
    ]
    references.push(
      polyline(
        [
          [x.at(low), y.at(low)],
          [x.at(high), y.at(high)],
        ],
        ink,
        dash,
      ),
    )
  }
  const drawn = series.map((s, i) => drawSeries(s, s.color ?? colorAt(i), x.at, y.at)).join("")
  return { width, height, body: body + axes(plot, x, y) + references.join("") + drawn }
}
