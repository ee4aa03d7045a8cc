/**
 * A long run at half load: whether any process grows, and whether answers take longer in the end than in the beginning.
 *
 * Slow motion keeps the machine itself idle most of the time: devices compute for real and hold each result until its
 * emulated time has passed. The time that is judged begins after a warm-up in which sessions are built and caches fill; it is
 * not part of `--minutes`, and what was resident at its end is in the rows. Every few minutes clients rest, so that devices collect
 * their garbage: what is resident then is what stays, and whether that grows is judged. `--minutes N --warm-up N --rate N --slow N`.
 */
import { Effect, Fiber, Schedule } from "effect"
import { allocatorText } from "../deploy/Allocator.ts"
import type { SwarmBox } from "../deploy/SwarmBox.ts"
import { seededRandom } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, mean, median, type Row } from "./Bench.ts"
import * as Flags from "./Flags.ts"
import { type FiveDevices, fiveDevices, teamText } from "./chaos/FiveDevices.ts"
import { floorCount, floors, growth, type Sample, slopePerHour } from "./chaos/Growth.ts"
import { cpuMeter, cpuSeconds, rssMb } from "./chaos/Machine.ts"
import { answersOf, endings, silences, withinSlo } from "./chaos/Measures.ts"
import { picturesFrom, picturesOf, slosOf, wishes } from "./chaos/Pictures.ts"
import { type Outcome, stream } from "./chaos/Traffic.ts"

interface Settings {
  readonly minutes: number
  readonly warmUpMinutes: number
  /** Times that clients rest in between and at the end, beside the one before. */
  readonly rests: number
  readonly perSecond: number
  readonly slow: number
  readonly memoryMb: number
  readonly seed: number
}

/** The five devices are about half busy at this rate in slow motion 1; more slowly, proportionally fewer. */
const halfLoadPerSecond = 440
/** Rows of the picture over time: everything within one is averaged. */
const slices = 6
const sampleEveryMs = 5000
/** Long enough for every thread to tidy up, and for the allocator to give back what that leaves. */
const restMs = 40_000
const tellEveryMs = 30_000
/** Requests may take several seconds in slow motion. */
const deadlinePerSlowMs = 2000

const settingsOf = ({ quick, seed, arguments: given }: BenchOptions): Settings => {
  const number = (name: string, otherwise: number) => Number(given.get(name) ?? otherwise)
  const slow = number("slow", 20)
  return {
    minutes: number("minutes", quick ? 1 : 30),
    warmUpMinutes: number("warm-up", quick ? 0.5 : 18),
    rests: quick ? 2 : 6,
    perSecond: number("rate", halfLoadPerSecond / slow),
    slow,
    memoryMb: number("memory-mb", 128),
    seed,
  }
}

interface Process {
  readonly name: string
  readonly pid: number
}

interface Grown extends Process {
  readonly samples: ReadonlyArray<Sample>
  /** At the end of each rest. */
  readonly rested: ReadonlyArray<Sample>
  /** Sessions built in the judged time; of devices only. */
  readonly built: number | undefined
  /** Share of one core over the judged time. */
  readonly cpuShare: number
}

const processesOf = (box: SwarmBox): ReadonlyArray<Process> => [
  ...box.devices.map((d) => ({ name: `device ${d.id}`, pid: d.pid() })),
  ...box.devices.map((d) => ({ name: `leaf ${d.id}`, pid: d.leaf().pid })),
  { name: "hub", pid: box.hub().pid },
]

interface Seen {
  readonly outcomes: ReadonlyArray<Outcome>
  /** When the judged time began, on the clock of the outcomes. */
  readonly startMs: number
  readonly minutes: number
  /** Without the rests. */
  readonly loadMinutes: number
  readonly processes: ReadonlyArray<Grown>
  /** Share of its time that a device computed or held a result, by its own beats, mean of all. */
  readonly busy: number
  /** Share of all cores that was in use, by whomever. */
  readonly cpu: number
}

