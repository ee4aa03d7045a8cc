/**
 * Figures 13 and 14: accuracy under a latency SLO. 13: augmented computing, over bandwidth and delay, at the paper's 140 ms
 * and at 70 ms, because our Pi 4 (ncnn's times) runs good submodels within 140 ms without help. 14: swarm of
 * five, over the SLO and the bandwidth of one device; delay 20 ms, the other three remotes at 100 Mbit/s (the paper does
 * not say at what).
 */
import type { Figure } from "../Charts.ts"
import { besides, heatGrid } from "../Charts.ts"
import { bestOfMethod, type Case, type Compared, compare } from "./Comparison.ts"
import { augmented, logSpaced, OurPlanner, swarm } from "./Methods.ts"
import { scatter3d } from "./Scatter3d.ts"

export interface Scale {
  /** Points along each axis. */
  readonly points: number
  /** Evaluations of the latency model per search. */
  readonly evaluations: number
  readonly seed: number
}

/** The paper's, and one that asks for help from the other device. */
export const figure13SlosMs = [140, 70] as const
const otherRemotesMbps = 100
const figure14DelayMs = 20

/** Bandwidths and delays at one SLO, strictest first. */
export const figure13Cases = (points: number, latencyMs: number): ReadonlyArray<Case> =>
  logSpaced(1, 100, points)
    .toReversed()
    .flatMap((delayMs) =>
      logSpaced(5, 500, points).map((bandwidthMbps) => ({
        at: { bandwidthMbps, delayMs, sloMs: latencyMs },
        condition: augmented({ bandwidthMbps, delayMs }),
        slo: { kind: "latency", latencyMs },
      })),
    )

/** Latency SLOs and bandwidths of one remote, strictest first. */
export const figure14Cases = (points: number): ReadonlyArray<Case> =>
  logSpaced(40, 400, points).flatMap((latencyMs) =>
    logSpaced(5, 500, points).map((bandwidthMbps) => {
      const other = { bandwidthMbps: otherRemotesMbps, delayMs: figure14DelayMs }
      const varied = { bandwidthMbps, delayMs: figure14DelayMs }
      return {
        at: { bandwidthMbps, sloMs: latencyMs },
        condition: swarm([varied, other, other, other]),
        slo: { kind: "latency", latencyMs },
      }
    }),
  )

export const figure13 = (scale: Scale, sloMs: number): ReadonlyArray<Compared> =>
  compare(figure13Cases(scale.points, sloMs), new OurPlanner(scale.evaluations, scale.seed))
export const figure14 = (scale: Scale): ReadonlyArray<Compared> =>
  compare(figure14Cases(scale.points), new OurPlanner(scale.evaluations, scale.seed))

/** Top-1 in percent of a panel's method in one case, or nothing where it misses the SLO. */
type Value = (c: Compared) => number | null

const percentOf = (offer: { readonly accuracy: number } | undefined): number | null =>
  offer === undefined ? null : 100 * offer.accuracy

const panels: ReadonlyArray<readonly [string, Value]> = [
  ["Ours", (c) => (c.ours.meets ? 100 * c.ours.accuracy : null)],
  ["Neurosurgeon, best network", (c) => percentOf(bestOfMethod(c, "Neurosurgeon"))],
  ["ADCNN, best network", (c) => percentOf(bestOfMethod(c, "ADCNN"))],
  ["One device, best network", (c) => percentOf(bestOfMethod(c, "single device"))],
]

const unique = (values: ReadonlyArray<number>): ReadonlyArray<number> =>
  [...new Set(values)].sort((a, b) => a - b)

const grid = (
  compared: ReadonlyArray<Compared>,
  row: string,
  labels: { readonly title: string; readonly subtitle: string; readonly y: string },
  value: Value,
  range: { readonly min: number; readonly max: number },
): Figure => {
  const columns = unique(compared.map((c) => c.case.at["bandwidthMbps"] ?? 0))
  const rows = unique(compared.map((c) => c.case.at[row] ?? 0))
  const values = rows.map((y) =>
    columns.map((x) => {
      const found = compared.find((c) => c.case.at["bandwidthMbps"] === x && c.case.at[row] === y)
      return found === undefined ? null : value(found)
    }),
  )
  const format = (v: number) => v.toFixed(1)
  const axes = { x: "bandwidth, Mbit/s", width: 440, height: 320 }
  return heatGrid({ ...labels, ...axes }, columns.map(String), rows.map(String), values, { ...range, format })
}

/** A grid per method and one for the lead over the best baseline; cells without a number miss the SLO. */
const drawGrids = (
  compared: ReadonlyArray<Compared>,
  row: string,
  y: string,
  title: string,
  note: string,
): Figure => {
  const accuracies = panels.map(([name, value]) =>
    grid(compared, row, { title: `${title} ${name}`, subtitle: note, y }, value, { min: 70, max: 80 }),
  )
  const lead: Value = (c) =>
    c.zoo === undefined || !c.ours.meets ? null : 100 * (c.ours.accuracy - c.zoo.accuracy)
  const leadLabels = {
    title: `${title} Lead over the best baseline, points`,
    subtitle: "empty: no baseline meets the SLO",
    y,
  }
  return besides([...accuracies, grid(compared, row, leadLabels, lead, { min: 0, max: 7 })], 2)
}

export const drawFigure13 = (compared: ReadonlyArray<Compared>, note: string): Figure => {
  const sloMs = compared[0]?.case.at["sloMs"] ?? 0
  const subtitle = `top-1 in %, SLO ${sloMs} ms, Pi 4 + GTX 1080; ${note}`
  const space = scatter3d(
    {
      title: "13. Accuracy where the SLO is met",
      subtitle,
      x: "bandwidth, Mbit/s",
      y: "delay, ms",
      z: "top-1, %",
    },
    panels.slice(0, 3).map(([name, value]) => ({
      name,
      points: compared.flatMap((c) => {
        const z = value(c)
        return z === null ? [] : [{ x: c.case.at["bandwidthMbps"] ?? 0, y: c.case.at["delayMs"] ?? 0, z }]
      }),
    })),
  )
  return besides([drawGrids(compared, "delayMs", "delay, ms", "13.", subtitle), space], 1)
}

export const drawFigure14 = (compared: ReadonlyArray<Compared>, note: string): Figure =>
  drawGrids(
    compared,
    "sloMs",
    "latency SLO, ms",
    "14.",
    `top-1 in %, five Pi 4, delay ${figure14DelayMs} ms, others ${otherRemotesMbps} Mbit/s; ${note}`,
  )
