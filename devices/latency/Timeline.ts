/**
 * The latency of a strategy, step by step: walks the task graph with devices and links as resources that serve one thing
 * at a time, in the order in which things become ready, and keeps every start and end so that it can explain itself.
 * `FastLatency.ts` computes the same number without the explanation, hundreds of thousands of times a second; a
 * property test holds the two together.
 *
 * A crossing edge takes the sender's up-link, then the receiver's down-link. A hop forwards a message only when it has
 * all of it, so the down-link may start when the first chunk is through; where it is the faster one, it starts as late
 * as it can without making the last chunk wait, and so is free for others in the meantime.
 */
import type { DeviceProfile } from "../profiles/DeviceProfile.ts"
import { taskTime, type TaskTime } from "../profiles/BlockTime.ts"
import { chunkBytesAt } from "../../subjects/Chunks.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import { localDevice, type Strategy } from "../../supernet/Strategy.ts"
import { edgeBytes, imageSource, type Task, taskGraph, type TaskGraph } from "../../supernet/TaskGraph.ts"
import { type Condition, type ConditionDevice, msPerByte } from "./Condition.ts"
import { defaultOverheads, messageMsPerByte, type Overheads, wireBytes } from "./Overheads.ts"

export interface TaskSpan {
  readonly kind: "task"
  readonly index: number
  readonly task: Task
  readonly device: number
  /** All inputs are there; the device begins; the outputs are ready to be sent. ms since the request's arrival. */
  readonly readyMs: number
  readonly startMs: number
  readonly endMs: number
  readonly time: TaskTime
}

export interface TransferSpan {
  readonly kind: "transfer"
  /** Edge index; the result message comes after the last edge. */
  readonly index: number
  readonly what: "image" | "tile" | "result"
  readonly from: number
  readonly to: number
  readonly bytes: number
  readonly readyMs: number
  /** On the sender's up-link, and on the receiver's down-link. */
  readonly upStartMs: number
  readonly upEndMs: number
  readonly downReadyMs: number
  readonly downStartMs: number
  readonly downEndMs: number
  readonly arriveMs: number
}

export interface Timeline {
  readonly strategy: Strategy
  readonly graph: TaskGraph
  /** In the order of `Strategy.devices`. */
  readonly devices: ReadonlyArray<ConditionDevice>
  readonly latencyMs: number
  /** When the image is decoded and cut, and how long the reply takes at the end. */
  readonly imageReadyMs: number
  readonly replyMs: number
  /** By index. */
  readonly tasks: ReadonlyArray<TaskSpan>
  /** In order of arrival; edges that stay on a device are not among them. */
  readonly transfers: ReadonlyArray<TransferSpan>
}

export interface TimelineInput {
  readonly spec: SupernetSpec
  /** Normalised and valid; its first device is the condition's local one. */
  readonly strategy: Strategy
  readonly condition: Condition
  readonly profileOf: (name: string) => DeviceProfile
  readonly overheads?: Overheads
}

interface Pending {
  readonly readyMs: number
  readonly order: number
  readonly serve: () => void
}

/** Serves pending items by readiness; equal times by kind and index, so that both implementations agree on ties. */
const runInOrder = (pending: Array<Pending>) => {
  while (pending.length > 0) {
    let best = 0
    for (const [i, p] of pending.entries()) {
      const b = pending[best]
      if (b !== undefined && (p.readyMs < b.readyMs || (p.readyMs === b.readyMs && p.order < b.order)))
        best = i
    }
    pending.splice(best, 1)[0]?.serve()
  }
}

const rank = { task: 0, up: 1 << 16, down: 2 << 16 }

const conditionDevices = (condition: Condition, strategy: Strategy): ReadonlyArray<ConditionDevice> =>
  strategy.devices.map((id) => {
    const device = condition.devices.find((d) => d.id === id)
    if (device === undefined) {
      throw new RangeError(
        `device ${id} is not in the condition: ${condition.devices.map((d) => d.id).join(", ")}`,
      )
    }
    return device
  })

/** One simulation: owns the resources' free times and the queue of what is ready. */
class Simulation {
  readonly overheads: Overheads
  readonly graph: TaskGraph
  readonly devices: ReadonlyArray<ConditionDevice>
  readonly profiles: ReadonlyArray<DeviceProfile>
  readonly spec: SupernetSpec
  readonly pending: Array<Pending> = []
  readonly deviceFree: Array<number>
  readonly upFree: Array<number>
  readonly downFree: Array<number>
  readonly missing: Array<number>
  readonly inputsAt: Array<number>
  readonly tasks: Array<TaskSpan> = []
  readonly transfers: Array<TransferSpan> = []
  finishedMs = 0

  constructor(input: TimelineInput) {
    this.overheads = input.overheads ?? defaultOverheads
    this.graph = taskGraph(input.spec, input.strategy)
    this.devices = conditionDevices(input.condition, input.strategy)
    this.profiles = this.devices.map((d) => input.profileOf(d.profile))
    this.spec = input.spec
    const zeros = this.devices.map(() => 0)
    this.deviceFree = this.devices.map((d) => d.backlogMs ?? 0)
    this.upFree = [...zeros]
    this.downFree = [...zeros]
    this.missing = this.graph.tasks.map((t) => t.inputs.length)
    this.inputsAt = this.graph.tasks.map(() => 0)
  }

