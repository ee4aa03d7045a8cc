/** How the demo shows what happened: a line per answer, a table at the end. */
import type { Finder, InferReply, Slo } from "../subjects/InferMessages.ts"
import { median } from "../supernet/Statistics.ts"
import type { DemoImage } from "./DemoImages.ts"
import {
  type DemoAnswer,
  foundByShare,
  overranShare,
  placeOf,
  places,
  repliesOf,
  rightShare,
  unanswered,
  waitedShare,
  withinObjective,
} from "./DemoMeasures.ts"
import { bad, bold, columns, dim, good, percent } from "./Text.ts"

const sloText = (slo: Slo): string =>
  slo.latencyMs === undefined ? `>= ${percent(slo.accuracy)}` : `<= ${slo.latencyMs} ms`

const answerText = (image: DemoImage, reply: InferReply): string => {
  const best = reply.classes[0]
  const text = `${best?.name ?? "?"} ${percent(best?.probability ?? 0)}`
  if (!reply.trained || image.label === undefined) return text
  return image.label === best?.name ? good(text) : bad(`${text} (is: ${image.label})`)
}

export const answerRow = ({ image, slo, reply }: DemoAnswer): ReadonlyArray<string> => {
  if (typeof reply === "string") return [image.name, sloText(slo), bad(reply)]
  const latency = `${reply.latencyMs.toFixed(0)} ms`
  return [
    sloText(slo).padEnd(9),
    (reply.sloMet ? good : bad)(latency.padStart(7)),
    answerText(image, reply).padEnd(28),
    dim((reply.foundBy ?? reply.origin).padEnd(8)),
    reply.summary.text,
  ]
}

const finders: ReadonlyArray<readonly [Finder, string]> = [
  ["policy", "the policy"],
  ["repair", "local search from the policy's proposal"],
  ["search", "search alone"],
  ["shared", "another device"],
  ["built-in", "nobody: whole networks that every device knows"],
]

/** Who found the strategies of the answers, and how many answers waited for that. */
export const findersLine = (answers: ReadonlyArray<DemoAnswer>): string => {
  const replies = repliesOf(answers)
  const parts = finders.flatMap(([finder, text]) => {
    const share = foundByShare(replies, finder)
    return share === 0 ? [] : [`${text} ${percent(share)}`]
  })
  return `Strategies were found by: ${parts.join(", ")}. ${percent(waitedShare(replies))} of the answers waited for a decision.`
}

/** The share of answers with an overrun that is worth a word. */
const muchOverrun = 0.1

/** Says where this machine was too slow for what it emulates; nothing where it was fast enough. */
export const overrunLine = (answers: ReadonlyArray<DemoAnswer>): string | undefined => {
  const share = overranShare(repliesOf(answers))
  return share < muchOverrun
    ? undefined
    : `In ${percent(share)} of the answers this machine computed more slowly than the devices that it emulates: real ones would be faster. Close other programs, or emulate fewer devices (--devices).`
}

const phaseRow = (phase: string, answers: ReadonlyArray<DemoAnswer>): ReadonlyArray<string> => {
  const replies = repliesOf(answers)
  const found = replies.map(placeOf)
  const medianLatencyMs = median(replies.map((r) => r.latencyMs))
  const error = median(replies.map((r) => Math.abs(r.predicted.latencyMs - r.latencyMs) / r.latencyMs))
  const right = rightShare(answers)
  return [
    phase,
    String(answers.length),
    percent(withinObjective(answers)),
    ...(replies.length === 0 ? ["-", "-"] : [`${medianLatencyMs.toFixed(0)} ms`, percent(error)]),
    places.map((place) => found.filter((p) => p === place).length).join("/"),
    right === undefined ? "-" : percent(right),
    String(unanswered(answers)),
  ]
}

/** One row per phase, in the order in which they happened. */
export const summaryTable = (answers: ReadonlyArray<DemoAnswer>): string => {
  const phases = [...new Set(answers.map((a) => a.phase))]
  const head = [
    "links",
    "requests",
    "SLO met",
    "latency",
    "model off by",
    places.join("/"),
    "right",
    "errors",
  ]
  const rows = phases.map((p) =>
    phaseRow(
      p,
      answers.filter((a) => a.phase === p),
    ),
  )
  return columns([head.map(bold), ...rows, phaseRow("all", answers).map(bold)])
}
