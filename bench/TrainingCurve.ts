/** The training log of an artifact as a picture: losses of the largest and smallest submodel, and the held-out checks. */
import { mean } from "./Bench.ts"
import { besides, type Series, svgDocument, xyChart } from "./Charts.ts"

interface LogEntry {
  readonly kind: "start" | "step" | "check"
  readonly step: number
  readonly losses?: ReadonlyArray<number>
  readonly largest?: number
  readonly smallest?: number
}

/** Means of `size` neighbours: single steps differ by resolution and luck. */
const smoothed = (points: ReadonlyArray<{ readonly x: number; readonly y: number }>, size: number) =>
  Array.from({ length: Math.floor(points.length / size) }, (_, i) => {
    const part = points.slice(i * size, (i + 1) * size)
    return { x: mean(part.map((p) => p.x)), y: mean(part.map((p) => p.y)) }
  })

export const trainingCurve = (title: string, log: string): string => {
  const entries = log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogEntry)
  const loss = (name: string, pick: (losses: ReadonlyArray<number>) => number | undefined): Series => ({
    name,
    points: smoothed(
      entries.flatMap((e) => {
        const y = pick(e.losses ?? [])
        return y === undefined ? [] : [{ x: e.step, y }]
      }),
      6,
    ),
  })
  const check = (name: "largest" | "smallest"): Series => ({
    name,
    style: "both",
    points: entries.flatMap((e) => (e.kind === "check" ? [{ x: e.step, y: 100 * (e[name] ?? 0) }] : [])),
  })
  const losses = [
    loss("largest (labels)", (l) => l[0]),
    loss("smallest (labels and largest)", (l) => (l.length > 1 ? l.at(-1) : undefined)),
  ]
  const left = xyChart({ title: `${title}: training loss`, x: "step", y: "cross entropy" }, losses)
  const right = xyChart(
    {
      title: "Held out, 128 px",
      subtitle: "each batch's own statistics, averaged weights",
      x: "step",
      y: "top-1, %",
    },
    [check("largest"), check("smallest")],
  )
  return svgDocument(besides([left, right], 2))
}
