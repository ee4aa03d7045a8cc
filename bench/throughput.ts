/**
 * How many requests a swarm answers: with 1, 4, 16 and 64 in flight, on 1, 2 and 5 emulated devices; and what it does when
 * it is asked for more than it can do. Clients are spread over the devices: each asks the device whose leaf it is at.
 */
import { cpus, loadavg } from "node:os"
import { Effect, Layer, Ref, type Scope } from "effect"
import { type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus, type BusShape } from "../subjects/Bus.ts"
import { infer, type InferError } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import type { InferReply } from "../subjects/InferMessages.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { seededRandom } from "../supernet/Random.ts"
import { localStrategy } from "../supernet/Strategy.ts"
import { uniformSubmodel } from "../supernet/Submodel.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  mean,
  median,
  quantile,
  type Row,
} from "./Bench.ts"

/** Real computation shares this machine's cores; in slow motion it fits into the emulated times of five devices. */
const slow = 3
const size = 160
/** Devices of the largest swarm. */
const most = 5
/** The objective of the planner's requests, in slow motion. */
const inTime = { latencyMs: 150 * slow }

interface Done {
  readonly askedMs: number
  readonly atMs: number
  readonly tookMs: number
  readonly result: InferReply | InferError
}

/** What came of requests. Every one of them ends, by its deadline at the latest. */
interface Outcomes {
  /** All that were asked, in the warm-up too, and some of them answered after the window. */
  readonly all: ReadonlyArray<Done>
  /** Asked within the window. */
  readonly asked: ReadonlyArray<Done>
  /** Ended within the window. */
  readonly ended: ReadonlyArray<Done>
}

interface World {
  readonly supernet: Supernet
  readonly clients: ReadonlyArray<{ readonly device: DeviceId; readonly bus: BusShape }>
}

interface Load {
  readonly inFlight: number
  readonly warmUpMs: number
  readonly windowMs: number
  readonly deadlineMs: number
  /** `local`: one submodel, whole, at the device that is asked. Else the planner chooses for this objective. */
  readonly choice: "local" | { readonly latencyMs: number } | { readonly accuracy: number }
}

const isReply = (result: Done["result"]): result is InferReply => "classes" in result
const tagOf = (result: Done["result"]): string =>
  isReply(result) ? "answer" : result._tag === "Refused" ? result.tag : result._tag
/** An error that a device said: the request was not lost. */
const isTyped = (result: Done["result"]): boolean => isReply(result) || result._tag === "Refused"

const lostOf = ({ all }: Outcomes): number => all.filter((d) => !isTyped(d.result)).length

/** Keeps so many requests in flight until the window after the warm-up is over, and waits for those that are left. */
const underLoad = Effect.fnUntraced(function* (world: World, load: Load) {
  const random = seededRandom(1)
  const data = Uint8Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))
  const tensor = { width: size, height: size, data }
  const { spec } = world.supernet
  const submodel = uniformSubmodel(spec, size, 3, 5, 4)
  const endMs = performance.now() + load.warmUpMs + load.windowMs
  const done = yield* Ref.make<ReadonlyArray<Done>>([])
  const one = (i: number) =>
    Effect.gen(function* () {
      const client = world.clients[i % world.clients.length]
      if (client === undefined) return
      const isLocal = load.choice === "local"
      const chosen = isLocal ? { strategy: localStrategy(spec, submodel, client.device) } : {}
      const slo = load.choice === "local" ? { latencyMs: 1000 } : load.choice
      const startMs = performance.now()
      const asked = infer({ tensor, slo, deadlineMs: load.deadlineMs, attempts: 1, ...chosen })
      const result = yield* Effect.provideService(asked, Bus, client.bus).pipe(
        Effect.match({ onSuccess: (r) => r, onFailure: (e) => e }),
      )
      const atMs = performance.now()
      const outcome: Done = { askedMs: startMs, atMs, tookMs: atMs - startMs, result }
      yield* Ref.update(done, (all) => [...all, outcome])
      // A client that was refused does not ask again in the same moment.
      if (!isReply(result)) yield* Effect.sleep(50)
    })
  yield* Effect.forEach(
    Array.from({ length: load.inFlight }, (_, i) => i),
    (i) => one(i).pipe(Effect.repeat({ while: () => performance.now() < endMs })),
    { concurrency: "unbounded", discard: true },
  )
  const all = yield* Ref.get(done)
  const isWithin = (ms: number) => ms >= endMs - load.windowMs && ms <= endMs
  const outcomes: Outcomes = {
    all,
    asked: all.filter((d) => isWithin(d.askedMs)),
    ended: all.filter((d) => isWithin(d.atMs)),
  }
  return outcomes
})

