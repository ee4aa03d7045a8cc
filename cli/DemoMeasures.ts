/** What the answers of a demo come to: the numbers that its table and `bench demo` show. */
import type { Finder, InferReply, Slo } from "../subjects/InferMessages.ts"
import type { DemoImage } from "./DemoImages.ts"

export interface DemoAnswer {
  readonly phase: string
  /** When it came, since the first phase began. */
  readonly atMs: number
  readonly image: DemoImage
  readonly slo: Slo
  /** The answer, or the typed error in words. */
  readonly reply: InferReply | string
}

/** Where a strategy computes: at the serving device, at one other, on several one after the other, or a block on several at once. */
export const places = ["local", "offloaded", "split", "tiled"] as const
export type Place = (typeof places)[number]

/** From the line for people (`actors/Summary.ts`): `192px d44444 e6.0 · stem 2x1 on pi-1,pi-2 · first-head on pi-1`. */
export const placeOf = ({ summary }: Pick<InferReply, "summary">): Place => {
  const [, ...stretches] = summary.text.split(" · ")
  const devices = stretches.map((stretch) => new Set(stretch.split(" on ")[1]?.split(",")))
  if (devices.some((here) => here.size > 1)) return "tiled"
  if (new Set(devices.flatMap((here) => [...here])).size > 1) return "split"
  return summary.crossings === 0 ? "local" : "offloaded"
}

export const repliesOf = (answers: ReadonlyArray<DemoAnswer>): ReadonlyArray<InferReply> =>
  answers.flatMap(({ reply }) => (typeof reply === "string" ? [] : [reply]))

/** 0..1; 0 of nothing. */
const shareOf = <A>(all: ReadonlyArray<A>, isOne: (one: A) => boolean): number =>
  all.filter(isOne).length / Math.max(1, all.length)

/** Share of all requests that were answered within their objective, 0..1. */
export const withinObjective = (answers: ReadonlyArray<DemoAnswer>): number =>
  shareOf(answers, ({ reply }) => typeof reply !== "string" && reply.sloMet)

/** Share of all requests that were answered rightly, 0..1; undefined where right answers are not known, or weights are untrained. */
export const rightShare = (answers: ReadonlyArray<DemoAnswer>): number | undefined => {
  const isKnown = answers.some((a) => a.image.label !== undefined) && repliesOf(answers)[0]?.trained === true
  if (!isKnown) return undefined
  return shareOf(
    answers,
    ({ reply, image }) => typeof reply !== "string" && reply.classes[0]?.name === image.label,
  )
}

export const unanswered = (answers: ReadonlyArray<DemoAnswer>): number =>
  answers.length - repliesOf(answers).length

/** Of the answers, 0..1. */
export const foundByShare = (replies: ReadonlyArray<InferReply>, finder: Finder): number =>
  shareOf(replies, (r) => r.foundBy === finder)

/** Share of the answers that waited until their strategy was found, 0..1. */
export const waitedShare = (replies: ReadonlyArray<InferReply>): number =>
  shareOf(replies, (r) => r.origin === r.foundBy)

/** An overrun that is more than a task's usual scatter, ms. */
export const overrunMs = 5

/** Share of the answers with a task that this machine computed more slowly than the device that it emulates, 0..1. */
export const overranShare = (replies: ReadonlyArray<InferReply>): number =>
  shareOf(replies, (r) => r.timeline?.some((t) => (t.overrunMs ?? 0) > overrunMs) === true)
