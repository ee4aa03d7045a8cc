/**
 * Public network traces as one form: the formats of Lumos, Lumos5G, the 5G mmWave uplink set and Jellyfish. Pure text in,
 * series out. A trace drives a shaper (`traceScript`) or tests a forecaster.
 */
import { mean } from "../../supernet/Statistics.ts"
import type { ScriptStep } from "./ShaperProtocol.ts"

export interface Trace {
  /** Folder or file that it came from. */
  readonly name: string
  /** Kind of network and movement: "wifi-5GHz strong", "5g walking". */
  readonly class: string
  readonly unit: "Mbps" | "ms"
  /** Fixed step between values. */
  readonly stepMs: number
  readonly values: ReadonlyArray<number>
}

const numbers = (line: string): ReadonlyArray<number> =>
  line
    .split(/[\s,]+/)
    .filter((w) => w !== "")
    .map(Number)

/** Means of `factor` values at a time; what is left over at the end is dropped. */
const thinned = (values: ReadonlyArray<number>, factor: number): ReadonlyArray<number> =>
  Array.from({ length: Math.floor(values.length / factor) }, (_, i) =>
    mean(values.slice(i * factor, (i + 1) * factor)),
  )

/**
 * Lumos: one row per video chunk, kbit/s and seconds of delivery. The pauses between chunks are not in the file, so time
 * here is time spent downloading. The first chunk measures connection set-up and is left out.
 */
export const parseLumos = (name: string, text: string): Trace => {
  const [header = "", ...lines] = text.trim().split(/\r?\n/)
  const column = (label: string) => header.split(",").indexOf(label)
  const [rateAt, timeAt, typeAt, signalAt] = [
    "app_throughput",
    "delivery_time",
    "connection_type",
    "signal_strength",
  ].map(column)
  const rows = lines.slice(1).map((line) => line.split(","))
  const stepMs = 1000
  const bins: Array<number> = []
  let [bits, filledMs] = [0, 0]
  for (const row of rows) {
    const mbps = Number(row[rateAt ?? 0]) / 1000
    let leftMs = Number(row[timeAt ?? 0]) * 1000
    if (!(mbps > 0 && leftMs > 0)) continue
    while (leftMs > 0) {
      const taken = Math.min(leftMs, stepMs - filledMs)
      bits += mbps * taken
      filledMs += taken
      leftMs -= taken
      if (filledMs < stepMs) continue
      bins.push(bits / stepMs)
      bits = 0
      filledMs = 0
    }
  }
  const band = /wifi_([\d.]+GHz)/.exec(name)?.[1]
  const type = rows[0]?.[typeAt ?? 0] ?? "?"
  const signal = rows[0]?.[signalAt ?? 0] ?? "?"
  return {
    name,
    class: `${band === undefined ? type : `wifi-${band}`} ${signal}`,
    unit: "Mbps",
    stepMs,
    values: bins,
  }
}

/** Lumos5G: `second Mbps` per line, 1 Hz. */
export const parseLumos5g = (name: string, text: string): Trace => {
  const values = text
    .trim()
    .split(/\r?\n/)
    .map((line) => numbers(line)[1] ?? 0)
  const network = /5g/i.test(name) ? "5g" : "4g"
  const movement = /driving/.test(name) ? "driving" : "walking"
  return { name, class: `${network} ${movement}`, unit: "Mbps", stepMs: 1000, values }
}

const isTimes = (row: ReadonlyArray<number>): boolean =>
  row.length > 10 &&
  row.slice(1).every((v, i) => v > (row[i] ?? 0)) &&
  Math.abs((row[11] ?? 0) - (row[10] ?? 0)) < 0.3

/**
 * 5G mmWave uplink set: "Run k", then a row of values every 100 ms (sometimes a row of times before it). `name` is the
 * path below the set's folder: `throughput/walking/5g/away.list`. Both kinds, throughput and pings, are brought to 500 ms.
 */
export const parseUplink = (name: string, text: string): ReadonlyArray<Trace> => {
  const [what = "", movement = "", network = ""] = name.split("/")
  const rows = text
    .split(/\r?\n/)
    .filter((line) => /^[\d.]/.test(line))
    .map(numbers)
    .filter((row) => !isTimes(row))
  const isPing = what === "ping"
  return rows.map((row, i) => ({
    name: `${name}#${i + 1}`,
    class: `${isPing ? "ping" : "uplink"} ${network} ${movement}`,
    unit: isPing ? ("ms" as const) : ("Mbps" as const),
    stepMs: 500,
    values: thinned(row, 5),
  }))
}

/** Jellyfish: one Mbit/s a line; taken as 1 Hz. */
export const parseJellyfish = (name: string, text: string): Trace => ({
  name,
  class: /lte/.test(name) ? "lte upload" : "wifi edge",
  unit: "Mbps",
  stepMs: 1000,
  values: text.trim().split(/\r?\n/).map(Number),
})

/** Steps for a shaper that makes its link follow a trace of bandwidths. Rates below 0.1 Mbps are kept at that; a value that is none throws. */
export const traceScript = (trace: Trace, speed = 1): ReadonlyArray<ScriptStep> =>
  trace.values.map((value, i) => {
    if (!Number.isFinite(value)) throw new RangeError(`trace ${trace.name}: value ${i + 1} is not a number`)
    const atMs = (i * trace.stepMs) / speed
    const mbps = Math.max(0.1, value)
    return trace.unit === "ms"
      ? { atMs, set: { up: { delayMs: value / 2 }, down: { delayMs: value / 2 } } }
      : { atMs, set: { up: { mbps }, down: { mbps } } }
  })
