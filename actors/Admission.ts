/**
 * How much a device takes on: requests in flight, the wait that a new one can expect, and how long to be patient with a
 * try. All from recent experience of this device; nothing is configured for a machine.
 */
import { Effect } from "effect"

export interface Admission {
  readonly inFlight: () => number
  /** How long a request waits before its own work if so many go before it, from the recent rate of answers. */
  readonly predictedWaitMs: (ahead: number) => number
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** A try took this long although so much had been predicted. */
  readonly observe: (predictedMs: number, tookMs: number) => void
  /** When a try of this predicted latency is overdue: nine of ten were done by then. */
  readonly overdueMs: (predictedMs: number) => number
  /** How long to wait for a try of this predicted latency before giving up on the devices that hold it. */
  readonly patienceMs: (predictedMs: number) => number
}

/** Answers that are remembered. */
const window = 64
/** Fewer intervals say too little about the rate. */
const enough = 8
/** With this many still in flight there is always work: the time to the next answer shows how fast the device is. */
const busyLevel = 4
/** A try may take twice what it usually takes compared to its prediction, plus a hiccup of a loaded Pi. */
const patienceFactor = 2
const patienceFloorMs = 250
/** A pause of a loaded event loop is not a lost device. */
const hiccupMs = 50

export const admission = (concurrency: number, clock: () => number = () => performance.now()): Admission => {
  const ratios: Array<number> = []
  const intervals: Array<number> = []
  let inFlight = 0
  /** The last answer, if the device has been busy ever since. */
  let busySinceMs: number | undefined
  const rememberIn = (list: Array<number>, value: number) => {
    list.push(value)
    if (list.length > window) list.shift()
  }
  const finish = (answered: boolean) => {
    const now = clock()
    inFlight--
    // Only answers count: when everything times out, the rate of timeouts says nothing about the device.
    if (answered && busySinceMs !== undefined) rememberIn(intervals, now - busySinceMs)
    if (inFlight < busyLevel) busySinceMs = undefined
    else if (answered) busySinceMs = now
  }
  /** ms between two answers while there is always work; undefined until it is known. */
  const intervalMs = () =>
    intervals.length < enough ? undefined : intervals.reduce((a, b) => a + b, 0) / intervals.length
  const usualRatio = () => {
    const sorted = [...ratios].sort((a, b) => a - b)
    return Math.max(1, sorted[Math.floor(sorted.length * 0.9)] ?? 1)
  }
  return {
    inFlight: () => inFlight,
    predictedWaitMs: (ahead) =>
      ahead < Math.min(2 * busyLevel, concurrency) ? 0 : ahead * (intervalMs() ?? 0),
    run: (effect) =>
      Effect.suspend(() => {
        inFlight++
        return effect
      }).pipe(Effect.onExit((exit) => Effect.sync(() => finish(exit._tag === "Success")))),
    observe: (predictedMs, tookMs) => rememberIn(ratios, tookMs / Math.max(1, predictedMs)),
    overdueMs: (predictedMs) => usualRatio() * predictedMs + hiccupMs,
    // What the try waits for behind others is part of its prediction.
    patienceMs: (predictedMs) => patienceFactor * usualRatio() * predictedMs + patienceFloorMs,
  }
}
