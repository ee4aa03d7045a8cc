/**
 * Collects a thread's garbage in moments in which it has nothing to do, and every few minutes where there are none. V8 lets a
 * heap grow to a multiple of what lives before it collects everything (`actors/Garbage.ts`); in a thread that makes little garbage
 * that takes hours, in which a process only grows.
 */
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** Garbage that is worth a collection, bytes: below it, one gains less than it costs. */
const worthBytes = 16e6
export const lookEveryMs = 1000
/** A collection stops the thread for 10 to 40 ms: not more often than so many looks. */
const restLooks = 5
/** Threads that compute: it is their time that is scarce, and growth over minutes does no harm. */
const threadRestLooks = 60
/**
 * So much is collected though something is under way, after so many looks: on a small device it is memory that others lack, and a
 * pause in every twenty seconds is met by hardly any request.
 */
const pressing = { bytes: 40e6, looks: 20 }
/** After so many looks a thread collects though it is never found idle, and though there is little to gain. */
const overdueLooks = 120
const overdueBytes = 2e6

export interface Heap {
  /** What V8 holds, buffers outside its heap included. */
  readonly bytes: () => number
  readonly collect: () => void
}

/** This thread's own heap. */
export const ownHeap = (): Heap => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  return {
    bytes: () => {
      const { used_heap_size: used, external_memory: external } = getHeapStatistics()
      return used + external
    },
    collect,
  }
}

/** Gives what is to be called every `lookEveryMs`. */
export const tidier = (isBusy: () => boolean, heap: Heap, rest = restLooks): (() => void) => {
  // Starting leaves garbage too: of all that is there then, nobody knows how much.
  let [after, rested] = [0, 0]
  return () => {
    rested++
    // V8 collects by itself too.
    after = Math.min(after, heap.bytes())
    const garbage = heap.bytes() - after
    const isOverdue = rested >= overdueLooks && garbage >= overdueBytes
    const isPressing = rested >= Math.max(rest, pressing.looks) && garbage >= pressing.bytes
    const isWorthIt = rested >= rest && garbage >= worthBytes && !isBusy()
    if (!isOverdue && !isPressing && !isWorthIt) return
    heap.collect()
    after = heap.bytes()
    rested = 0
  }
}

/** As long as this thread lives, which it does not keep alive. */
export const tidyThread = (isBusy: () => boolean): void => {
  setInterval(tidier(isBusy, ownHeap(), threadRestLooks), lookEveryMs).unref()
}
