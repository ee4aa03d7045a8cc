/** Titles, axis labels and legend around a plot: the same for every chart. */
import { legend, type LegendEntry, type Plot, text } from "./Svg.ts"

export interface Labels {
  readonly title: string
  /** One line under the title: scenario, seed, "modelled" or "measured". */
  readonly subtitle?: string
  readonly x: string
  readonly y: string
  readonly width?: number
  readonly height?: number
}

export const frame = (
  labels: Labels,
  entries: ReadonlyArray<LegendEntry>,
  margin: { readonly left?: number; readonly right?: number } = {},
): { readonly plot: Plot; readonly width: number; readonly height: number; readonly body: string } => {
  const [width, height] = [labels.width ?? 520, labels.height ?? 340]
  const [left, right] = [margin.left ?? 58, width - (margin.right ?? 16)]
  const titles =
    text(left, 20, labels.title, { size: 13, bold: true }) +
    (labels.subtitle === undefined ? "" : text(left, 36, labels.subtitle, { size: 10, fill: "#666666" }))
  const names = legend(entries, left, labels.subtitle === undefined ? 36 : 52, right - left)
  const plot = {
    left,
    right,
    top: (labels.subtitle === undefined ? 32 : 46) + names.height + 4,
    bottom: height - 42,
  }
  const xLabel = text((left + right) / 2, height - 8, labels.x, { anchor: "middle" })
  const yLabel = text(14, (plot.top + plot.bottom) / 2, labels.y, { anchor: "middle", rotate: -90 })
  return { plot, width, height, body: titles + names.body + xLabel + yLabel }
}
