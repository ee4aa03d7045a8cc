/**
 * How much a device takes on: requests in flight, the wait that a new one can expect, and how long to be patient with a
 * try. All from recent experience of this device; nothing is configured for a machine.
 */
import { Effect } from "effect"

export interface Admission {
  readonly inFlight: () => number
  /** How long a request that is let in now waits before its own work, from the recent rate of answers. */
  readonly predictedWaitMs: () => number
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** A try took this long although so much had been predicted. */
  readonly observe: (predictedMs: number, tookMs: number) => void
  /** How long to wait for a try of this predicted latency before giving up on the devices that hold it. */
  readonly patienceMs: (predictedMs: number) => number
}

/** Answers that are remembered. */
const window = 64
/** A try may take twice what it usually takes compared to its prediction, plus a hiccup of a loaded Pi. */
const patienceFactor = 2
const patienceFloorMs = 250

export const admission = (concurrency: number): Admission => {
  const ratios: Array<number> = []
  const finished: Array<number> = []
  let inFlight = 0
  const rememberIn = (list: Array<number>, value: number) => {
    list.push(value)
    if (list.length > window) list.shift()
  }
  /** ms between two answers while there is always work. */
  const intervalMs = () => {
    const [first, last] = [finished[0], finished.at(-1)]
    return first === undefined || last === undefined || finished.length < 8
      ? 0
      : (last - first) / (finished.length - 1)
  }
  const usualRatio = () => {
    const sorted = [...ratios].sort((a, b) => a - b)
    return Math.max(1, sorted[Math.floor(sorted.length * 0.9)] ?? 1)
  }
  return {
    inFlight: () => inFlight,
    // Below a handful in flight the interval shows how rarely clients ask, not how fast the device is.
    predictedWaitMs: () => (inFlight < Math.min(8, concurrency) ? 0 : inFlight * intervalMs()),
    run: (effect) =>
      Effect.suspend(() => {
        inFlight++
        return effect
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            inFlight--
            rememberIn(finished, performance.now())
          }),
        ),
      ),
    observe: (predictedMs, tookMs) => rememberIn(ratios, tookMs / Math.max(1, predictedMs)),
    patienceMs: (predictedMs) => patienceFactor * usualRatio() * predictedMs + patienceFloorMs,
  }
}
