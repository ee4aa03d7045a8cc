/**
 * Drawing surface of the project's figures: plain SVG text, no dependency, the same bytes for the same data.
 * A chart is a `Figure`; `besides` puts several into one picture, `svgDocument` turns a figure into a file.
 * Charts.ts has the kinds of chart; this file has colours, scales, axes and legends that they share.
 */

export interface Figure {
  readonly width: number
  readonly height: number
  /** SVG elements, drawn from (0, 0) to (width, height). */
  readonly body: string
}

/** Okabe-Ito: distinguishable with colour-blind eyes and in grey print. */
const palette: ReadonlyArray<string> = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#7f7f7f",
  "#8b5a2b",
  "#332288",
]
export const colorAt = (index: number): string => palette[index % palette.length] ?? "#0072b2"
export const ink = "#222222"
export const faint = "#e4e4e4"

const escapeText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

type Attributes = Readonly<Record<string, string | number | undefined>>

const rounded = (value: string | number): string =>
  typeof value === "number" ? String(Math.round(value * 100) / 100) : escapeText(value)

/** One SVG element; `content` is markup already. */
export const element = (name: string, attributes: Attributes, content = ""): string => {
  const list = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${rounded(value ?? "")}"`)
    .join("")
  return content === "" ? `<${name}${list}/>` : `<${name}${list}>${content}</${name}>`
}

export interface TextStyle {
  readonly size?: number
  readonly anchor?: "start" | "middle" | "end"
  readonly fill?: string
  readonly bold?: boolean
  /** Degrees, around the text's own position. */
  readonly rotate?: number
}

export const text = (x: number, y: number, content: string, style: TextStyle = {}): string =>
  element(
    "text",
    {
      x,
      y,
      "font-size": style.size ?? 11,
      "text-anchor": style.anchor ?? "start",
      fill: style.fill ?? ink,
      "font-weight": style.bold === true ? 600 : undefined,
      transform:
        style.rotate === undefined ? undefined : `rotate(${style.rotate} ${rounded(x)} ${rounded(y)})`,
    },
    escapeText(content),
  )

export interface LineStyle {
  readonly width?: number
  readonly dash?: string
  readonly opacity?: number
}

export const polyline = (
  points: ReadonlyArray<readonly [number, number]>,
  stroke: string,
  style: LineStyle = {},
): string =>
  element("polyline", {
    points: points.map(([x, y]) => `${rounded(x)},${rounded(y)}`).join(" "),
    fill: "none",
    stroke,
    "stroke-width": style.width ?? 1,
    "stroke-dasharray": style.dash,
    "stroke-opacity": style.opacity,
    "stroke-linejoin": "round",
  })

/** A mapping from data to pixels with its tick marks. */
export interface Scale {
  readonly at: (value: number) => number
  readonly ticks: ReadonlyArray<{ readonly value: number; readonly label: string }>
}

export interface ScaleOptions {
  readonly log?: boolean
  /** Fixed ends; found from the data where absent. */
  readonly min?: number
  readonly max?: number
  readonly format?: (value: number) => string
}