/** Looks at every process and every beat while it runs. */
const observing = (swarm: FiveDevices, startMs: number, minutes: number) => {
  const builtBy = (name: string): number | undefined =>
    [...swarm.heard.last].find(([id]) => name === `device ${id}`)?.[1].status.built
  const all = processesOf(swarm.box).map((p) => ({
    ...p,
    samples: new Array<Sample>(),
    rested: new Array<Sample>(),
    from: cpuSeconds(p.pid),
    builtFrom: builtBy(p.name),
  }))
  const busy: Array<number> = []
  const cpus: Array<number> = []
  const cpuSince = cpuMeter()
  let [done, toldMs] = [0, performance.now()]
  let resting = false
  const tell = (atMs: number) => {
    const share = (values: ReadonlyArray<number>) => `${(100 * mean(values.slice(-6))).toFixed(0)} %`
    const sizes = all.slice(0, swarm.box.devices.length).map((p) => (p.samples.at(-1)?.rssMb ?? 0).toFixed(0))
    const statuses = [...swarm.heard.last.values()].map(({ status }) => status.sessions)
    const minute = `${(atMs / 60_000).toFixed(1)} of ${minutes} min`
    console.log(
      `${minute}: ${done} requests done, devices ${share(busy)} busy, cores ${share(cpus)}, devices' MB ${sizes.join(" ")}, sessions ${statuses.join(" ")}`,
    )
  }
  const look = Effect.sync(() => {
    const nowMs = performance.now()
    for (const { pid, samples } of all) {
      const mb = rssMb(pid)
      if (mb !== undefined) samples.push({ atMs: nowMs - startMs, rssMb: mb })
    }
    if (resting) return
    busy.push(mean([...swarm.heard.last.values()].map(({ status }) => status.load.busy)))
    cpus.push(cpuSince())
    if (nowMs - toldMs < tellEveryMs) return
    toldMs = nowMs
    tell(nowMs - startMs)
  })
  /** Nobody asks for a while; the lowest sample of its second half is what stays. */
  const rest = Effect.gen(function* () {
    resting = true
    const fromMs = performance.now() - startMs
    yield* Effect.sleep(restMs)
    for (const { samples, rested } of all) {
      const late = samples.filter((x) => x.atMs > fromMs + restMs / 2)
      if (late.length > 0) rested.push(late.reduce((a, b) => (b.rssMb < a.rssMb ? b : a)))
    }
    const sizes = all.slice(0, swarm.box.devices.length).map((p) => (p.rested.at(-1)?.rssMb ?? 0).toFixed(0))
    console.log(`at rest: devices' MB ${sizes.join(" ")}`)
    resting = false
  })
  const seen = (): Omit<Seen, "outcomes" | "minutes" | "loadMinutes"> => ({
    startMs,
    processes: all.map(({ name, pid, samples, rested, from, builtFrom }) => {
      const seconds = (performance.now() - startMs) / 1000
      const built = builtBy(name)
      return {
        name,
        pid,
        samples,
        rested,
        cpuShare: ((cpuSeconds(pid) ?? 0) - (from ?? 0)) / seconds,
        built: built === undefined ? undefined : built - (builtFrom ?? 0),
      }
    }),
    busy: mean(busy),
    cpu: mean(cpus),
  })
  return { look, rest, seen, onDone: () => void done++ }
}

const soak = (s: Settings) =>
  Effect.gen(function* () {
    const pictures = yield* Effect.promise(() => picturesOf(seededRandom(s.seed)))
    const swarm = yield* fiveDevices(s.slow, ["--memory-mb", String(s.memoryMb)])
    const wish = wishes(pictures, s.slow, deadlinePerSlowMs * s.slow, seededRandom(s.seed + 1))
    const { perSecond } = s
    const part = (minutes: number, onDone: () => void = () => undefined) =>
      stream(swarm.clients, { perSecond, count: Math.round(minutes * 60 * perSecond), wish }, onDone)
    console.log(`warming up for ${s.warmUpMinutes} min`)
    yield* part(s.warmUpMinutes)
    const startMs = performance.now()
    const { look, rest, seen, onDone } = observing(swarm, startMs, s.minutes)
    const watching = yield* Effect.forkChild(Effect.repeat(look, Schedule.fixed(sampleEveryMs)))
    const outcomes: Array<Outcome> = []
    let loadMs = 0
    yield* rest
    for (let i = 0; i < s.rests; i++) {
      const fromMs = performance.now()
      outcomes.push(...(yield* part(s.minutes / s.rests, onDone)))
      loadMs += performance.now() - fromMs
      yield* rest
    }
    yield* Fiber.interrupt(watching)
    const minutes = (performance.now() - startMs) / 60_000
    return { ...seen(), outcomes, minutes, loadMinutes: loadMs / 60_000 }
  }).pipe(Effect.scoped)

const latencyOf = (o: Outcome) => o.doneMs - o.sentMs
const medianMs = (outcomes: ReadonlyArray<Outcome>) => median(answersOf(outcomes).map(latencyOf))

