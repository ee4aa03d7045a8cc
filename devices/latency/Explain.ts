/**
 * Why a strategy takes as long as it does: the chain of steps that add up to the latency, what every device and link was
 * doing in the meantime, and a table a person can read.
 */
import type { ActiveBlock } from "../../supernet/Submodel.ts"
import { imageSource } from "../../supernet/TaskGraph.ts"
import type { TaskSpan, Timeline, TransferSpan } from "./Timeline.ts"

/** One link of the critical path. Steps follow each other without gaps, from 0 to the latency. */
export interface CriticalStep {
  readonly startMs: number
  readonly endMs: number
  /** backlog: the device was busy with earlier requests. */
  readonly kind: "image" | "backlog" | "compute" | "transfer" | "reply"
  readonly text: string
}

type Cause = { readonly span: TaskSpan | TransferSpan | undefined; readonly atMs: number }

const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-9

/** Name of a block for people: stem, first, s3.1 (stage 3, its first block; both from 1), head. */
export const blockName = (block: ActiveBlock | undefined): string => {
  if (block === undefined) return "?"
  return block.kind === "dynamic" ? `s${block.stage + 1}.${block.place + 1}` : block.kind
}

const segmentName = (t: Timeline, span: TaskSpan): string => {
  const first = blockName(t.graph.blocks[span.task.first])
  const last = blockName(t.graph.blocks[span.task.last])
  const grid = t.graph.geometry[span.task.first]?.grid ?? "1x1"
  const tile = grid === "1x1" ? "" : ` tile ${span.task.tile + 1} of ${grid}`
  return `${first === last ? first : `${first} .. ${last}`}${tile}`
}

const deviceName = (t: Timeline, device: number): string => t.devices[device]?.id ?? "?"

const transferName = (t: Timeline, span: TransferSpan): string => {
  const what = span.what === "tile" ? `${t.graph.edges[span.index]?.bits ?? "?"}-bit tile` : span.what
  return `${what}, ${(span.bytes / 1000).toFixed(1)} kB, ${deviceName(t, span.from)} -> ${deviceName(t, span.to)}`
}

/** What a task had to wait for: the task before it on its device, or its last input. */
const causeOfTask = (t: Timeline, span: TaskSpan): Cause => {
  if (span.startMs > span.readyMs) {
    const before = t.tasks.find(
      (o) => o.device === span.device && o.index !== span.index && near(o.endMs, span.startMs),
    )
    return { span: before, atMs: span.startMs }
  }
  for (const index of span.task.inputs) {
    const edge = t.graph.edges[index]
    const sent = edge?.crosses === true ? t.transfers.find((x) => x.index === index) : undefined
    if (sent !== undefined && near(sent.arriveMs, span.readyMs)) return { span: sent, atMs: span.readyMs }
    const producer = edge?.crosses === false ? t.tasks[edge.from] : undefined
    if (producer !== undefined && near(producer.endMs, span.readyMs))
      return { span: producer, atMs: span.readyMs }
  }
  return { span: undefined, atMs: span.readyMs }
}

/** What a transfer had to wait for, as seen from `endMs`: a message before it on a link, or its producer. */
const causeOfTransfer = (t: Timeline, span: TransferSpan, endMs: number): Cause => {
  const others = t.transfers.filter((o) => o.index !== span.index)
  if (span.downStartMs > span.downReadyMs && span.downStartMs <= endMs) {
    const before = others.find((o) => o.to === span.to && near(o.downEndMs, span.downStartMs))
    if (before !== undefined) return { span: before, atMs: span.downStartMs }
  }
  if (span.upStartMs > span.readyMs) {
    const before = others.find((o) => o.from === span.from && near(o.upEndMs, span.upStartMs))
    if (before !== undefined) return { span: before, atMs: span.upStartMs }
  }
  const edge = t.graph.edges[span.index]
  const producer =
    edge === undefined ? t.tasks.at(-1) : edge.from === imageSource ? undefined : t.tasks[edge.from]
  return { span: producer, atMs: span.readyMs }
}

