/** How late this device's timers fire, and how much of its time it computes: what beats say about its load. */

/** Event-loop lag between two beats: how much later than asked a timer fires. */
export const lagMeter = () => {
  let last = performance.now()
  return (everyMs: number) => {
    const now = performance.now()
    const lag = Math.max(0, now - last - everyMs)
    last = now
    return lag
  }
}

/** Share of the time since the last reading that was spent computing, 0 to 1. */
export const busyMeter = (computeMs: () => number) => {
  let last = { at: performance.now(), ms: computeMs() }
  return () => {
    const now = { at: performance.now(), ms: computeMs() }
    const share = (now.ms - last.ms) / Math.max(1, now.at - last.at)
    last = now
    return Math.min(1, Math.max(0, share))
  }
}
