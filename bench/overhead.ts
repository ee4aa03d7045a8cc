/**
 * What the actors and the bus add to an inference: an all-local, uncut strategy asked for over the bus, against the same
 * network as one session in this process, same pixels, taking turns. One real device process at its own leaf; not emulated.
 */
import { cpus, loadavg } from "node:os"
import { Effect } from "effect"
import { collectRarely } from "../actors/Garbage.ts"
import { type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import type { InferReply } from "../subjects/InferMessages.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { seededRandom } from "../supernet/Random.ts"
import { type Evaluator, Reference } from "../supernet/Reference.ts"
import { localStrategy, type Strategy, strategyId } from "../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel } from "../supernet/Submodel.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"

const device = DeviceId.make("pi-1")

interface Sample {
  /** From the client's call to its answer. */
  readonly roundTripMs: number
  readonly bareMs: number
  readonly reply: InferReply
}

interface Case {
  readonly name: string
  readonly strategy: Strategy
  /** Whether the request names the strategy, or leaves the choice to the planner (whose plan is then the strategy). */
  readonly planned: boolean
}

const timed = async <A>(action: () => Promise<A>): Promise<readonly [A, number]> => {
  const start = performance.now()
  const value = await action()
  return [value, performance.now() - start]
}

const measure = (
  spec: SupernetSpec,
  one: Case,
  evaluator: Evaluator,
  count: number,
  warmUp: number,
  seed: number,
) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Bus>()
    const size = one.strategy.submodel.resolution
    const id = strategyId(spec, one.strategy)
    const random = seededRandom(seed)
    const data = Uint8Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))
    const tensor = { width: size, height: size, data }
    const ask = () =>
      Effect.runPromiseWith(context)(
        infer({
          tensor,
          slo: { latencyMs: 500 },
          include: ["timeline"],
          ...(one.planned ? {} : { strategy: one.strategy }),
        }),
      )
    const bare = () => evaluator.logits({ count: 1, size, pixels: data })
    const samples: Array<Sample> = []
    for (let i = 0; i < warmUp + count; i++) {
      const [reply, roundTripMs] = yield* Effect.promise(() => timed(ask))
      const [, bareMs] = yield* Effect.promise(() => timed(bare))
      // The planner may have found something better meanwhile: then the two are not the same network.
      if (i >= warmUp && reply.strategyId === id) samples.push({ roundTripMs, bareMs, reply })
    }
    return samples
  })

const added = (s: Sample) => s.roundTripMs - s.bareMs

/** How far the slowest hundredth lies above the median: for the bare session, what the machine itself does to timings. */
const tail = (values: ReadonlyArray<number>) => quantile(values, 0.99) - median(values)

/** The parts of a request's way that do not overlap, ms. */
const hops = (s: Sample): Readonly<Record<string, number>> => {
  const { latencyMs, breakdown } = s.reply
  const task = s.reply.timeline?.[0]
  const inside = (task?.queueMs ?? 0) + (task?.computeMs ?? 0) + (task?.packMs ?? 0)
  const parts =
    breakdown.queueMs +
    breakdown.planMs +
    Math.max(breakdown.decodeMs, breakdown.reconfigMs) +
    breakdown.executeMs
  return {
    "client, leaf and codec": s.roundTripMs - latencyMs,
    "wait for the scheduler": breakdown.queueMs,
    plan: breakdown.planMs,
    "pixels and strategy ready": Math.max(breakdown.decodeMs, breakdown.reconfigMs),
    "to the worker and back": breakdown.executeMs - inside,
    "queue in the worker": task?.queueMs ?? 0,
    inference: task?.computeMs ?? 0,
    "rest of the scheduler": latencyMs - parts,
  }
}

const rowOf = (one: Case, samples: ReadonlyArray<Sample>): Row => {
  const of = (f: (s: Sample) => number) => samples.map(f)
  const names = Object.keys(samples[0] === undefined ? {} : hops(samples[0]))
  return {
    case: one.name,
    requests: samples.length,
    "bare session p50 ms": median(of((s) => s.bareMs)),
    "bare session p99 ms": quantile(
      of((s) => s.bareMs),
      0.99,
    ),
    "round trip p50 ms": median(of((s) => s.roundTripMs)),
    "round trip p99 ms": quantile(
      of((s) => s.roundTripMs),
      0.99,
    ),
    "added p50 ms": median(of(added)),
    "added p99 ms": quantile(of(added), 0.99),
    "bare p99 over its p50 ms": tail(of((s) => s.bareMs)),
    "added at the device p50 ms": median(of((s) => s.reply.latencyMs - s.bareMs)),
    ...Object.fromEntries(names.map((n) => [`${n} p50 ms`, median(of((s) => hops(s)[n] ?? 0))])),
  }
}