/** The chain of steps that ends with the reply. Their durations add up to the latency. */
export const criticalPath = (t: Timeline): ReadonlyArray<CriticalStep> => {
  const finishedMs = t.latencyMs - t.replyMs
  const steps: Array<CriticalStep> = [
    { kind: "reply", startMs: finishedMs, endMs: t.latencyMs, text: "reply" },
  ]
  let span: TaskSpan | TransferSpan | undefined =
    t.transfers.find((x) => x.what === "result") ?? t.tasks.at(-1)
  let endMs = finishedMs
  let first: CriticalStep["kind"] = "image"
  let firstText = "request, plan, decode the image"
  while (span !== undefined) {
    const cause: Cause = span.kind === "task" ? causeOfTask(t, span) : causeOfTransfer(t, span, endMs)
    const waited = span.kind === "task" ? span.startMs > span.readyMs : cause.atMs > span.readyMs
    const text =
      span.kind === "task"
        ? `${deviceName(t, span.device)} runs ${segmentName(t, span)}${waited ? " (had waited for the device)" : ""}`
        : `${transferName(t, span)}${waited ? " (had waited for the link)" : ""}`
    const kind = span.kind === "task" ? "compute" : "transfer"
    steps.push({ kind, startMs: cause.atMs, endMs, text })
    endMs = cause.atMs
    if (span.kind === "task" && cause.span === undefined && waited) {
      first = "backlog"
      firstText = `${deviceName(t, span.device)} finishes what it has`
    }
    span = cause.span
  }
  steps.push({ kind: first, startMs: 0, endMs, text: firstText })
  return steps.toReversed()
}

export interface Usage {
  readonly device: string
  readonly profile: string
  readonly tasks: number
  readonly computeMs: number
  readonly sendMs: number
  readonly receiveMs: number
  /** Share of the latency in which the device computes nothing. */
  readonly idleShare: number
}

export const usage = (t: Timeline): ReadonlyArray<Usage> =>
  t.devices.map((device, index) => {
    const sum = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)
    const tasks = t.tasks.filter((s) => s.device === index)
    const computeMs = sum(tasks.map((s) => s.endMs - s.startMs))
    return {
      device: device.id,
      profile: device.profile,
      tasks: tasks.length,
      computeMs,
      sendMs: sum(t.transfers.filter((x) => x.from === index).map((x) => x.upEndMs - x.upStartMs)),
      receiveMs: sum(t.transfers.filter((x) => x.to === index).map((x) => x.downEndMs - x.downStartMs)),
      idleShare: 1 - computeMs / t.latencyMs,
    }
  })

const ms = (value: number) => value.toFixed(1).padStart(7)

const bar = (startMs: number, endMs: number, latencyMs: number, width = 30): string => {
  const from = Math.min(width - 1, Math.floor((startMs / latencyMs) * width))
  const to = Math.max(from + 1, Math.round((endMs / latencyMs) * width))
  return " ".repeat(from) + "#".repeat(to - from) + " ".repeat(width - to)
}

const criticalText = (t: Timeline): ReadonlyArray<string> => [
  "  start     end  takes                                   what",
  ...criticalPath(t).map(
    (s) =>
      `${ms(s.startMs)} ${ms(s.endMs)} ${ms(s.endMs - s.startMs)}  ${bar(s.startMs, s.endMs, t.latencyMs)}  ${s.text}`,
  ),
]

const usageText = (t: Timeline): ReadonlyArray<string> => {
  const rows = usage(t)
  const width = Math.max(6, ...rows.map((r) => r.device.length))
  const types = Math.max(7, ...rows.map((r) => r.profile.length))
  return [
    `${"device".padEnd(width)}  ${"profile".padEnd(types)}  tasks  compute     send  receive   idle`,
    ...rows.map(
      (r) =>
        `${r.device.padEnd(width)}  ${r.profile.padEnd(types)}  ${String(r.tasks).padStart(5)}  ${ms(r.computeMs)}  ${ms(r.sendMs)}  ${ms(r.receiveMs)}  ${(100 * r.idleShare).toFixed(0).padStart(4)}%`,
    ),
  ]
}

/** The timeline for a terminal: total, critical path, and what each device did. Times in ms. */
export const explainText = (t: Timeline): string =>
  [
    `predicted ${t.latencyMs.toFixed(1)} ms: ${t.graph.blocks.length} blocks in ${t.tasks.length} tasks on ${t.devices.length} devices, ${t.transfers.length} messages`,
    "",
    "critical path",
    ...criticalText(t),
    "",
    ...usageText(t),
  ].join("\n")
