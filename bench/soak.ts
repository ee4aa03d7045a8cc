/**
 * A long run at half load: whether any process grows, and whether answers take longer in the end than in the beginning.
 * `--minutes N` (default 30); what is reported is what was really run.
 */
import { readFileSync } from "node:fs"
import { Effect, Fiber, Schedule } from "effect"
import type { SwarmBox } from "../deploy/SwarmBox.ts"
import { seededRandom } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, type Row } from "./Bench.ts"
import { fiveDevices } from "./chaos/FiveDevices.ts"
import { answersOf, endings, withinSlo } from "./chaos/Measures.ts"
import { picturesFrom, picturesOf, wishes } from "./chaos/Pictures.ts"
import { type Outcome, stream } from "./chaos/Traffic.ts"

interface Sample {
  readonly atMs: number
  readonly rssMb: number
}

const sampleEveryMs = 5000
/** Sessions are built and caches filled in the beginning; growth is what comes after this share of the time. */
const warmShare = 1 / 3
/** A latency of 100 ms at this rate keeps five devices about half busy in slow motion 3. */
const halfLoadPerSecond = 12

/** Resident memory of a process, MB; undefined when it is gone or this system does not tell. */
const rssMb = (pid: number): number | undefined => {
  try {
    const kb = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return kb === undefined ? undefined : Number(kb) / 1024
  } catch {
    return undefined
  }
}

const processesOf = (box: SwarmBox): ReadonlyMap<string, number> =>
  new Map([
    ...box.devices.flatMap((d): Array<[string, number]> => [
      [`device ${d.id}`, d.pid()],
      [`leaf ${d.id}`, d.leaf().pid],
    ]),
    ["hub", box.hub().pid],
  ])

/** MB per hour by least squares over the samples after the warm-up. */
export const slopePerHour = (samples: ReadonlyArray<Sample>): number => {
  const late = samples.slice(Math.floor(samples.length * warmShare))
  const n = late.length
  if (n < 3) return 0
  const [mt, mm] = [late.reduce((s, x) => s + x.atMs, 0) / n, late.reduce((s, x) => s + x.rssMb, 0) / n]
  const top = late.reduce((s, x) => s + (x.atMs - mt) * (x.rssMb - mm), 0)
  const bottom = late.reduce((s, x) => s + (x.atMs - mt) ** 2, 0)
  return bottom === 0 ? 0 : (top / bottom) * 3_600_000
}

const soak = (minutes: number, perSecond: number, slow: number, seed: number) =>
  Effect.gen(function* () {
    const pictures = yield* Effect.promise(() => picturesOf(seededRandom(seed)))
    const { box, clients } = yield* fiveDevices(slow)
    const wish = wishes(pictures, slow, 10_000, seededRandom(seed + 1))
    const memory = new Map<string, Array<Sample>>()
    const startMs = performance.now()
    let done = 0
    const look = Effect.sync(() => {
      const atMs = performance.now() - startMs
      for (const [name, pid] of processesOf(box)) {
        const mb = rssMb(pid)
        if (mb !== undefined) memory.set(name, [...(memory.get(name) ?? []), { atMs, rssMb: mb }])
      }
      const most = Math.max(...[...memory.values()].map((m) => m.at(-1)?.rssMb ?? 0))
      if (Math.round(atMs / sampleEveryMs) % 12 === 0)
        console.log(
          `${(atMs / 60_000).toFixed(1)} min: ${done} requests done, largest process ${most.toFixed(0)} MB`,
        )
    })
    const watching = yield* Effect.forkChild(Effect.repeat(look, Schedule.spaced(sampleEveryMs)))
    const count = Math.round(minutes * 60 * perSecond)
    const outcomes = yield* stream(clients, { perSecond, count, wish }, () => void done++)
    yield* Fiber.interrupt(watching)
    return { outcomes, memory, minutes: (performance.now() - startMs) / 60_000 }
  }).pipe(Effect.scoped)

const medianMs = (outcomes: ReadonlyArray<Outcome>) =>
  median(answersOf(outcomes).map((o) => o.doneMs - o.sentMs))

const run = async ({ quick, seed, arguments: given }: BenchOptions): Promise<BenchResult> => {
  const number = (name: string, otherwise: number) => Number(given.get(name) ?? otherwise)
  const [slow, perSecond] = [number("slow", 3), number("rate", halfLoadPerSecond)]
  const { outcomes, memory, minutes } = await Effect.runPromise(
    soak(number("minutes", quick ? 1 : 30), perSecond, slow, seed),
  )
  const inOrder = outcomes.toSorted((a, b) => a.sentMs - b.sentMs)
  const third = Math.floor(inOrder.length / 3)
  const [early, late] = [medianMs(inOrder.slice(third, 2 * third)), medianMs(inOrder.slice(2 * third))]
  const rows = [...memory].map(([process, samples]): Row => ({
    process,
    "MB after a third": samples[Math.floor(samples.length * warmShare)]?.rssMb ?? Number.NaN,
    "MB at the end": samples.at(-1)?.rssMb ?? Number.NaN,
    "MB per hour": slopePerHour(samples),
  }))
  const slopes = rows.map((r) => Number(r["MB per hour"]))
  return {
    kind: "measured",
    checks: [
      { name: "minutes", value: minutes, op: ">=", bound: 30 },
      { name: "rss_slope_mb_per_h", value: Math.max(...slopes), op: "<=", bound: 5 },
      { name: "latency_last_over_middle_third", value: late / early, op: "<=", bound: 1.1 },
      {
        name: "unanswered",
        value: outcomes.filter((o) => o.end.kind === "silence").length,
        op: "=",
        bound: 0,
      },
    ],
    rows,
    notes: [
      `${outcomes.length} requests at ${perSecond}/s over five emulated Raspberry Pi 4s in slow motion (${slow} times), ${picturesFrom()}: ${endings(outcomes)}; ${(100 * withinSlo(outcomes)).toFixed(1)} % within their objective`,
      "slope: least squares over the last two thirds of the time, of the process that grows fastest",
    ],
  }
}

export const bench: BenchModule = {
  name: "soak",
  proves: "half an hour at half load leaves memory and latency where they were",
  takes: "31 minutes (--minutes N)",
  run,
}