const choiceText = (choice: Load["choice"]): string => {
  if (choice === "local") return "one submodel, at the asked device"
  const wanted = "latencyMs" in choice ? `${choice.latencyMs} ms` : `that submodel's accuracy`
  return `the planner's, for ${wanted}`
}

const rowOf = (devices: number, load: Load, outcomes: Outcomes): Row => {
  const { asked, ended } = outcomes
  const replies = ended.map((d) => d.result).filter(isReply)
  const answered = ended.filter((d) => isReply(d.result)).map((d) => d.tookMs)
  const spread = replies.filter((r) => r.summary.devices.length > 1).length
  const isMet = ({ result }: Done) => isReply(result) && result.sloMet
  return {
    devices,
    "in flight": load.inFlight,
    strategy: choiceText(load.choice),
    "requests/s": (answered.length / load.windowMs) * 1000,
    "p50 ms": median(answered),
    "p99 ms": quantile(answered, 0.99),
    answered: answered.length,
    "within SLO": load.choice === "local" ? "" : asked.filter(isMet).length / asked.length,
    "mean accuracy": mean(replies.map((r) => r.predicted.accuracy)),
    "over several devices": spread,
    refused: ended.filter((d) => !isReply(d.result) && isTyped(d.result)).length,
    lost: lostOf(outcomes),
  }
}

const rowFor = (rows: ReadonlyArray<Row>, devices: number, inFlight: number, choice: Load["choice"]) =>
  rows.find(
    (r) => r["devices"] === devices && r["in flight"] === inFlight && r["strategy"] === choiceText(choice),
  )

const clientsOf = (box: SwarmBox) =>
  Effect.forEach(box.devices, (handle) =>
    Effect.map(Layer.build(Layer.fresh(Bus.layer({ ...handle.client, name: "bench" }))), (context) => ({
      device: handle.id,
      bus: Effect.runSync(Effect.provide(Bus, context)),
    })),
  )

const inBox = <A, E>(
  supernet: Supernet,
  count: number,
  measure: (world: World) => Effect.Effect<A, E, Scope.Scope>,
) =>
  Effect.gen(function* () {
    const ids = Array.from({ length: count }, (_, i) => DeviceId.make(`pi-${i + 1}`))
    const box = yield* swarmBox({ devices: ids.map((id) => ({ id, profile: "raspberry-pi-4", slow })) })
    return yield* measure({ supernet, clients: yield* clientsOf(box) })
  }).pipe(Effect.scoped)

interface Overload {
  readonly before: Outcomes
  readonly during: Outcomes
  readonly after: Outcomes
}

/** Ten times more than one device can do, with deadlines; before and after it, one request at a time. */
const overload = (world: World, quick: boolean) =>
  Effect.gen(function* () {
    const calm = {
      inFlight: 1,
      warmUpMs: 1000,
      windowMs: quick ? 3000 : 6000,
      deadlineMs: 10_000,
      choice: "local" as const,
    }
    const before = yield* underLoad(world, calm)
    const storm = { ...calm, inFlight: 150, windowMs: quick ? 6000 : 15_000, deadlineMs: 2000 }
    const during = yield* underLoad(world, storm)
    const after = yield* underLoad(world, { ...calm, warmUpMs: 500 })
    const result: Overload = { before, during, after }
    return result
  })

const overloadRow = (name: string, outcomes: Outcomes): Row => {
  const { ended } = outcomes
  const refusals = ended.filter((d) => !isReply(d.result))
  const tags = Map.groupBy(ended, (d) => tagOf(d.result))
  const answered = ended.filter((d) => isReply(d.result)).map((d) => d.tookMs)
  return {
    overload: name,
    "p50 of answers ms": median(answered),
    "p99 of answers ms": quantile(answered, 0.99),
    "p50 of refusals ms": refusals.length === 0 ? "" : median(refusals.map((d) => d.tookMs)),
    outcomes: [...tags].map(([tag, { length }]) => `${tag} ${length}`).join(", "),
    lost: lostOf(outcomes),
  }
}

/** One swarm under every load: first the one submodel, whose accuracy the planner is then asked for. */
const underLoads = Effect.fnUntraced(function* (world: World, quick: boolean) {
  const [warmUpMs, windowMs] = quick ? [1000, 4000] : [3000, 12_000]
  const window = { warmUpMs, windowMs, deadlineMs: 30_000 }
  const devices = world.clients.length
  const rows: Array<Row> = []
  const measure = Effect.fnUntraced(function* (load: Load) {
    rows.push(rowOf(devices, load, yield* underLoad(world, load)))
  })
  for (const inFlight of quick ? [1, 16] : [1, 4, 16, 64])
    yield* measure({ ...window, inFlight, choice: "local" })
  const accuracy = Number(rows[0]?.["mean accuracy"] ?? 0) - 1e-6
  for (const choice of [inTime, { accuracy }])
    for (const inFlight of quick ? [16] : [1, 16, 64]) yield* measure({ ...window, inFlight, choice })
  return rows
})

