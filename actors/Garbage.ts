/**
 * When V8 collects all garbage: rarely under load, and in quiet moments instead. A device makes little of it but moves large
 * buffers, and V8's default lets the heap grow by a third of what lives before it collects everything: about once a second
 * under load, and each time the event loop or the inference worker stands still for some milliseconds, which is the tail of
 * latencies. The other threads of a device tidy up themselves (`devices/engine/Garbage.ts`).
 */
import { totalmem } from "node:os"
import { setFlagsFromString } from "node:v8"
import { Effect, Schedule } from "effect"
import { lasting } from "../subjects/Lasting.ts"
import { type Heap, lookEveryMs, ownHeap, tidier } from "../devices/engine/Garbage.ts"

/** What a heap may grow to before it is collected, beyond what was alive after the last time. */
const growthPercent = 200
/** Bytes of memory from which on that is worth it; a device with less keeps V8's default. */
const fromBytes = 1.5e9

/** Holds for all threads of this process, those that start later too. */
export const collectRarely = (): void => {
  if (totalmem() >= fromBytes) setFlagsFromString(`--heap-growing-percent=${growthPercent}`)
}

/**
 * For ever: collects in moments in which nothing is under way; where there are none, when much has gathered, or every two
 * minutes. Otherwise the buffers of tiles long gone pile up between sessions that come and go, and the process grows by what lies
 * between them.
 */
export const collectWhenIdle = (isBusy: () => boolean, heap: Heap = ownHeap()): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.repeat(lasting("collections", Effect.sync(tidier(isBusy, heap))), Schedule.spaced(lookEveryMs)),
  )
