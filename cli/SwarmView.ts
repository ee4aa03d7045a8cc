/** `murmuration swarm`: who is there, how they are, how their links are. Every line shows the age of what it shows. */
import { Console, Effect, Schedule } from "effect"
import { Command, Flag } from "effect/cli"
import { aged, defaultTimes, type Member, type MemberTable, received } from "../actors/MemberTable.ts"
import { linkReport, swarmMessage } from "../subjects/Codecs.ts"
import type { LinkReport } from "../subjects/LinkMessages.ts"
import { listen } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { connectedBus, connectionFlags } from "./Connection.ts"
import { asTyped } from "./Next.ts"
import { bad, bold, columns, dim, good, warm } from "./Text.ts"

/** Long enough to hear four beats of everybody and a link report. */
const listenMs = 1500

const stateText = (m: Member): string => {
  const text = m.note === "" ? m.state : `${m.state} (${m.note})`
  if (m.state === "present") return good(text)
  return m.state === "suspect" ? warm(text) : bad(text)
}

const age = (ms: number): string =>
  ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`

const memberRow = (m: Member, nowMs: number): ReadonlyArray<string> => {
  const { identity, status } = m
  const { load, counts } = status
  const weights = status.supernet === undefined ? "-" : `${status.supernet.name} ${status.supernet.version}`
  return [
    bold(identity.device),
    stateText(m),
    age(nowMs - m.lastSeenMs),
    `${identity.profile}${identity.emulated ? " (emulated)" : ""}`,
    `${Math.round(load.busy * 100)} %`,
    `${load.requests}/${load.tasksQueued}`,
    `${counts.answered}/${counts.refused}/${counts.replans}`,
    `${Math.round(load.rssMb)} MB`,
    `${weights}${status.supernet?.trained === false ? " untrained" : ""}`,
    status.policy === undefined ? "search" : `${status.policy.name} ${status.policy.version}`,
    status.lastError === undefined ? "" : dim(`${status.lastError.tag} ${age(status.lastError.ageMs)} ago`),
  ]
}

const header = [
  "device",
  "state",
  "heard",
  "profile",
  "busy",
  "requests/tasks",
  "ok/refused/replans",
  "memory",
  "supernet",
  "policy",
  "last error",
]

const linkRows = (reports: ReadonlyMap<string, LinkReport>): ReadonlyArray<ReadonlyArray<string>> =>
  [...reports.values()].flatMap((r) =>
    r.links.map((l) => [
      `${r.device} -> ${l.peer}`,
      `${l.delayMs.toFixed(1)} ms`,
      `${l.bandwidthMbps.toFixed(1)} Mbps`,
      `${Math.round(l.confidence * 100)} %`,
      age(l.ageMs),
      l.source,
    ]),
  )

const asJson = (table: MemberTable, links: ReadonlyMap<string, LinkReport>, nowMs: number): string =>
  JSON.stringify({
    devices: [...table.values()].map((m) => ({ ...m, heardMs: nowMs - m.lastSeenMs })),
    links: [...links.values()],
  })

const asText = (table: MemberTable, links: ReadonlyMap<string, LinkReport>, nowMs: number): string => {
  if (table.size === 0) {
    const text =
      "No device was heard. Is one up ('murmuration up'), and is this the right swarm? 'murmuration doctor' looks closer."
    return asTyped(text)
  }
  const members = [...table.values()].sort((a, b) => (a.identity.device < b.identity.device ? -1 : 1))
  const paths = linkRows(links)
  const parts = [columns([header.map(dim), ...members.map((m) => memberRow(m, nowMs))])]
  if (paths.length > 0)
    parts.push(columns([["path", "delay", "bandwidth", "confidence", "age", "source"].map(dim), ...paths]))
  return parts.join("\n\n")
}

export const swarmCommand = Command.make(
  "swarm",
  {
    watch: Flag.Boolean("watch").pipe(
      Flag.withDescription("Go on, and show every change"),
      Flag.withDefault(false),
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("As JSON"), Flag.withDefault(false)),
    ...connectionFlags,
  },
  (given) =>
    Effect.gen(function* () {
      let table: MemberTable = new Map()
      const links = new Map<string, LinkReport>()
      yield* listen({
        subject: Subjects.swarm(Subjects.anyDevice),
        input: swarmMessage,
        handle: (message) =>
          Effect.sync(() => {
            table = received(table, message, performance.now(), defaultTimes).table
          }),
      })
      yield* listen({
        subject: Subjects.link(Subjects.anyDevice),
        input: linkReport,
        handle: (report) => Effect.sync(() => void links.set(report.device, report)),
      })
      const show = Effect.suspend(() => {
        const now = performance.now()
        table = aged(table, now, defaultTimes).table
        const text = (given.json ? asJson : asText)(table, links, now)
        return Console.log(given.watch && !given.json ? `\u001b[2J\u001b[H${text}` : text)
      })
      yield* Effect.sleep(listenMs)
      yield* given.watch ? Effect.repeat(show, Schedule.spaced("1 second")) : show
    }).pipe(Effect.scoped, Effect.provide(connectedBus(given))),
).pipe(Command.withDescription("Show the devices of the swarm and their links"))
