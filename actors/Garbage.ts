/**
 * When V8 collects all garbage: rarely under load, and in quiet moments instead. A device makes little of it but moves large buffers, and V8's default lets the heap grow
 * by a third of what lives before it collects everything: about once a second under load, and each time the event loop
 * or the inference worker stands still for some milliseconds, which is the tail of latencies.
 */
import { totalmem } from "node:os"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Effect, Schedule } from "effect"

/** What a heap may grow to before it is collected, beyond what was alive after the last time. */
const growthPercent = 200
/** Bytes of memory from which on that is worth it; a device with less keeps V8's default. */
const fromBytes = 1.5e9

/** Holds for all threads of this process, those that start later too. */
export const collectRarely = (): void => {
  if (totalmem() >= fromBytes) setFlagsFromString(`--heap-growing-percent=${growthPercent}`)
}

/** Garbage that is worth a collection, bytes: below it, one gains less than it costs. */
const worthBytes = 16e6
const lookEveryMs = 1000
/** A collection stops the event loop for 10 to 40 ms: not more often than so many looks. */
const restLooks = 5

export interface Heap {
  /** What V8 holds, buffers outside its heap included. */
  readonly bytes: () => number
  readonly collect: () => void
}

/** This thread's own heap. */
const ownHeap = (): Heap => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  return {
    bytes: () => {
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    },
    collect,
  }
}

/**
 * For ever: collects in moments in which nothing is under way. Otherwise the buffers of tiles long gone pile up between
 * sessions that come and go, and the process grows by what lies between them.
 */
export const collectWhenIdle = (isBusy: () => boolean, heap: Heap = ownHeap()): Effect.Effect<void> =>
  Effect.suspend(() => {
    let [after, rested] = [heap.bytes(), 0]
    const look = Effect.sync(() => {
      if (++rested < restLooks || isBusy() || heap.bytes() - after < worthBytes) return
      heap.collect()
      after = heap.bytes()
      rested = 0
    })
    return Effect.repeat(look, Schedule.spaced(lookEveryMs))
  })
