/**
 * Figure 15: latency under an accuracy SLO, one panel per scenario and bandwidth; delay 20 ms (the paper names none).
 */
import { besides, type Figure, xyChart } from "../Charts.ts"
import type { Condition } from "../../policies/Condition.ts"
import { bestOfMethod, type Case, type Compared, compare } from "./Comparison.ts"
import type { Scale } from "./LatencySlo.ts"
import { augmented, OurPlanner, swarm } from "./Methods.ts"

const delayMs = 20
const bandwidths = [5, 20, 100, 500]

const scenarios: ReadonlyArray<readonly [string, (bandwidthMbps: number) => Condition]> = [
  ["augmented", (bandwidthMbps) => augmented({ bandwidthMbps, delayMs })],
  ["swarm", (bandwidthMbps) => swarm(Array.from({ length: 4 }, () => ({ bandwidthMbps, delayMs })))],
]

/** Accuracies from easy to the best that the zoo has, 0..1. */
const accuracySlos = (points: number): ReadonlyArray<number> =>
  Array.from({ length: points }, (_, i) => Number((0.71 + ((0.793 - 0.71) * i) / (points - 1)).toFixed(4)))

export interface Panel {
  readonly scenario: string
  readonly bandwidthMbps: number
  readonly compared: ReadonlyArray<Compared>
}

/** Of one scenario and bandwidth. The strictest first: what reaches a high accuracy also reaches a lower one. */
const panelCases = (condition: Condition, bandwidthMbps: number, points: number): ReadonlyArray<Case> =>
  accuracySlos(points)
    .toReversed()
    .map((accuracy) => ({
      at: { bandwidthMbps, delayMs, accuracySlo: accuracy },
      condition,
      slo: { kind: "accuracy", accuracy },
    }))

export const figure15Cases = (points: number): ReadonlyArray<Case> =>
  scenarios.flatMap(([, condition]) => bandwidths.flatMap((b) => panelCases(condition(b), b, points)))

export const figure15 = (scale: Scale): ReadonlyArray<Panel> =>
  scenarios.flatMap(([scenario, condition]) => {
    const planner = new OurPlanner(scale.evaluations, scale.seed)
    return bandwidths.map((bandwidthMbps) => {
      const cases = panelCases(condition(bandwidthMbps), bandwidthMbps, scale.points)
      return { scenario, bandwidthMbps, compared: compare(cases, planner) }
    })
  })

const methods = ["Neurosurgeon", "ADCNN", "single device"]

const drawPanel = ({ scenario, bandwidthMbps, compared }: Panel, note: string): Figure => {
  const ascending = compared.toReversed()
  const slo = (c: Compared) => 100 * (c.case.at["accuracySlo"] ?? 0)
  const ours = {
    name: "ours",
    points: ascending.flatMap((c) => (c.ours.meets ? [{ x: slo(c), y: c.ours.latencyMs }] : [])),
    style: "both" as const,
  }
  const theirs = methods.map((method) => ({
    name: `${method}, best network`,
    points: ascending.flatMap((c) => {
      const best = bestOfMethod(c, method)
      return best === undefined ? [] : [{ x: slo(c), y: best.latencyMs }]
    }),
    style: "both" as const,
  }))
  const labels = {
    title: `15. ${scenario}, ${bandwidthMbps} Mbit/s`,
    subtitle: `delay ${delayMs} ms; ${note}`,
    x: "accuracy SLO, top-1 in %",
    y: "latency, ms",
    width: 440,
    height: 320,
  }
  return xyChart(labels, [ours, ...theirs], { y: { log: true } })
}

export const drawFigure15 = (panels: ReadonlyArray<Panel>, note: string): Figure =>
  besides(
    panels.map((panel) => drawPanel(panel, note)),
    2,
  )
