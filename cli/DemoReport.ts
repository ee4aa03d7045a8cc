/** How the demo shows what happened: a line per answer, a table at the end. */
import type { Finder, InferReply, Slo } from "../subjects/InferMessages.ts"
import { median } from "../supernet/Statistics.ts"
import type { DemoImage } from "./DemoImages.ts"
import { bad, bold, columns, dim, good, percent } from "./Text.ts"

export interface DemoAnswer {
  readonly phase: string
  readonly image: DemoImage
  readonly slo: Slo
  /** The answer, or the typed error in words. */
  readonly reply: InferReply | string
}

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

const finders: Readonly<Record<Finder, string>> = {
  policy: "the policy",
  repair: "local search from the policy's proposal",
  search: "search alone",
  shared: "another device",
  "built-in": "nobody: whole networks that every device knows",
}

/** Who found the strategies of the answers, and how many answers waited for that. */
export const findersLine = (answers: ReadonlyArray<DemoAnswer>): string => {
  const replies = answers.flatMap((a) => (typeof a.reply === "string" ? [] : [a.reply]))
  const share = (of: ReadonlyArray<InferReply>) => percent(of.length / Math.max(1, replies.length))
  const parts = Object.entries(finders).flatMap(([finder, text]) => {
    const found = replies.filter((r) => r.foundBy === finder)
    return found.length === 0 ? [] : [`${text} ${share(found)}`]
  })
  const waited = replies.filter((r) => r.origin === r.foundBy)
  return `Strategies were found by: ${parts.join(", ")}. ${share(waited)} of the answers waited for a decision.`
}

/** Overruns that are more than a task's usual scatter, ms, and the share of answers with one that is worth a word. */
const overrun = { ms: 5, share: 0.1 }

/** Says where this machine was too slow for what it emulates; nothing where it was fast enough. */
export const overrunLine = (answers: ReadonlyArray<DemoAnswer>): string | undefined => {
  const replies = answers.flatMap((a) => (typeof a.reply === "string" ? [] : [a.reply]))
  const late = replies.filter((r) => r.timeline?.some((t) => (t.overrunMs ?? 0) > overrun.ms) === true)
  const share = late.length / Math.max(1, replies.length)
  return share < overrun.share
    ? undefined
    : `In ${percent(share)} of the answers this machine computed more slowly than the devices that it emulates: real ones would be faster. Close other programs, or emulate fewer devices (--devices).`
}

/** Where a strategy computes: only here, only there, or on several. */
const placeOf = (reply: InferReply): string => {
  const { devices, crossings } = reply.summary
  if (crossings === 0) return "local"
  return /\dx2|2x\d/.test(reply.summary.text) && devices.length > 2 ? "tiled" : "split"
}

const phaseRow = (phase: string, answers: ReadonlyArray<DemoAnswer>): ReadonlyArray<string> => {
  const replies = answers.flatMap((a) => (typeof a.reply === "string" ? [] : [a.reply]))
  const met = replies.filter((r) => r.sloMet).length
  const right = answers.filter(
    (a) => typeof a.reply !== "string" && a.reply.classes[0]?.name === a.image.label,
  ).length
  const labelled = answers.some((a) => a.image.label !== undefined) && replies[0]?.trained === true
  const places = replies.map(placeOf)
  const share = (place: string) => `${places.filter((p) => p === place).length}`
  const medianLatencyMs = median(replies.map((r) => r.latencyMs))
  const error = median(replies.map((r) => Math.abs(r.predicted.latencyMs - r.latencyMs) / r.latencyMs))
  return [
    phase,
    String(answers.length),
    percent(met / Math.max(1, answers.length)),
    ...(replies.length === 0 ? ["-", "-"] : [`${medianLatencyMs.toFixed(0)} ms`, percent(error)]),
    `${share("local")}/${share("split")}/${share("tiled")}`,
    labelled ? percent(right / answers.length) : "-",
    String(answers.length - replies.length),
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
    "local/split/tiled",
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
