/** How far a try has come, as the serving device hears it: which tasks are done, and so whom the others wait for. */
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { TaskTiming } from "../subjects/InferMessages.ts"
import { localDevice, type Strategy } from "../supernet/Strategy.ts"
import { imageSource, type TaskGraph } from "../supernet/TaskGraph.ts"

/** Devices (as indices) of tasks that are not done although everything that they need has been computed. */
export const awaitedDevices = (graph: TaskGraph, done: ReadonlySet<number>): ReadonlySet<number> => {
  const computed = (edge: number) => {
    const from = graph.edges[edge]?.from ?? imageSource
    return from === imageSource || done.has(from)
  }
  const awaited = graph.tasks.filter((t) => !done.has(t.index) && t.inputs.every(computed))
  return new Set(awaited.map((t) => t.device))
}

/**
 * Whether a try still needs a device (an index): it has tasks that are not done, or what it made has not arrived where it is
 * used. `missing`: inputs that the serving device itself lacks; of other devices only a task that is done tells that its
 * inputs arrived.
 */
export const stillNeeds = (
  graph: TaskGraph,
  device: number,
  done: ReadonlySet<number>,
  missing: ReadonlyArray<number>,
): boolean =>
  graph.tasks.some((t) => t.device === device && !done.has(t.index)) ||
  graph.edges.some(
    (e) =>
      e.crosses &&
      e.fromDevice === device &&
      !done.has(e.to) &&
      (e.toDevice !== localDevice || missing.includes(e.index)),
  )

export interface Progress {
  /** Set once the strategy is ready on all its devices. */
  prepared: PreparedStrategy | undefined
  /** Of the tasks that are done, by task as they come in. */
  timings: ReadonlyArray<TaskTiming>
}

export const noProgress = (): Progress => ({ prepared: undefined, timings: [] })

/** Other devices that a try waits for now; before it is ready everywhere that may be any of them. */
export const stragglers = (strategy: Strategy, { prepared, timings }: Progress): ReadonlyArray<DeviceId> => {
  const names = strategy.devices.map((d) => d as DeviceId)
  if (prepared === undefined) return names.slice(1)
  const awaited = awaitedDevices(prepared.graph, new Set(timings.map((t) => t.task)))
  const here = names[0]
  return [...awaited].flatMap((d) => {
    const name = prepared.strategy.devices[d] as DeviceId | undefined
    return name === undefined || name === here ? [] : [name]
  })
}
