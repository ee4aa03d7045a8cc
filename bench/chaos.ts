/**
 * Chaos: five emulated devices as real processes while faults of all kinds happen to them, their links and their servers by
 * a seeded script, and clients go on asking. Every reply is counted, every answer that a client takes is checked. Beside it the same
 * requests undisturbed, and a minute without the hub.
 */
import { Effect, Fiber } from "effect"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { seededRandom } from "../supernet/Random.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  type Check,
  median,
  quantile,
  type Row,
} from "./Bench.ts"
import * as Flags from "./Flags.ts"
import { applyFault, type Fault, faultScript } from "./chaos/Faults.ts"
import { carriesAfterMs } from "./chaos/Joins.ts"
import { cpuMeter } from "./chaos/Machine.ts"
import {
  deviceCount,
  type FiveDevices,
  fiveDevices,
  helpers,
  teamText,
  until,
  usualLink,
} from "./chaos/FiveDevices.ts"
import {
  afterFarewell,
  answersOf,
  endings,
  isSecondTry,
  killExtras,
  type Mark,
  silences,
  stillPlannedMs,
  withinSlo,
} from "./chaos/Measures.ts"
import { picturesFrom, picturesOf, slosOf, wishes } from "./chaos/Pictures.ts"
import { type Doubled, doubledOf } from "./chaos/Replies.ts"
import { type Outcome, stream } from "./chaos/Traffic.ts"
import { type Verdict, verify } from "./chaos/Verdict.ts"

interface Settings {
  readonly requests: number
  readonly perSecond: number
  readonly slow: number
  readonly faultEveryMs: number
  readonly hubDownMs: number
  readonly deadlineMs: number
  readonly seed: number
}

const settingsOf = ({ quick, seed, arguments: given }: BenchOptions): Settings => {
  const number = (name: string, otherwise: number) => Number(given.get(name) ?? otherwise)
  return {
    requests: number("requests", quick ? 400 : 10_000),
    perSecond: number("rate", 12),
    slow: number("slow", 2),
    faultEveryMs: 1000 * number("every", 5),
    hubDownMs: 1000 * number("hub-down", quick ? 8 : 60),
    deadlineMs: 1000 * number("deadline", 10),
    seed,
  }
}

/** A device that gets no work by then is killed all the same. */
const workLimitMs = 3000

/** Plays the script; gives when each fault really began. */
const play = Effect.fnUntraced(function* ({ box, heard }: FiveDevices, script: ReadonlyArray<Fault>) {
  const startMs = performance.now()
  const kills: Array<Mark> = []
  yield* Effect.forEach(
    script,
    (fault) =>
      Effect.gen(function* () {
        yield* Effect.sleep(Math.max(0, startMs + fault.atMs - performance.now()))
        const device = box.devices[fault.device]?.id
        if (fault.kind === "kill" && device !== undefined) {
          // Whoever has just been given work has it still: most of the time nobody would be hurt.
          yield* heard.work(device, workLimitMs)
          kills.push({ device, atMs: performance.now() })
        }
        yield* applyFault(box, fault, usualLink)
      }),
    { concurrency: "unbounded", discard: true },
  )
  return kills
})

interface Seen {
  readonly calm: ReadonlyArray<Outcome>
  readonly disturbed: ReadonlyArray<Outcome>
  readonly hubless: ReadonlyArray<Outcome>
  readonly script: ReadonlyArray<Fault>
  readonly kills: ReadonlyArray<Mark>
  readonly hellos: ReadonlyArray<Mark>
  readonly farewells: ReadonlyArray<Mark>
  /** From a hello to the first answer that the device had a part in, ms. */
  readonly joins: ReadonlyArray<number>
  readonly doubled: Doubled
  readonly agreeMs: number
  /** Share of all cores in use, by whomever, in the three phases. */
  readonly cores: readonly [number, number, number]
}

/** A line every 200 requests: with how busy this machine's cores were meanwhile, for timings mean little when they all are. */
const progressOf = (total: number) => {
  let done = 0
  const startMs = performance.now()
  const cpu = cpuMeter()
  return ({ end }: Outcome) => {
    done++
    if (done % 200 !== 0 && end.kind !== "silence") return
    const s = Math.round((performance.now() - startMs) / 1000)
    const event =
      end.kind === "silence" ? ", one without a reply in time" : `, cores ${Math.round(100 * cpu())} % busy`
    console.log(`${s} s: ${done} of ${total} requests${event}`)
  }
}

