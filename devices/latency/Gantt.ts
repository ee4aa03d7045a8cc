/** A timeline as an SVG Gantt chart: a row per device, and thin rows for its up-link and down-link where they are used. */
import { usage } from "./Explain.ts"
import type { TaskSpan, Timeline } from "./Timeline.ts"

const width = 900
const left = 150
const right = 20
const top = 54
const deviceRow = 26
const linkRow = 12
const gap = 10

const colors = { task: "#3b6fb6", local: "#7a4fa3", up: "#d08b2c", down: "#4f9d5d" }

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

interface Row {
  readonly label: string
  readonly y: number
  readonly height: number
  readonly bars: ReadonlyArray<{
    readonly startMs: number
    readonly endMs: number
    readonly fill: string
    readonly title: string
  }>
}

const taskTitle = (t: Timeline, span: TaskSpan): string => {
  const { computeMs, quantiseMs, dequantiseMs } = span.time
  const blocks = `blocks ${span.task.first}-${span.task.last}, tile ${span.task.tile + 1}`
  return `${blocks}: ready ${span.readyMs.toFixed(2)}, runs ${span.startMs.toFixed(2)}-${span.endMs.toFixed(2)} ms; compute ${computeMs.toFixed(2)}, convert ${(quantiseMs + dequantiseMs).toFixed(2)} ms; ${t.devices[span.device]?.profile}`
}

const linkBars = (t: Timeline, device: number, direction: "up" | "down") =>
  t.transfers
    .filter((x) => (direction === "up" ? x.from : x.to) === device)
    .map((x) => ({
      startMs: direction === "up" ? x.upStartMs : x.downStartMs,
      endMs: direction === "up" ? x.upEndMs : x.downEndMs,
      fill: colors[direction],
      title: `${x.what} ${(x.bytes / 1000).toFixed(1)} kB ${t.devices[x.from]?.id} -> ${t.devices[x.to]?.id}, arrives ${x.arriveMs.toFixed(2)} ms`,
    }))

const rowsOf = (t: Timeline): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  let y = top
  for (const [index, device] of t.devices.entries()) {
    const bars = t.tasks
      .filter((s) => s.device === index)
      .map((s) => {
        const fill = index === 0 ? colors.local : colors.task
        return { startMs: s.startMs, endMs: s.endMs, fill, title: taskTitle(t, s) }
      })
    rows.push({ label: device.id, y, height: deviceRow, bars })
    y += deviceRow + 2
    for (const direction of ["up", "down"] as const) {
      // An ideal link takes no time: nothing to see.
      const used = linkBars(t, index, direction).filter((b) => b.endMs > b.startMs)
      if (used.length === 0) continue
      rows.push({ label: `${direction}-link`, y, height: linkRow, bars: used })
      y += linkRow + 2
    }
    y += gap
  }
  return rows
}

const tickStep = (latencyMs: number): number =>
  [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((s) => latencyMs / s <= 10) ?? 10_000

/** Standalone SVG text. Bars carry their numbers as tooltips. */
export const ganttSvg = (t: Timeline, title = "Timeline of one request"): string => {
  const rows = rowsOf(t)
  const bottom = (rows.at(-1)?.y ?? top) + deviceRow + 8
  const x = (atMs: number) => left + (atMs / t.latencyMs) * (width - left - right)
  const step = tickStep(t.latencyMs)
  const ticks = Array.from({ length: Math.floor(t.latencyMs / step) + 1 }, (_, i) => i * step)
  const idle = usage(t).map((u) => `${u.device} ${(100 * u.idleShare).toFixed(0)} %`)
  const lines = ticks.flatMap((at) => [
    `<line x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="${top - 6}" y2="${bottom}" stroke="#ddd"/>`,
    `<text x="${x(at).toFixed(1)}" y="${bottom + 14}" text-anchor="middle" fill="#555">${at}</text>`,
  ])
  const bars = rows.flatMap((row) => [
    `<text x="${left - 8}" y="${row.y + row.height - (row.height === deviceRow ? 9 : 2)}" text-anchor="end" fill="${row.height === deviceRow ? "#222" : "#777"}">${escaped(row.label)}</text>`,
    ...row.bars.map((b) => {
      const w = Math.max(0.8, x(b.endMs) - x(b.startMs))
      return `<rect x="${x(b.startMs).toFixed(1)}" y="${row.y}" width="${w.toFixed(1)}" height="${row.height}" rx="2" fill="${b.fill}" stroke="#fff" stroke-width="0.5"><title>${escaped(b.title)}</title></rect>`
    }),
  ])
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${bottom + 36}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${left}" y="20" font-size="14" fill="#222">${escaped(title)}: ${t.latencyMs.toFixed(1)} ms</text>`,
    `<text x="${left}" y="36" fill="#777">idle: ${escaped(idle.join(", "))}</text>`,
    ...lines,
    ...bars,
    `<text x="${width - right}" y="${bottom + 30}" text-anchor="end" fill="#555">ms since the request's arrival</text>`,
    "</svg>",
    "",
  ].join("\n")
}
