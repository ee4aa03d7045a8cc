/**
 * What a device costs the machine that it runs on: memory and computation when nobody asks for anything, and under load.
 *
 * Five emulated devices as real processes; their computation is real, only their results are held. Memory is resident memory, with
 * what several processes of this machine share counted in each. `--minutes N` of load, `--slow N`, `--memory-mb N`.
 */
import { Effect } from "effect"
import { allocatorText } from "../deploy/Allocator.ts"
import { seededRandom } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, quantile, type Row } from "./Bench.ts"
import * as Flags from "./Flags.ts"
import { type FiveDevices, fiveDevices, teamText } from "./chaos/FiveDevices.ts"
import { cpuMeter, cpuSeconds, rssMb } from "./chaos/Machine.ts"
import { answersOf, endings, withinSlo } from "./chaos/Measures.ts"
import { picturesFrom, picturesOf, slosOf, wishes } from "./chaos/Pictures.ts"
import { stream } from "./chaos/Traffic.ts"

interface Settings {
  /** Of load, after as long a warm-up. */
  readonly minutes: number
  readonly idleSeconds: number
  readonly perSecond: number
  readonly slow: number
  readonly memoryMb: number
  readonly seed: number
}

const settingsOf = ({ quick, seed, arguments: given }: BenchOptions): Settings => {
  const slow = Number(given.get("slow") ?? 3)
  return {
    minutes: Number(given.get("minutes") ?? (quick ? 0.2 : 1.5)),
    idleSeconds: quick ? 8 : 45,
    perSecond: 36 / slow,
    slow,
    memoryMb: Number(given.get("memory-mb") ?? 128),
    seed,
  }
}

/** Of one device over a time. */
interface Use {
  readonly device: string
  readonly mb: number
  readonly cpuSeconds: number
  readonly seconds: number
}

/** Runs something; gives what it gave and what each device used meanwhile. Memory is that at the end. */
const used = <A, E>({ box }: FiveDevices, during: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const startMs = performance.now()
    const before = box.devices.map((d) => cpuSeconds(d.pid()) ?? 0)
    const result = yield* during
    const seconds = (performance.now() - startMs) / 1000
    const uses = box.devices.map((d, i): Use => {
      const cpu = (cpuSeconds(d.pid()) ?? 0) - (before[i] ?? 0)
      return { device: d.id, mb: rssMb(d.pid()) ?? Number.NaN, cpuSeconds: cpu, seconds }
    })
    return { result, uses }
  })

const measured = (s: Settings) =>
  Effect.gen(function* () {
    const pictures = yield* Effect.promise(() => picturesOf(seededRandom(s.seed)))
    const swarm = yield* fiveDevices(s.slow, ["--memory-mb", String(s.memoryMb)])
    const wish = wishes(pictures, s.slow, 10_000 * s.slow, seededRandom(s.seed + 1))
    const count = Math.round(s.minutes * 60 * s.perSecond)
    const load = stream(swarm.clients, { perSecond: s.perSecond, count, wish })
    // Sessions are built ahead for a while.
    yield* Effect.sleep(s.idleSeconds * 1000)
    console.log(`idle for ${s.idleSeconds} s`)
    const idle = yield* used(swarm, Effect.sleep(s.idleSeconds * 1000))
    console.log(`under load: warm-up, then ${s.minutes} min at ${s.perSecond} requests/s`)
    yield* load
    const cores = cpuMeter()
    const busy = yield* used(swarm, load)
    return { idle: idle.uses, busy: busy.uses, outcomes: busy.result, cores: cores() }
  }).pipe(Effect.scoped)

type Measured = Effect.Success<ReturnType<typeof measured>>

const coreShare = ({ cpuSeconds: cpu, seconds }: Use): number => cpu / seconds

const rowsOf = ({ idle, busy }: Measured): ReadonlyArray<Row> =>
  idle.map((before, i): Row => {
    const after = busy[i] ?? before
    return {
      device: before.device,
      "idle MB": before.mb,
      "idle share of a core": coreShare(before),
      "under load MB": after.mb,
      "under load share of a core": coreShare(after),
    }
  })

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const s = settingsOf(options)
  const seen = await Effect.runPromise(measured(s))
  const { idle, busy, outcomes, cores } = seen
  const answers = answersOf(outcomes)
  const latencies = answers.map((o) => o.doneMs - o.sentMs)
  const computed = busy.reduce((sum, u) => sum + u.cpuSeconds, 0)
  return {
    kind: "measured",
    checks: [
      { name: "idle_mb", value: Math.max(...idle.map((u) => u.mb)), op: "<=", bound: 400 },
      { name: "idle_core_share", value: Math.max(...idle.map(coreShare)), op: "<=", bound: 0.05 },
      { name: "compute_ms_per_request", value: (1000 * computed) / answers.length, op: "<=", bound: 60 },
    ],
    rows: rowsOf(seen),
    notes: [
      `${outcomes.length} requests at ${s.perSecond}/s over five emulated devices (${teamText}) in slow motion (${s.slow} times), objectives ${JSON.stringify(slosOf(s.slow))}, ${picturesFrom()}: ${endings(outcomes)}; ${(100 * withinSlo(outcomes)).toFixed(1)} % within their objective, p50 ${quantile(latencies, 0.5).toFixed(0)} ms, p99 ${quantile(latencies, 0.99).toFixed(0)} ms`,
      `each device may keep ${s.memoryMb} MB of models; what it builds ahead when idle is part of the idle memory; it asks ${allocatorText()} for memory`,
      `computation per request: user and system time of all five devices over the answers, everything included (planning, links, beats, garbage); this machine's cores were ${(100 * cores).toFixed(0)} % busy under load, by whomever`,
    ],
  }
}

export const bench: BenchModule = {
  name: "footprint",
  proves: "what a device costs in memory and computation, idle and under load",
  takes: "6 minutes",
  flags: {
    minutes: Flags.positive("N: of load, after as long a warm-up (default: 1.5)"),
    slow: Flags.positive("N: slow motion (default: 3)"),
    "memory-mb": Flags.positive("N: of models that each device may keep (default: 128)"),
  },
  run,
}