/** Undisturbed, disturbed, without the hub: one swarm for all. */
const experience = (spec: SupernetSpec, pictures: ReadonlyArray<Uint8Array>, s: Settings) =>
  Effect.gen(function* () {
    const swarm = yield* fiveDevices(s.slow)
    const { box, heard, clients } = swarm
    const wish = wishes(pictures, s.slow, s.deadlineMs, seededRandom(s.seed + 1))
    const { perSecond } = s
    const hublessCount = Math.round((s.hubDownMs / 1000) * Math.min(perSecond, 5))
    const calmCount = Math.round(s.requests * 0.1)
    const disturbedCount = s.requests - calmCount - hublessCount
    const progress = progressOf(s.requests)
    const part = (count: number, rate = perSecond) =>
      stream(clients, { perSecond: rate, count, wish }, progress)
    // What was never run before is prepared; not what is measured here.
    yield* stream(clients, { perSecond, count: Math.round(s.requests * 0.02), wish })
    const cpu = cpuMeter()
    const calm = yield* part(calmCount)
    const calmCores = cpu()
    const forMs = (disturbedCount / perSecond) * 1000
    const script = faultScript(deviceCount, helpers, forMs - 8000, s.faultEveryMs, seededRandom(s.seed))
    const playing = yield* Effect.forkChild(play(swarm, script))
    const joins: Array<number> = []
    heard.onHello((mark) => {
      const [image = new Uint8Array()] = pictures
      const carries = carriesAfterMs(mark, clients, spec, image)
      Effect.runFork(Effect.map(carries, (ms) => void joins.push(ms)))
    })
    const disturbed = yield* part(disturbedCount)
    const kills = yield* Fiber.join(playing)
    const disturbedCores = cpu()
    const marks = { hellos: [...heard.hellos], farewells: [...heard.farewells] }
    yield* until(heard.agree, 30_000)

    box.hub().signal("SIGKILL")
    cpu()
    const hubless = yield* part(hublessCount, Math.min(perSecond, 5))
    const cores = [calmCores, disturbedCores, cpu()] as const
    yield* box.startHub
    const returnedMs = performance.now()
    yield* until(heard.agree, 30_000)
    const agreeMs = performance.now() - returnedMs
    const doubled = doubledOf(clients.flatMap((c) => c.calls))
    const seen: Seen = { calm, disturbed, hubless, script, kills, ...marks, joins, doubled, agreeMs, cores }
    return seen
  }).pipe(Effect.scoped)

const rowOf = (phase: string, outcomes: ReadonlyArray<Outcome>, cores: number): Row => {
  const answers = answersOf(outcomes)
  const latencies = answers.map((o) => o.doneMs - o.sentMs)
  return {
    phase,
    requests: outcomes.length,
    answered: answers.length,
    "within SLO": withinSlo(outcomes),
    "p50 ms": median(latencies),
    "p99 ms": quantile(latencies, 0.99),
    "over several devices": answers.filter((o) => o.end.reply.summary.devices.length > 1).length,
    recovered: answers.filter((o) => o.end.reply.recovery !== undefined).length,
    hedged: hedgedOf(outcomes),
    "asked again": outcomes.filter((o) => o.tries > 1).length,
    "cores busy": cores,
    ends: endings(outcomes),
  }
}

const hedgedOf = (outcomes: ReadonlyArray<Outcome>): number =>
  answersOf(outcomes).filter((o) => o.end.reply.recovery?.hedged === true).length
const share = (part: number, of: number) => `${((100 * part) / Math.max(1, of)).toFixed(1)} %`
/** Of none it is no number, and meets no bound. */
const p95 = (values: ReadonlyArray<number>): number => quantile(values, 0.95)

const all = ({ calm, disturbed, hubless }: Seen): ReadonlyArray<Outcome> => [
  ...calm,
  ...disturbed,
  ...hubless,
]

/** What was seen of recoveries: numbers beside which it must say of how many events they are. */
const recoveriesOf = (seen: Seen) => ({
  extras: killExtras(seen.disturbed, seen.kills),
  planned: stillPlannedMs(seen.disturbed, seen.kills, seen.hellos, 4000),
  joined: seen.joins.map((ms) => ms / 1000),
  farewell: afterFarewell(seen.disturbed, seen.farewells),
})
type Recoveries = ReturnType<typeof recoveriesOf>

