/**
 * How late this device's timers fire, and how much of its time it computes: what beats say about its load, and whether it can
 * tell that others are silent.
 */

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

/** Rounds in a row. After a pause one is late, or a few while what was missed is read. */
const mostSkipped = 4

/**
 * Whether to judge the silence of others now, by how late the timer that asks fires. After a pause of this process (a busy
 * thread, SIGSTOP) their messages are still to be read: they were not silent. But a process that is always late would never
 * notice anybody's absence: after some rounds it judges all the same, by what it has read in them.
 */
export const silenceJudge = (pauseMs: number) => {
  let skipped = 0
  return (lagMs: number): boolean => {
    skipped = lagMs > pauseMs && skipped < mostSkipped ? skipped + 1 : 0
    return skipped === 0
  }
}
