/** What the outcomes of a disturbed swarm say about its recovery. Plain functions of what was seen; all times in ms. */
import type { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"
import type { Outcome } from "./Traffic.ts"

/** Something that happened to a device, on the clock of the bench. */
export interface Mark {
  readonly device: DeviceId
  readonly atMs: number
}

interface Answered extends Outcome {
  readonly end: { readonly kind: "answer"; readonly reply: InferReply }
}

const isAnswered = (o: Outcome): o is Answered => o.end.kind === "answer"
export const answersOf = (outcomes: ReadonlyArray<Outcome>) => outcomes.filter(isAnswered)

const lostTo = (o: Answered, device: DeviceId): boolean =>
  o.end.reply.recovery?.lost.includes(device) === true

/**
 * Requests that were under way when a device that worked for them was killed: how much longer they took, at the serving
 * device, than was predicted before it happened.
 */
export const killExtras = (outcomes: ReadonlyArray<Outcome>, kills: ReadonlyArray<Mark>) =>
  kills.flatMap(({ device, atMs }) =>
    answersOf(outcomes)
      .filter((o) => o.sentMs <= atMs && o.doneMs >= atMs && lostTo(o, device) && o.tries === 1)
      .map(({ end: { reply } }) => reply.latencyMs - (reply.recovery?.predictedMs ?? 0)),
  )

/** When the device came back, or the end of the time that is looked at. */
const backMs = ({ device, atMs }: Mark, hellos: ReadonlyArray<Mark>, withinMs: number) =>
  Math.min(atMs + withinMs, ...hellos.flatMap((h) => (h.device === device && h.atMs > atMs ? [h.atMs] : [])))

/** How long after it was killed a device was still planned with: the last request sent, while it was away, that gave it up. */
export const stillPlannedMs = (
  outcomes: ReadonlyArray<Outcome>,
  kills: ReadonlyArray<Mark>,
  hellos: ReadonlyArray<Mark>,
  withinMs: number,
) =>
  kills.map((kill) =>
    Math.max(
      0,
      ...answersOf(outcomes)
        .filter(
          (o) => o.sentMs > kill.atMs && o.sentMs < backMs(kill, hellos, withinMs) && lostTo(o, kill.device),
        )
        .map((o) => o.sentMs - kill.atMs),
    ),
  )

const isOverdue = (o: Answered, device: DeviceId): boolean =>
  o.end.reply.recovery?.overdue?.includes(device) === true

/**
 * Requests under way at a farewell: who had to be planned anew because the leaving device was gone or refused to go on, and
 * who got another try because a device was slow.
 */
export const afterFarewell = (outcomes: ReadonlyArray<Outcome>, farewells: ReadonlyArray<Mark>) => {
  const under = farewells.flatMap(({ device, atMs }) =>
    answersOf(outcomes).flatMap((o) =>
      o.sentMs <= atMs + 1000 && o.doneMs >= atMs
        ? [{ o, isLeft: lostTo(o, device) && !isOverdue(o, device) }]
        : [],
    ),
  )
  return {
    requests: under.length,
    late: under.filter((u) => u.isLeft).length,
    slow: under.filter((u) => isSecondTry(u.o)).length,
  }
}

/** It got another try because a device was slow. */
export const isSecondTry = ({ end: { reply } }: Answered): boolean =>
  reply.recovery?.hedged === true || (reply.recovery?.overdue ?? []).length > 0

/** Requests that stayed without a reply, and those of them whose reply came after all, when nobody waited any more. */
export const silences = (outcomes: ReadonlyArray<Outcome>) => {
  const silent = outcomes.flatMap(({ end }) => (end.kind === "silence" ? [end] : []))
  const tooLate = silent.filter((end) => end.wasAnswered()).length
  return { lost: silent.length - tooLate, tooLate }
}

/** Share of all requests that were answered within their objective. */
export const withinSlo = (outcomes: ReadonlyArray<Outcome>): number =>
  answersOf(outcomes).filter((o) => o.end.reply.sloMet).length / Math.max(1, outcomes.length)

/** How requests ended, by name: answer, tags of errors, silence. */
export const endings = (outcomes: ReadonlyArray<Outcome>): string => {
  const names = outcomes.map(({ end }) => (end.kind === "error" ? end.tag : end.kind))
  const counts = Map.groupBy(names, (n) => n)
  return [...counts].map(([name, all]) => `${name} ${all.length}`).join(", ")
}