/** What the planner chooses for this SLO once it has thought about it: the same many times in a row. */
const plannedStrategy = Effect.gen(function* () {
  const tensor = { width: 8, height: 8, data: new Uint8Array(8 * 8 * 3) }
  let [chosen, times] = ["", 0]
  for (;;) {
    const reply = yield* infer({ tensor, slo: { latencyMs: 500 }, include: ["strategy"] })
    times = reply.strategyId === chosen ? times + 1 : 0
    chosen = reply.strategyId
    if (times >= 40) return reply.strategy
    yield* Effect.sleep(50)
  }
})

const casesOf = ({ spec }: Supernet, planned: Strategy | undefined): ReadonlyArray<Case> => {
  const small = Math.min(...spec.resolutions)
  const large = Math.max(...spec.resolutions)
  const middle = sampleSubmodel(spec, seededRandom(3))
  const local = (name: string, submodel: typeof middle): Case => ({
    name,
    strategy: localStrategy(spec, submodel, device),
    planned: false,
  })
  return [
    local(`smallest submodel, ${small} px`, minSubmodel(spec, small)),
    local(`random submodel, ${middle.resolution} px`, middle),
    local(`largest submodel, ${large} px`, maxSubmodel(spec, large)),
    ...(planned === undefined
      ? []
      : [{ name: `planned, ${planned.submodel.resolution} px`, strategy: planned, planned: true }]),
  ]
}

const inBox = (box: SwarmBox, supernet: Supernet, quick: boolean, seed: number) =>
  Effect.gen(function* () {
    const handle = box.device(device)
    return yield* Effect.gen(function* () {
      const reference = new Reference(supernet.spec, supernet.weights)
      const [count, warmUp] = quick ? [60, 20] : [400, 60]
      const measured: Array<readonly [Case, ReadonlyArray<Sample>]> = []
      for (const one of casesOf(supernet, yield* plannedStrategy)) {
        const evaluator = yield* Effect.promise(() => reference.strategy(one.strategy))
        measured.push([one, yield* measure(supernet.spec, one, evaluator, count, warmUp, seed)])
        yield* Effect.promise(() => evaluator.release())
      }
      return measured
    }).pipe(Effect.provide(Bus.layer({ ...handle.client, name: "bench" })))
  })

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  // As the device does it: or this process' own pauses would be counted as the swarm's.
  collectRarely()
  const supernet = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const devices = [{ id: device, profile: "raspberry-pi-4", emulate: false }]
  const measured = await Effect.runPromise(
    swarmBox({ devices }).pipe(
      Effect.flatMap((box) => inBox(box, supernet, quick, seed)),
      Effect.scoped,
    ),
  )
  const all = measured.flatMap(([, samples]) => samples)
  const { name, version, trained } = supernet.spec
  return {
    kind: "measured",
    checks: [
      { name: "p50_ms", value: median(all.map(added)), op: "<=", bound: 4 },
      { name: "p99_ms", value: quantile(all.map(added), 0.99), op: "<=", bound: 10 },
    ],
    rows: [
      ...measured.map(([one, samples]) => rowOf(one, samples)),
      {
        case: "all",
        requests: all.length,
        "added p50 ms": median(all.map(added)),
        "added p99 ms": quantile(all.map(added), 0.99),
        "bare p99 over its p50 ms": median(measured.map(([, samples]) => tail(samples.map((s) => s.bareMs)))),
      },
    ],
    notes: [
      `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}; random pixels of the network's size; one thread`,
      "added = the client's round trip (codec, leaf, actors, worker, reply) minus a run of the bare fused session just after it",
      "checks are over all requests of all cases together; bare p99 over its p50 is what this machine does to a lone session",
      `load average of this machine at the end: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores (the bench itself included)`,
      "the hops are medians of each part on its own, so they add up only roughly",
    ],
  }
}

export const bench: BenchModule = {
  name: "overhead",
  proves: "the whole way through actors and bus adds a few milliseconds to an inference",
  takes: "2 minutes",
  run,
}
