/**
 * Outputs that wait for their next task on the same device: they stay in the worker, uncopied, until every local edge
 * that starts at them has been used. Bounded by bytes; when full, the request that has waited longest loses its values
 * (its next task fails, and the Scheduler plans again).
 */
import type { Map3 } from "./Pieces.ts"

interface Entry {
  readonly map: Map3
  uses: number
}

export class Activations {
  readonly #requests = new Map<string, Map<number, Entry>>()
  readonly #budgetBytes: number
  #bytes = 0
  #evicted = 0

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** Keeps the output of a task for as many uses as local edges start at it. */
  keep(requestId: string, task: number, map: Map3, uses: number): void {
    const entries = this.#requests.get(requestId) ?? new Map<number, Entry>()
    this.#requests.set(requestId, entries)
    entries.set(task, { map, uses })
    this.#bytes += map.data.byteLength
    for (const oldest of this.#requests.keys()) {
      if (this.#bytes <= this.#budgetBytes || oldest === requestId) break
      this.drop(oldest)
      this.#evicted++
    }
  }

  /** The output of a task, without using it up. */
  peek(requestId: string, task: number): Map3 | undefined {
    return this.#requests.get(requestId)?.get(task)?.map
  }

  /** One edge has been served. Gives the output back when it was the last: nobody needs it any more. */
  use(requestId: string, task: number): Map3 | undefined {
    const entries = this.#requests.get(requestId)
    const entry = entries?.get(task)
    if (entries === undefined || entry === undefined || --entry.uses > 0) return undefined
    entries.delete(task)
    this.#bytes -= entry.map.data.byteLength
    if (entries.size === 0) this.#requests.delete(requestId)
    return entry.map
  }

  /** Forgets what is left of a request. */
  drop(requestId: string): void {
    for (const { map } of this.#requests.get(requestId)?.values() ?? []) this.#bytes -= map.data.byteLength
    this.#requests.delete(requestId)
  }

  get stats(): { readonly requests: number; readonly bytes: number; readonly evicted: number } {
    return { requests: this.#requests.size, bytes: this.#bytes, evicted: this.#evicted }
  }
}
