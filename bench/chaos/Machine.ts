/** What a bench of many processes asks of the machine: how busy all cores are, and the memory and computation of a process. */
import { readFileSync } from "node:fs"
import { cpus } from "node:os"

const coreTimes = () => {
  let [busy, idle] = [0, 0]
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq
    idle += times.idle
  }
  return { busy, idle }
}

/** Share of all cores that was in use, by whomever, since the last call; 0..1. */
export const cpuMeter = (): (() => number) => {
  let last = coreTimes()
  return () => {
    const now = coreTimes()
    const [busy, idle] = [now.busy - last.busy, now.idle - last.idle]
    last = now
    return busy + idle <= 0 ? 0 : busy / (busy + idle)
  }
}

/** Resident memory of a process, MB; undefined when it is gone or this system does not tell. */
export const rssMb = (pid: number): number | undefined => {
  try {
    const kb = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return kb === undefined ? undefined : Number(kb) / 1024
  } catch {
    return undefined
  }
}

/** Ticks of a second in /proc/PID/stat: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** Computation of a process since its start, seconds; undefined when it is gone or this system does not tell. */
export const cpuSeconds = (pid: number): number | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The name in parentheses may contain anything; user and system time are the 12th and 13th field after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  } catch {
    return undefined
  }
}
