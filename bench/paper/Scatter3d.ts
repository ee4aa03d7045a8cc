/** Dots in a box drawn in parallel perspective: logarithmic floor axes, linear height. For the paper's figure 13(a). */
import { colorAt, element, faint, type Figure, ink, legend, polyline, text } from "../Svg.ts"

export interface Point3d {
  readonly x: number
  readonly y: number
  readonly z: number
}

interface Labels3d {
  readonly title: string
  readonly subtitle: string
  readonly x: string
  readonly y: string
  readonly z: string
}

interface Axis {
  readonly min: number
  readonly max: number
  /** 0 at min, 1 at max. */
  readonly at: (value: number) => number
}

const axisOf = (values: ReadonlyArray<number>, log: boolean): Axis => {
  const place = log ? Math.log10 : (v: number) => v
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const [min, max] = log ? [low, high] : [Math.floor(low), Math.ceil(high)]
  return { min, max, at: (v) => (max > min ? (place(v) - place(min)) / (place(max) - place(min)) : 0.5) }
}

type Pixel = readonly [number, number]

/** Corner of the box at the origin, and where one unit of each axis leads, pixels. */
const origin: Pixel = [110, 350]
const alongX: Pixel = [420, 50]
const alongY: Pixel = [210, -110]
const alongZ: Pixel = [0, -180]

const project = (x: number, y: number, z: number): Pixel => [
  origin[0] + x * alongX[0] + y * alongY[0] + z * alongZ[0],
  origin[1] + x * alongX[1] + y * alongY[1] + z * alongZ[1],
]

const box = (): string => {
  const lines: Array<string> = []
  for (const s of [0, 0.25, 0.5, 0.75, 1]) {
    lines.push(polyline([project(s, 0, 0), project(s, 1, 0), project(s, 1, 1)], faint))
    lines.push(polyline([project(1, s, 0), project(0, s, 0), project(0, s, 1)], faint))
    lines.push(polyline([project(0, 0, s), project(0, 1, s), project(1, 1, s)], faint))
  }
  return (
    lines.join("") + polyline([project(0, 0, 1), project(0, 0, 0), project(1, 0, 0), project(1, 1, 0)], ink)
  )
}

const scales = (labels: Labels3d, x: Axis, y: Axis, z: Axis): string => {
  const at = (p: Pixel, dx: number, dy: number, content: string, anchor: "start" | "middle" | "end") =>
    text(p[0] + dx, p[1] + dy, content, { anchor, size: 10 })
  return [
    at(project(0, 0, 0), 0, 16, String(x.min), "middle"),
    at(project(1, 0, 0), -4, 18, String(x.max), "middle"),
    at(project(0.5, 0, 0), 0, 26, labels.x, "middle"),
    at(project(1, 0, 0), 10, 4, String(y.min), "start"),
    at(project(1, 1, 0), 8, 4, String(y.max), "start"),
    at(project(1, 0.5, 0), 14, 8, labels.y, "start"),
    at(project(0, 0, 0), -8, 0, String(z.min), "end"),
    at(project(0, 0, 1), -8, 4, String(z.max), "end"),
    at(project(0, 0, 0.5), -8, 4, labels.z, "end"),
  ].join("")
}

export const scatter3d = (
  labels: Labels3d,
  series: ReadonlyArray<{ readonly name: string; readonly points: ReadonlyArray<Point3d> }>,
): Figure => {
  const points = series.flatMap((s) => s.points)
  const x = axisOf(
    points.map((p) => p.x),
    true,
  )
  const y = axisOf(
    points.map((p) => p.y),
    true,
  )
  const z = axisOf(
    points.map((p) => p.z),
    false,
  )
  const dots = series.flatMap((s, i) =>
    s.points.map((p) => {
      const foot = project(x.at(p.x), y.at(p.y), 0)
      const [cx, cy] = project(x.at(p.x), y.at(p.y), z.at(p.z))
      const stem = i === 0 ? polyline([foot, [cx, cy]], colorAt(i), { width: 0.5, opacity: 0.25 }) : ""
      return {
        depth: y.at(p.y),
        body: stem + element("circle", { cx, cy, r: 3, fill: colorAt(i), "fill-opacity": 0.8 }),
      }
    }),
  )
  // The far ones first, so that near ones lie on top.
  const drawn = dots.sort((a, b) => b.depth - a.depth).map((d) => d.body)
  const titles =
    text(58, 20, labels.title, { size: 13, bold: true }) +
    text(58, 36, labels.subtitle, { size: 10, fill: "#666666" })
  const names = legend(
    series.map((s, i) => ({ name: s.name, color: colorAt(i) })),
    58,
    52,
    700,
  )
  return {
    width: 840,
    height: 440,
    body: titles + names.body + box() + scales(labels, x, y, z) + drawn.join(""),
  }
}