/**
 * The planner's requests/s over the one submodel's, of five devices against the same of one: what the planner's smaller submodel
 * of the same accuracy gains is in both. The worst number in flight.
 */
const plannedGain = (rows: ReadonlyArray<Row>, quick: boolean): number => {
  const rate = (devices: number, inFlight: number, choice: Load["choice"]) =>
    Number(rowFor(rows, devices, inFlight, choice)?.["requests/s"])
  // The rows of any accuracy are meant.
  const ratio = (devices: number, inFlight: number) =>
    rate(devices, inFlight, { accuracy: 0 }) / rate(devices, inFlight, "local")
  return Math.min(...(quick ? [16] : [16, 64]).map((n) => ratio(most, n) / ratio(1, n)))
}

const run = async ({ quick }: BenchOptions): Promise<BenchResult> => {
  const supernet = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const rows: Array<Row> = []
  for (const count of quick ? [1, most] : [1, 2, most])
    rows.push(...(await Effect.runPromise(inBox(supernet, count, (world) => underLoads(world, quick)))))
  const storm = await Effect.runPromise(inBox(supernet, 1, (world) => overload(world, quick)))
  const best = (devices: number) =>
    Math.max(
      ...rows
        .filter((r) => r["devices"] === devices && r["strategy"] === choiceText("local"))
        .map((r) => Number(r["requests/s"])),
    )
  const p50 = ({ ended }: Outcomes) => median(ended.filter((d) => isReply(d.result)).map((d) => d.tookMs))
  const after = p50(storm.after) / p50(storm.before)
  const timely = rowFor(rows, most, 16, inTime)
  const lost = rows.reduce((sum, r) => sum + Number(r["lost"]), 0)
  return {
    kind: "measured",
    checks: [
      { name: "rps_gain_5_devices", value: best(most) / best(1), op: ">=", bound: 3.5 },
      {
        name: "planned_over_local_5_devices_against_1",
        value: plannedGain(rows, quick),
        op: ">=",
        bound: 0.95,
      },
      { name: "within_slo_16_in_flight", value: Number(timely?.["within SLO"]), op: ">=", bound: 0.9 },
      { name: "lost", value: lost, op: "=", bound: 0 },
      { name: "overload_lost", value: lostOf(storm.during), op: "=", bound: 0 },
      { name: "latency_after_over_before_overload", value: after, op: "<=", bound: 1.2 },
    ],
    rows: [
      ...rows,
      overloadRow("before", storm.before),
      overloadRow("150 in flight at one device, 2 s deadline", storm.during),
      overloadRow("after", storm.after),
    ],
    notes: notesOf(supernet),
  }
}

const notesOf = ({ spec: { name, version, trained } }: Supernet): ReadonlyArray<string> => [
  `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}, ${size} px, depth 3, kernel 5, expand 4`,
  `emulated Raspberry Pi 4s in slow motion: all times are ${slow} times longer, so that real computation of five devices fits on this machine; without slow motion requests/s would be ${slow} times higher`,
  "the gain comes from clients that spread over the devices; a request is served by the device that is asked, which is also where a strategy for several devices begins",
  `load average of this machine at the end: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores (the bench itself included)`,
  "for a latency objective the planner takes the most accurate strategy that keeps it, with many in flight a smaller one than the one submodel: its requests/s are not compared with that one's",
  "planned_over_local_5_devices_against_1: the planner's requests/s (for the one submodel's accuracy, 16 and 64 in flight, the worse) over the one submodel's, on five devices, over the same ratio on one; the ratios themselves also tell of the planner's choice of a faster submodel of that accuracy",
  "requests/s, p50, p99, refused and the overload's outcomes: of what ended within the window; within SLO: share of the requests asked within it, also of those refused or lost; lost: of all requests, warm-up and those that ended after the window too, since each is waited for until its deadline",
  "closed loop: a client asks again when it has its answer, and 50 ms after a refusal; each request is sent once (no retries)",
]

export const bench: BenchModule = {
  name: "throughput",
  proves: "more devices answer more requests, and overload is refused early and leaves no trace",
  takes: "6 minutes",
  unseeded: true,
  run,
}