export const formatNumber = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`
  return String(Number(value.toPrecision(4)))
}

/** A round step (1, 2, 2.5 or 5 times a power of ten) that gives at most `count` intervals. */
const niceStep = (span: number, count: number): number => {
  const raw = span / count
  const power = 10 ** Math.floor(Math.log10(raw))
  const factor = [1, 2, 2.5, 5, 10].find((f) => f * power >= raw * 0.999) ?? 10
  return factor * power
}

const linearTicks = (min: number, max: number): ReadonlyArray<number> => {
  const step = niceStep(max - min, 6)
  const first = Math.ceil(min / step - 1e-9)
  const last = Math.floor(max / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

const logTicks = (min: number, max: number): ReadonlyArray<number> => {
  const few = Math.log10(max / min) < 2.5
  const ticks: Array<number> = []
  for (let p = Math.floor(Math.log10(min)); p <= Math.ceil(Math.log10(max)); p++) {
    for (const f of few ? [1, 2, 5] : [1]) ticks.push(f * 10 ** p)
  }
  return ticks.filter((t) => t >= min * 0.999 && t <= max * 1.001)
}

/** Scale over the data, from pixel `start` to pixel `end`; ends are widened to round numbers unless given. */
export const scale = (
  values: ReadonlyArray<number>,
  start: number,
  end: number,
  options: ScaleOptions = {},
): Scale => {
  const finite = values.filter((v) => Number.isFinite(v) && (options.log !== true || v > 0))
  let min = options.min ?? finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  let max = options.max ?? finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  if (!Number.isFinite(min) || !Number.isFinite(max)) [min, max] = [0, 1]
  if (min === max)
    [min, max] =
      options.log === true ? [min / 2, max * 2] : [min - Math.abs(min || 1) / 2, max + Math.abs(max || 1) / 2]
  if (options.log !== true) {
    const step = niceStep(max - min, 6)
    if (options.min === undefined) min = Math.floor(min / step + 1e-9) * step
    if (options.max === undefined) max = Math.ceil(max / step - 1e-9) * step
  }
  const place = options.log === true ? Math.log10 : (v: number) => v
  const [low, high] = [place(min), place(max)]
  const label = options.format ?? formatNumber
  const ticks = (options.log === true ? logTicks(min, max) : linearTicks(min, max)).map((value) => ({
    value,
    label: label(value),
  }))
  return { at: (v) => start + ((place(v) - low) / (high - low)) * (end - start), ticks }
}

/** The rectangle that data are drawn in. */
export interface Plot {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

export const axes = (plot: Plot, x: Scale | undefined, y: Scale | undefined): string => {
  const vertical = (x?.ticks ?? []).map((t) => {
    const at = x?.at(t.value) ?? 0
    const line = polyline(
      [
        [at, plot.top],
        [at, plot.bottom],
      ],
      faint,
    )
    return line + text(at, plot.bottom + 15, t.label, { anchor: "middle", size: 10 })
  })
  const horizontal = (y?.ticks ?? []).map((t) => {
    const at = y?.at(t.value) ?? 0
    const line = polyline(
      [
        [plot.left, at],
        [plot.right, at],
      ],
      faint,
    )
    return line + text(plot.left - 6, at + 3.5, t.label, { anchor: "end", size: 10 })
  })
  const frame = polyline(
    [
      [plot.left, plot.top],
      [plot.left, plot.bottom],
      [plot.right, plot.bottom],
    ],
    ink,
  )
  return [...vertical, ...horizontal, frame].join("")
}

export interface LegendEntry {
  readonly name: string
  readonly color: string
  readonly dash?: string | undefined
}

/** Pixels that a text of this size takes, roughly: SVG text cannot be measured without a renderer. */
const textWidth = (content: string, size: number): number => content.length * size * 0.56

/** Entries in as many rows as the width needs; returns the markup and its height. */
export const legend = (
  entries: ReadonlyArray<LegendEntry>,
  left: number,
  top: number,
  width: number,
): { readonly body: string; readonly height: number } => {
  if (entries.length === 0) return { body: "", height: 0 }
  let [x, y] = [left, top]
  const parts = entries.map((entry) => {
    const wide = 30 + textWidth(entry.name, 11)
    if (x > left && x + wide > left + width) [x, y] = [left, y + 16]
    const mark = polyline(
      [
        [x, y],
        [x + 16, y],
      ],
      entry.color,
      { width: 3, ...(entry.dash === undefined ? {} : { dash: entry.dash }) },
    )
    const label = text(x + 20, y + 4, entry.name)
    x += wide
    return mark + label
  })
  return { body: parts.join(""), height: y - top + 16 }
}

/** Several figures in one, row by row. */
export const besides = (figures: ReadonlyArray<Figure>, columns: number, gap = 12): Figure => {
  let [body, y, width] = ["", 0, 0]
  for (let first = 0; first < figures.length; first += columns) {
    let [x, height] = [0, 0]
    for (const figure of figures.slice(first, first + columns)) {
      body += element("g", { transform: `translate(${x} ${y})` }, figure.body)
      x += figure.width + gap
      height = Math.max(height, figure.height)
    }
    width = Math.max(width, x - gap)
    y += height + gap
  }
  return { width, height: Math.max(0, y - gap), body }
}

/** A figure as the text of an .svg file. */
export const svgDocument = (figure: Figure): string =>
  `${element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${Math.ceil(figure.width)} ${Math.ceil(figure.height)}`,
      width: Math.ceil(figure.width),
      height: Math.ceil(figure.height),
      "font-family": "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif",
    },
    element("rect", { width: "100%", height: "100%", fill: "#ffffff" }) + figure.body,
  )}\n`
