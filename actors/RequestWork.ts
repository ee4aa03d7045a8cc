/**
 * What one device has to do for one attempt of one request: its own tasks of the task graph, and which of their inputs have
 * arrived. Plain bookkeeping; the Executor acts on what it says.
 */
import type { TaskGraph } from "../supernet/TaskGraph.ts"

/** `ready`: tasks whose last input this was. `duplicate`: it had arrived before. `foreign`: not an input of this device. */
export interface Arrival {
  readonly kind: "taken" | "duplicate" | "foreign"
  readonly ready: ReadonlyArray<number>
}

export interface RequestWork {
  /** Marks an edge's data as present on this device. */
  readonly arrive: (edge: number) => Arrival
  /** Marks a task as done; its local outputs count as arrived. Tasks that became ready through it. */
  readonly done: (task: number) => ReadonlyArray<number>
  readonly tasks: ReadonlyArray<number>
  readonly remaining: () => number
  /** Edges that tasks of this device still wait for: what is late when a request stalls. */
  readonly missing: () => ReadonlyArray<number>
}

export const requestWork = (graph: TaskGraph, device: number): RequestWork => {
  const tasks = graph.tasks.filter((t) => t.device === device)
  const waiting = new Map(tasks.map((t) => [t.index, new Set(t.inputs)]))
  const open = new Set(tasks.map((t) => t.index))
  const arrive = (index: number): Arrival => {
    const edge = graph.edges[index]
    const missing = edge === undefined ? undefined : waiting.get(edge.to)
    if (edge === undefined || missing === undefined) return { kind: "foreign", ready: [] }
    if (!missing.delete(index)) return { kind: "duplicate", ready: [] }
    return { kind: "taken", ready: missing.size === 0 ? [edge.to] : [] }
  }
  return {
    arrive,
    done: (task) => {
      open.delete(task)
      const local = graph.tasks[task]?.outputs.filter((e) => graph.edges[e]?.crosses === false) ?? []
      return local.flatMap((e) => arrive(e).ready)
    },
    tasks: tasks.map((t) => t.index),
    remaining: () => open.size,
    missing: () => [...open].flatMap((t) => [...(waiting.get(t) ?? [])]),
  }
}
