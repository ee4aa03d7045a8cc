/** A strategy in one line for people: `160px d3,3,2,2,2 · stem-b4 2x2 on pi-1,pi-2,pi-1,pi-2 · b5-head on pi-1`. */
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { StrategySummary } from "../subjects/InferMessages.ts"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"

type Placed = Pick<PreparedStrategy, "strategy" | "graph">

const blockLabel = (graph: PreparedStrategy["graph"], position: number): string => {
  const b = graph.blocks[position]
  if (b === undefined) return "?"
  return b.kind === "dynamic" ? `b${position}` : b.kind
}

/** Consecutive blocks with the same grid and placement, as text. */
const stretches = ({ strategy, graph }: Placed): ReadonlyArray<string> => {
  const out: Array<string> = []
  let first = 0
  for (let i = 1; i <= strategy.blocks.length; i++) {
    const [a, b] = [strategy.blocks[first], strategy.blocks[i]]
    if (a === undefined) break
    if (b !== undefined && b.grid === a.grid && String(b.placement) === String(a.placement)) continue
    const range =
      first === i - 1 ? blockLabel(graph, first) : `${blockLabel(graph, first)}-${blockLabel(graph, i - 1)}`
    const names = a.placement.map((d) => strategy.devices[d] ?? "?")
    const where = new Set(names).size === 1 ? names[0] : names.join(",")
    const bits = a.bits === 32 ? "" : ` ${a.bits}bit`
    out.push(`${range}${a.grid === "1x1" ? "" : ` ${a.grid}`}${bits} on ${where}`)
    first = i
  }
  return out
}

export const summarize = (entry: Placed): StrategySummary => {
  const { submodel, devices } = entry.strategy
  const widths = submodel.expands.filter((e) => e > 0)
  const mean = widths.reduce((a, b) => a + b, 0) / Math.max(1, widths.length)
  const head = `${submodel.resolution}px d${submodel.depths.join("")} e${mean.toFixed(1)}`
  return {
    resolution: submodel.resolution,
    depths: submodel.depths,
    devices: devices.map((d) => d as DeviceId),
    tasks: entry.graph.tasks.length,
    crossings: entry.graph.edges.filter((e) => e.crosses).length,
    text: [head, ...stretches(entry)].join(" · "),
  }
}
