/** One run of the demo as a picture: how long each answer took, where it was computed, and how accurate it was expected to be. */
import { type DemoAnswer, placeOf, places } from "../cli/DemoMeasures.ts"
import { demoPhases } from "../cli/DemoScript.ts"
import type { InferReply } from "../subjects/InferMessages.ts"
import { besides, type Figure, xyChart } from "./Charts.ts"

/** What each phase brings, for the room that it has. */
const phaseNames = demoPhases.map(
  ({ title }) => title.split(": ").at(-1)?.replace("the last device", "pi-3") ?? title,
)

interface Came {
  readonly atS: number
  readonly reply: InferReply
}

const cameOf = (answers: ReadonlyArray<DemoAnswer>): ReadonlyArray<Came> =>
  answers.flatMap(({ atMs, reply }) => (typeof reply === "string" ? [] : [{ atS: atMs / 1000, reply }]))

const size = { width: 900, height: 300 }

/** One colour per place. */
const byPlace = (came: ReadonlyArray<Came>, value: (reply: InferReply) => number) =>
  places.map((name) => ({
    name,
    style: "dots" as const,
    points: came.filter(({ reply }) => placeOf(reply) === name).map((c) => ({ x: c.atS, y: value(c.reply) })),
  }))

/** `what`: devices and images, for people. */
export const demoChart = (answers: ReadonlyArray<DemoAnswer>, seconds: number, what: string): Figure => {
  const came = cameOf(answers)
  const vertical = phaseNames.map((label, i) => ({ x: (i * seconds) / demoPhases.length, label }))
  const [timed, accurate] = [true, false].map((isTimed) =>
    came.filter(({ reply }) => (reply.slo.latencyMs !== undefined) === isTimed),
  )
  const x = { min: 0, max: seconds }
  const late = (timed ?? [])
    .filter(({ reply }) => !reply.sloMet)
    .map(({ atS, reply }) => ({ x: atS, y: reply.latencyMs }))
  const latency = xyChart(
    {
      ...size,
      title: "Latency objectives: 50, 70 and 90 ms in turn",
      subtitle: `where each answer was computed; ${what}`,
      x: "seconds",
      y: "latency, ms",
    },
    [
      ...byPlace(timed ?? [], (r) => r.latencyMs),
      { name: "later than asked", style: "dots", points: late, color: "#d62728", dotRadius: 1.3 },
    ],
    { x, y: { min: 0, max: 150 }, vertical },
  )
  const accuracy = xyChart(
    {
      ...size,
      title: "What their submodels are expected to get right",
      subtitle: "the better the links, the larger the submodel that keeps the latency",
      x: "seconds",
      y: "predicted top-1, %",
    },
    byPlace(timed ?? [], (r) => 100 * r.predicted.accuracy),
    { x, vertical },
  )
  const free = xyChart(
    {
      ...size,
      title: "Accuracy objective: at least 87.5 %",
      subtitle: "the better the links, the sooner the answer",
      x: "seconds",
      y: "latency, ms",
    },
    byPlace(accurate ?? [], (r) => r.latencyMs),
    { x, y: { min: 0 }, vertical },
  )
  return besides([latency, accuracy, free], 1)
}
