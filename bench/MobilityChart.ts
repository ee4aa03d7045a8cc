/** `bench mobility` as a picture: the link, what each method's answers are worth over the time, and its scores. */
import { mean } from "./Bench.ts"
import { besides, type Figure, heatGrid, xyChart } from "./Charts.ts"
import { type Moment, type Score, slo, thresholds, worth } from "./MobilityScore.ts"

interface Journey {
  readonly moments: ReadonlyArray<Moment>
  readonly scores: ReadonlyArray<Score>
  /** Names of the phases, each of which takes as long. */
  readonly phases: ReadonlyArray<string>
  readonly phaseS: number
  readonly seed: number
}

/** Room for the methods' names, the same in all parts so that their times lie below each other. */
const left = 170
const width = 860
/** Answers of so many seconds are one cell. */
const cellS = 10

const link = ({ moments, phases, phaseS }: Journey): Figure => {
  const line = (name: string, y: (m: Moment) => number | undefined) => ({
    name,
    points: moments.map((m) => ({ x: m.second, y: y(m) ?? 0 })),
  })
  const vertical = phases.map((label, i) => ({ x: i * phaseS, label }))
  const labels = {
    title: "Link to the desktop",
    subtitle: "real traces",
    x: "time, s",
    y: "Mbit/s, ms",
    width,
    height: 260,
  }
  return xyChart(
    labels,
    [
      line("bandwidth, Mbit/s", (m) => m.condition.devices[1]?.bandwidthMbps),
      line("delay one way, ms", (m) => m.condition.devices[1]?.delayMs),
    ],
    { y: { log: true }, x: { min: 0, max: phases.length * phaseS }, vertical, left },
  )
}

/** One row per method, the first on top. */
const overTime = ({ moments, scores, phases, phaseS, seed }: Journey): Figure => {
  const cells = Array.from({ length: Math.ceil((phases.length * phaseS) / cellS) }, (_, i) => i)
  const worthOf = (method: string, cell: number): number | null => {
    const some = moments.filter((m) => Math.floor(m.second / cellS) === cell)
    const value = some.length === 0 ? 0 : mean(some.map((m) => worth(m.outcomes.get(method))))
    return value === 0 ? null : 100 * value
  }
  const methods = scores.map((s) => s.method).toReversed()
  const labels = {
    title: "Expected to be right and in time, over the time",
    subtitle: `top-1 of answers within ${slo.latencyMs} ms, late ones count as 0: white 0, pale up to 70 %, dark 80 %; modelled, Pi 4 + GTX 1080, seed ${seed}`,
    x: "time, s",
    y: "",
    width,
    height: 260,
  }
  return heatGrid(
    labels,
    cells.map((c) => String(c * cellS)),
    methods,
    methods.map((method) => cells.map((cell) => worthOf(method, cell))),
    { min: 70, max: 80, left },
  )
}

const overall = ({ scores }: Journey): Figure => {
  const columns = ["in time", "top-1 of those", "right, in time", ...thresholds.map((t) => `≥ ${100 * t} %`)]
  const rows = scores.toReversed()
  const values = rows.map((s) => [s.inTime, s.top1InTime, s.rightInTime, ...s.atLeast].map((v) => 100 * v))
  const labels = {
    title: "Overall, %",
    subtitle:
      "answers in time; their mean top-1; expected to be right and in time; in time with at least so much top-1",
    x: "",
    y: "",
    width,
    height: 280,
  }
  return heatGrid(
    labels,
    columns,
    rows.map((s) => s.method),
    values,
    { min: 0, max: 100, left, format: (v) => v.toFixed(1) },
  )
}

export const mobilityFigure = (journey: Journey): Figure =>
  besides([link(journey), overTime(journey), overall(journey)], 1)
