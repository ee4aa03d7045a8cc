/**
 * How often V8 collects all garbage. A device makes little of it but moves large buffers, and V8's default lets the heap grow
 * by a third of what lives before it collects everything: about once a second under load, and each time the event loop
 * or the inference worker stands still for some milliseconds, which is the tail of latencies.
 */
import { totalmem } from "node:os"
import { setFlagsFromString } from "node:v8"

/** What a heap may grow to before it is collected, beyond what was alive after the last time. */
const growthPercent = 200
/** Bytes of memory from which on that is worth it; a device with less keeps V8's default. */
const fromBytes = 1.5e9

/** Holds for all threads of this process, those that start later too. */
export const collectRarely = (): void => {
  if (totalmem() >= fromBytes) setFlagsFromString(`--heap-growing-percent=${growthPercent}`)
}