  /** An input of a task is there; with the last one the task waits for its device. */
  arrived(taskIndex: number, atMs: number) {
    this.inputsAt[taskIndex] = Math.max(this.inputsAt[taskIndex] ?? 0, atMs)
    this.missing[taskIndex] = (this.missing[taskIndex] ?? 0) - 1
    if (this.missing[taskIndex] !== 0) return
    const readyMs = this.inputsAt[taskIndex] ?? 0
    this.pending.push({
      readyMs,
      order: rank.task + taskIndex,
      serve: () => this.runTask(taskIndex, readyMs),
    })
  }

  runTask(index: number, readyMs: number) {
    const task = this.graph.tasks[index]
    const profile = this.profiles[task?.device ?? -1]
    if (task === undefined || profile === undefined) throw new RangeError(`no task ${index}`)
    const time = taskTime(profile, this.spec, this.graph, task)
    const startMs = Math.max(readyMs, this.deviceFree[task.device] ?? 0)
    const endMs = startMs + (this.overheads.taskMs + time.dequantiseMs + time.computeMs + time.quantiseMs)
    this.deviceFree[task.device] = endMs
    this.tasks[index] = { kind: "task", index, task, device: task.device, readyMs, startMs, endMs, time }
    for (const edge of task.outputs) this.release(edge, endMs)
    if (index === this.graph.tasks.length - 1) this.reply(task.device, endMs)
  }

  /** An edge's data exists on the producer's device. */
  release(edgeIndex: number, readyMs: number) {
    const edge = this.graph.edges[edgeIndex]
    if (edge === undefined) throw new RangeError(`no edge ${edgeIndex}`)
    if (!edge.crosses) return this.arrived(edge.to, readyMs)
    const what = edge.from === imageSource ? "image" : "tile"
    this.send(edgeIndex, what, edge.fromDevice, edge.toDevice, edgeBytes(edge), readyMs, (at) =>
      this.arrived(edge.to, at),
    )
  }

  reply(headDevice: number, endMs: number) {
    if (headDevice === localDevice) this.finishedMs = endMs
    else {
      const bytes = 4 * this.spec.classes.length
      this.send(this.graph.edges.length, "result", headDevice, localDevice, bytes, endMs, (at) => {
        this.finishedMs = at
      })
    }
  }

  send(
    index: number,
    what: TransferSpan["what"],
    from: number,
    to: number,
    payloadBytes: number,
    readyMs: number,
    deliver: (atMs: number) => void,
  ) {
    const { overheads } = this
    const [sender, receiver] = [this.devices[from]?.link, this.devices[to]?.link]
    if (sender === undefined || receiver === undefined) throw new RangeError(`no link ${from} -> ${to}`)
    const bytes = wireBytes(overheads, payloadBytes)
    const [upRate, downRate] = [msPerByte(sender.upMbps), msPerByte(receiver.downMbps)]
    const chunk = Math.min(bytes, chunkBytesAt(Math.max(upRate, downRate), overheads.chunkBytes))
    const up = () => {
      const upStartMs = Math.max(readyMs, this.upFree[from] ?? 0)
      const upEndMs = upStartMs + bytes * upRate
      this.upFree[from] = upEndMs
      const downReadyMs =
        Math.max(upStartMs + chunk * upRate, upEndMs + (chunk * downRate - bytes * downRate)) + sender.delayMs
      const down = () => {
        const downStartMs = Math.max(downReadyMs, this.downFree[to] ?? 0)
        const downEndMs = downStartMs + bytes * downRate
        this.downFree[to] = downEndMs
        const arriveMs =
          downEndMs + (receiver.delayMs + overheads.messageMs + bytes * messageMsPerByte(overheads))
        const sent = { kind: "transfer", index, what, from, to, bytes, readyMs, upStartMs, upEndMs } as const
        this.transfers.push({ ...sent, downReadyMs, downStartMs, downEndMs, arriveMs })
        deliver(arriveMs)
      }
      this.pending.push({ readyMs: downReadyMs, order: rank.down + index, serve: down })
    }
    this.pending.push({ readyMs, order: rank.up + index, serve: up })
  }
}

/** Predicts one request's latency under a condition, with all that happens in it. */
export const timeline = (input: TimelineInput): Timeline => {
  const s = new Simulation(input)
  const imageReadyMs = s.overheads.requestMs + (s.profiles[localDevice]?.decodeMs ?? 0)
  for (const edge of s.graph.edges) if (edge.from === imageSource) s.release(edge.index, imageReadyMs)
  runInOrder(s.pending)
  const { replyMs } = s.overheads
  const { graph, devices, tasks } = s
  const transfers = [...s.transfers].sort((a, b) => a.arriveMs - b.arriveMs || a.index - b.index)
  const latencyMs = s.finishedMs + replyMs
  return { strategy: input.strategy, graph, devices, latencyMs, imageReadyMs, replyMs, tasks, transfers }
}