const sliceRows = ({ outcomes, startMs, minutes, processes }: Seen): ReadonlyArray<Row> => {
  const lengthMs = (minutes * 60_000) / slices
  const isIn = (i: number) => (atMs: number) => atMs >= i * lengthMs && atMs < (i + 1) * lengthMs
  return Array.from({ length: slices }, (_, i) => {
    const within = outcomes.filter((o) => isIn(i)(o.sentMs - startMs))
    const largest = processes.map(({ samples }) =>
      mean(samples.filter((x) => isIn(i)(x.atMs)).map((x) => x.rssMb)),
    )
    return {
      what: `minutes ${((i * minutes) / slices).toFixed(1)} to ${(((i + 1) * minutes) / slices).toFixed(1)}`,
      requests: within.length,
      "p50 ms": medianMs(within),
      "within SLO": withinSlo(within),
      "largest process MB": Math.max(...largest),
    }
  })
}

const processRows = (processes: ReadonlyArray<Grown>): ReadonlyArray<Row> =>
  processes.map(({ name, samples, rested, cpuShare, built }) => {
    const [stays, underLoad] = [growth(rested), growth(floors(samples))]
    return {
      what: name,
      "MB after warm-up": rested[0]?.rssMb ?? Number.NaN,
      "MB at the end": rested.at(-1)?.rssMb ?? Number.NaN,
      "highest MB": Math.max(...samples.map((x) => x.rssMb)),
      "MB per hour": stays.slope,
      "+-": stays.error,
      "per hour under load": underLoad.slope,
      "+- under load": underLoad.error,
      "share of a core": cpuShare,
      ...(built === undefined ? {} : { "sessions built": built }),
    }
  })

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const s = settingsOf(options)
  const seen = await Effect.runPromise(soak(s))
  const { outcomes, minutes } = seen
  const latency = slopePerHour(answersOf(outcomes).map((o) => [o.sentMs, latencyOf(o)] as const))
  const third = (minutes * 60_000) / 3
  const at = (o: Outcome) => o.sentMs - seen.startMs
  const [early, late] = [outcomes.filter((o) => at(o) < third), outcomes.filter((o) => at(o) >= 2 * third)]
  const rows = processRows(seen.processes)
  return {
    kind: "measured",
    checks: [
      { name: "minutes", value: seen.loadMinutes, op: ">=", bound: 30 },
      {
        name: "rss_slope_mb_per_h",
        value: Math.max(...rows.map((r) => Number(r["MB per hour"]))),
        op: "<=",
        bound: 5,
      },
      {
        name: "latency_last_over_first_third",
        value: medianMs(late) / medianMs(early),
        op: "<=",
        bound: 1.1,
      },
      { name: "lost", value: silences(outcomes).lost, op: "=", bound: 0 },
      { name: "load", value: seen.busy, op: "within", bound: [0.4, 0.6] },
    ],
    rows: [...rows, ...sliceRows(seen)],
    notes: [
      `${outcomes.length} requests at ${s.perSecond}/s over five emulated devices (${teamText}) in slow motion (${s.slow} times), objectives ${JSON.stringify(slosOf(s.slow))}, ${picturesFrom()}: ${endings(outcomes)}; ${(100 * withinSlo(outcomes)).toFixed(1)} % within their objective`,
      `before that, ${s.warmUpMinutes} min of the same requests: sessions are built and caches fill, which is growth; not judged. Each device may keep ${s.memoryMb} MB of models, so that its cache of sessions is full and replaces old ones all the time; it asks ${allocatorText()} for memory`,
      `memory slope: least squares over what was resident at the ends of ${s.rests + 1} rests of ${restMs / 1000} s, of the process that grows fastest; under load: over the lowest sample of each of ${floorCount} parts of the time, between which garbage comes and goes in waves (a sample every ${sampleEveryMs / 1000} s); latency slope: ${latency.slope.toFixed(0)} +- ${latency.error.toFixed(0)} ms per hour at a median of ${medianMs(outcomes).toFixed(0)} ms`,
      `devices were ${(100 * seen.busy).toFixed(0)} % busy by their own beats; this machine's cores ${(100 * seen.cpu).toFixed(0)} %`,
    ],
  }
}

export const bench: BenchModule = {
  name: "soak",
  proves: "half an hour at half load leaves memory and latency where they were",
  takes: "55 minutes",
  flags: {
    minutes: Flags.positive("N: length of the measurement (default: 30)"),
    "warm-up": Flags.notNegative("N: minutes before it (default: 18)"),
    rate: Flags.positive("N: requests a second (default: half load)"),
    slow: Flags.positive("N: slow motion, how many times (default: 20)"),
    "memory-mb": Flags.positive("N: MB of models that a device may keep (default: 128)"),
  },
  run,
}
