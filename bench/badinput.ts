/**
 * `bench badinput`: everything that nobody should send, to real device processes: each case gets a typed error (or, on
 * one-way subjects, is dropped and counted), no process ends, and others are answered all the while.
 */
import { Context, Effect, Fiber, Layer, Ref, Result } from "effect"
import { type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus, type BusOptions, type BusShape } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { decodeTileAck } from "../subjects/TileAck.ts"
import { type BadCase, badCases, goodImage, oneWayGarbage } from "./BadInputCases.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, type Row } from "./Bench.ts"

const victim = DeviceId.make("pi-1")
const ids = [victim, DeviceId.make("pi-2")]
const timeoutMs = 10_000

interface Outcome {
  readonly case: BadCase
  /** Tag of the error, "answered", or "silent". */
  readonly got: string
  readonly tookMs: number
}

const connected = (options: BusOptions) =>
  Effect.map(Layer.build(Layer.fresh(Bus.layer(options))), (c): BusShape => Context.get(c, Bus))

/** What came back: a tile's acknowledgement has a form of its own. */
const tagOf = (one: BadCase, reply: Uint8Array): string => {
  if (one.group !== "tile") return "answered"
  const ack = decodeTileAck(reply)
  return ack?._tag === "Refused" ? ack.error.tag : "answered"
}

const attempt = (bus: BusShape, one: BadCase): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const began = performance.now()
    const reply = yield* Effect.result(bus.request(one.subject, one.bytes, { timeoutMs }))
    const tookMs = performance.now() - began
    if (Result.isSuccess(reply)) return { case: one, got: tagOf(one, reply.success), tookMs }
    const error = reply.failure
    const got = error._tag === "Refused" ? error.tag : error._tag === "Late" ? "silent" : error._tag
    return { case: one, got, tookMs }
  })

const isRight = ({ case: c, got }: Outcome) =>
  c.expect.length === 0 ? got === "answered" : c.expect.includes(got)

/** Sum of the counters of bad messages over all services of a device, as `nats micro stats` shows them. */
const countedBad = (bus: BusShape, device: DeviceId) =>
  Effect.promise(async () => {
    let bad = 0
    const options = { strategy: "timer" as never, maxWait: 700 }
    for await (const m of await bus.nats.requestMany("$SRV.STATS", new Uint8Array(), options)) {
      const stats = m.json<{
        metadata: { device: string }
        endpoints: ReadonlyArray<{ data: { bad: number } }>
      }>()
      if (stats.metadata.device === device) for (const e of stats.endpoints) bad += e.data.bad
    }
    return bad
  })

/** Honest requests of another client, one after the other, until it is stopped. */
const others = (bus: BusShape, image: Uint8Array, answered: Ref.Ref<number>, failed: Ref.Ref<number>) =>
  infer({ image, slo: { latencyMs: 5000 } }).pipe(
    Effect.provideService(Bus, bus),
    Effect.andThen(Ref.update(answered, (n) => n + 1)),
    Effect.catch(() => Ref.update(failed, (n) => n + 1)),
    Effect.andThen(Effect.sleep("20 millis")),
    Effect.forever,
  )

const examine = (box: SwarmBox, o: BenchOptions) =>
  Effect.gen(function* () {
    const operator = yield* connected(box.operator)
    const client = yield* connected(box.device(victim).client)
    const image = yield* Effect.promise(goodImage)
    const all = yield* Effect.promise(() => badCases(victim))
    const cases = o.quick ? all.filter((_, i) => i % 2 === 0) : all
    const [answered, failed] = [yield* Ref.make(0), yield* Ref.make(0)]
    const honest = yield* Effect.forkScoped(others(client, image, answered, failed))
    const outcomes = yield* Effect.forEach(cases, (one) => attempt(operator, one))
    const before = yield* countedBad(operator, victim)
    const oneWay = oneWayGarbage(victim)
    for (const { subject, bytes } of oneWay) yield* operator.publish(subject, bytes)
    const counted = yield* countedBad(operator, victim).pipe(
      Effect.map((now) => now - before),
      Effect.repeat({ until: (n) => n >= oneWay.length, times: 10 }),
    )
    const tooLarge = yield* Effect.flip(
      operator.request("infer.request", new Uint8Array(9 * 1024 * 1024), { timeoutMs }),
    )
    yield* Fiber.interrupt(honest)
    return {
      outcomes,
      oneWay: { sent: oneWay.length, counted },
      tooLarge: tooLarge._tag,
      honest: { answered: yield* Ref.get(answered), failed: yield* Ref.get(failed) },
    }
  })

type Findings = Effect.Success<ReturnType<typeof examine>>

const rowsOf = (f: Findings): ReadonlyArray<Row> => [
  ...f.outcomes.map((one) => ({
    group: one.case.group,
    case: one.case.name,
    got: one.got,
    right: isRight(one),
    ms: Math.round(one.tookMs * 10) / 10,
  })),
  {
    group: "one way",
    case: `${f.oneWay.sent} messages of garbage`,
    got: `${f.oneWay.counted} counted`,
    right: f.oneWay.counted === f.oneWay.sent,
    ms: 0,
  },
  { group: "payload", case: "9 MiB", got: f.tooLarge, right: f.tooLarge === "PayloadTooLarge", ms: 0 },
]

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const crashed: Array<string> = []
  const program = Effect.gen(function* () {
    const devices = ids.map((id) => ({ id, profile: "raspberry-pi-4", emulate: false }))
    const box = yield* swarmBox({ devices })
    const pids = box.devices.map((d) => d.pid())
    for (const d of box.devices) {
      yield* Effect.forkScoped(
        Effect.map(d.exited, (code) => void crashed.push(`${d.id} ended with ${code}`)),
      )
    }
    const findings = yield* examine(box, options)
    return { findings, crashes: crashed.length, same: box.devices.every((d, i) => d.pid() === pids[i]) }
  })
  const { findings, crashes } = await Effect.runPromise(Effect.scoped(program))
  const rows = rowsOf(findings)
  const count = (test: (o: Outcome) => boolean) => findings.outcomes.filter(test).length
  return {
    kind: "measured",
    rows,
    checks: [
      { name: "cases", value: rows.length, op: ">=", bound: 40 },
      { name: "crashes", value: crashes, op: "=", bound: 0 },
      { name: "silent", value: count((o) => o.got === "silent"), op: "=", bound: 0 },
      { name: "wrong_answers", value: rows.filter((r) => r["right"] !== true).length, op: "=", bound: 0 },
      { name: "honest_failed", value: findings.honest.failed, op: "=", bound: 0 },
    ],
    notes: [
      "two real device processes, not emulated; the cases go to one of them, while an honest client keeps asking it",
      `${findings.honest.answered} honest requests were answered meanwhile, ${findings.honest.failed} were not`,
      `median time to a typed error: ${median(findings.outcomes.map((o) => o.tookMs)).toFixed(1)} ms`,
    ],
  }
}

export const bench: BenchModule = {
  name: "badinput",
  proves: "whatever arrives, its sender gets a typed error, nothing ends, and others are served",
  takes: "half a minute",
  run,
}
