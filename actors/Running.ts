/** One attempt of one request, as a device that has a part in it sees it. */
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { Piece } from "../devices/engine/Pieces.ts"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { type RequestWork, requestWork } from "./RequestWork.ts"
import { attemptKey } from "./Results.ts"

export interface Running {
  readonly key: string
  readonly requestId: RequestId
  readonly attempt: number
  readonly prepared: PreparedStrategy
  readonly work: RequestWork
  /** Pieces from other devices (and of the image) by task. */
  readonly pieces: Map<number, Array<Piece>>
  readonly firstInputMs: Map<number, number>
  /** Of pieces, from when they came until the task that they are for has run. */
  heldBytes: number
  /** A task could not be run, or its output not be sent: nothing more of it begins, and nobody hears of it again. */
  hasFailed: boolean
  /** Monotonic time after which nobody waits for it. */
  readonly expiresMs: number
}

/** Kept this long beyond the request's budget: a slow link may still bring what is missing. */
const graceMs = 2000
/** For tiles without a budget, and the most that a tile can claim. */
const defaultBudgetMs = 30_000
const maxBudgetMs = 600_000

export const startRunning = (
  requestId: RequestId,
  attempt: number,
  prepared: PreparedStrategy,
  budgetMs: number,
): Running => ({
  key: attemptKey(requestId, attempt),
  requestId,
  attempt,
  prepared,
  work: requestWork(prepared.graph, prepared.device),
  pieces: new Map(),
  firstInputMs: new Map(),
  heldBytes: 0,
  hasFailed: false,
  expiresMs: performance.now() + (budgetMs > 0 ? Math.min(budgetMs, maxBudgetMs) : defaultBudgetMs) + graceMs,
})

/** The device that serves the request. */
export const originOf = ({ prepared }: Running): DeviceId => (prepared.strategy.devices[0] ?? "") as DeviceId

/** Time left to the request, ms; negative in the time that it is kept beyond it. */
export const budgetLeftMs = ({ expiresMs }: Running): number => expiresMs - graceMs - performance.now()

/** Takes an input in; gives the tasks that it completes. What has arrived before, or belongs elsewhere, is left out. */
export const takeIn = (r: Running, piece: Piece): ReadonlyArray<number> => {
  const { prepared, work, pieces, firstInputMs } = r
  const task = prepared.graph.edges[piece.edge]?.to ?? -1
  const arrival = work.arrive(piece.edge)
  if (arrival.kind !== "taken") return []
  r.heldBytes += piece.data.byteLength
  pieces.set(task, [...(pieces.get(task) ?? []), piece])
  if (!firstInputMs.has(task)) firstInputMs.set(task, performance.now())
  return arrival.ready
}

/** What a task that is ready runs on, and how long it was gathered. */
export const takeOut = ({ pieces, firstInputMs }: Running, task: number) => {
  const nowMs = performance.now()
  const inputs = pieces.get(task) ?? []
  pieces.delete(task)
  const bytesIn = inputs.reduce((sum, p) => sum + p.data.byteLength, 0)
  return { inputs, gathered: { task, gatherMs: nowMs - (firstInputMs.get(task) ?? nowMs), bytesIn } }
}