const checksOf = (
  seen: Seen,
  { extras, planned, joined, farewell }: Recoveries,
  verdict: Verdict,
): ReadonlyArray<Check> => [
  { name: "requests", value: all(seen).length, op: ">=", bound: 10_000 },
  { name: "lost", value: silences(all(seen)).lost, op: "=", bound: 0 },
  { name: "doubled", value: seen.doubled.twice, op: "=", bound: 0 },
  { name: "wrong", value: verdict.wrong.length, op: "=", bound: 0 },
  { name: "checked_share_of_answers", value: verdict.checked / verdict.answers, op: "=", bound: 1 },
  // Without any event of its kind, a line about how it went would say nothing.
  { name: "kills", value: seen.kills.length, op: ">=", bound: 1 },
  // Where plans stay local, no killed device may have held work.
  { name: "requests_on_killed_devices", value: extras.length, op: ">=", bound: 1 },
  { name: "kill_recovery_extra_ms_p95", value: p95(extras), op: "<=", bound: 300 },
  { name: "planned_after_kill_ms_p95", value: p95(planned), op: "<=", bound: 1000 },
  { name: "joins", value: joined.length, op: ">=", bound: 1 },
  { name: "join_s", value: p95(joined), op: "<=", bound: 2 },
  { name: "requests_at_farewells", value: farewell.requests, op: ">=", bound: 1 },
  { name: "late_after_farewell", value: farewell.late, op: "=", bound: 0 },
  { name: "views_agree_after_hub_s", value: seen.agreeMs / 1000, op: "<=", bound: 3 },
  {
    name: "answered_without_hub",
    value: answersOf(seen.hubless).length / seen.hubless.length,
    op: ">=",
    bound: 1,
  },
]

const clientsText =
  "clients are the project's own (subjects/Client.ts): up to four messages of one key within the deadline, after an error that may pass (pauses of about 50, 100 and 200 ms) and beside a message that stayed without a reply for half of the time that is left; the first answer counts. Their inbox is the bench's, which sees every reply"

const doubledText = ({ twice, differing, alike }: Doubled) =>
  `doubled: ${twice} messages that had more than one reply. Of requests that were asked again (silence, or an error), ${differing} were computed by two devices, of which the client takes the first answer, and ${alike} were told the same answer twice`

const notesOf = (
  s: Settings,
  seen: Seen,
  recoveries: Recoveries,
  verdict: Verdict,
): ReadonlyArray<string> => {
  const { extras, joined, farewell } = recoveries
  const byKind = Map.groupBy(seen.script, (f) => f.kind)
  return [
    `five emulated devices (${teamText}) in slow motion (all times ${s.slow} times longer), links of 200 Mbps and 2 ms; a client at each leaf, ${s.perSecond} requests/s in all, steady`,
    `faults: ${[...byKind].map(([kind, of]) => `${kind} ${of.length}`).join(", ")}`,
    `${verdict.checked} of ${verdict.answers} answers checked, of ${verdict.strategies} strategies; those that round nothing are within ${verdict.worstExact.toExponential(1)} of the evaluation in one session (bound 1e-4), the others within 5e-2`,
    clientsText,
    "BusDown is the client's own error: it has no connection to its leaf, which is down, and no device has refused anything",
    doubledText(seen.doubled),
    `${silences(all(seen)).tooLate} requests got a reply only after the client had given up, a second after the deadline: this machine was busy`,
    `kill recovery: ${extras.length} requests under way on ${seen.kills.length} killed devices; joins: ${joined.length}, each measured by asking for a strategy with its middle on the newcomer`,
    `farewells: ${farewell.requests} requests under way; ${farewell.slow} of them got another try because a device was slow (${share(farewell.slow, farewell.requests)}; undisturbed ${share(answersOf(seen.calm).filter(isSecondTry).length, seen.calm.length)}), which is no loss`,
    ...verdict.wrong.slice(0, 5),
  ]
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const s = settingsOf(options)
  const supernet = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const pictures = await picturesOf(seededRandom(s.seed))
  const seen = await Effect.runPromise(experience(supernet.spec, pictures, s))
  const verdict = await verify(supernet, pictures, all(seen))
  const recoveries = recoveriesOf(seen)
  const { name, version, trained } = supernet.spec
  return {
    kind: "measured",
    checks: checksOf(seen, recoveries, verdict),
    rows: [
      rowOf("undisturbed", seen.calm, seen.cores[0]),
      rowOf(`a fault every ${s.faultEveryMs / 1000} s`, seen.disturbed, seen.cores[1]),
      rowOf(`no hub for ${s.hubDownMs / 1000} s`, seen.hubless, seen.cores[2]),
    ],
    notes: [
      `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}; ${pictures.length} ${picturesFrom()}; objectives ${JSON.stringify(slosOf(s.slow))}; deadline ${s.deadlineMs / 1000} s`,
      ...notesOf(s, seen, recoveries, verdict),
    ],
  }
}

export const bench: BenchModule = {
  name: "chaos",
  proves: "devices, links and servers come and go, and every request has one right answer or a typed error",
  takes: "16 minutes",
  flags: {
    requests: Flags.count("N (default: 10000)"),
    rate: Flags.positive("N: requests a second (default: 12)"),
    slow: Flags.positive("N: slow motion, how many times (default: 2)"),
    every: Flags.positive("N: seconds between faults (default: 5)"),
    "hub-down": Flags.positive("N: seconds that the hub is away (default: 60)"),
    deadline: Flags.positive("N: seconds that a client waits (default: 10)"),
  },
  run,
}
