/**
 * What it costs to switch a device to a strategy that it has never run: making its sessions ready, and the penalty of the
 * first run against later ones. Whole networks on one device, the worst case: up to 23 blocks change at once.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { cpus, loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { Engine, settled, type EngineOptions, type EngineShape } from "../devices/engine/Engine.ts"
import { imagePiece } from "../devices/engine/Pieces.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { type Random, seededRandom } from "../supernet/Random.ts"
import { localStrategy, sampleStrategy, type Strategy } from "../supernet/Strategy.ts"
import { activeBlocks, sampleSubmodel } from "../supernet/Submodel.ts"
import { createSession } from "../supernet/onnx/Runtime.ts"
import { SegmentBuilder } from "../supernet/onnx/Segment.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"

const device = "bench"

interface Switch {
  /** From the call of `prepare` to its answer. */
  readonly prepareMs: number
  /** First run against the median of later ones on the same sessions. */
  readonly penaltyMs: number
  readonly steadyMs: number
  /** Median run once the segment is fused. */
  readonly fusedMs: number
  /** Processor time of the whole process for the same, which neighbours on the machine hardly change. */
  readonly cpuMs: number
  readonly built: number
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const imageOf = (size: number, random: Random): Uint8Array =>
  Uint8Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))

const timed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const [start, cpuStart] = [performance.now(), cpuMs()]
    return Effect.map(effect, (value) => ({ value, ms: performance.now() - start, cpu: cpuMs() - cpuStart }))
  })

const switchTo = Effect.fnUntraced(function* (engine: EngineShape, strategy: Strategy, random: Random) {
  const size = strategy.submodel.resolution
  const image = imageOf(size, random)
  const region = { y0: 0, y1: size, x0: 0, x1: size }
  const { value: prepared, ms: prepareMs, cpu } = yield* timed(engine.prepare(strategy))
  const run = Effect.suspend(() => {
    const pieces = [imagePiece(0, image, size, region)]
    return engine.run({ requestId: "r", strategyId: prepared.strategyId, task: 0, pieces })
  })
  const first = yield* timed(run)
  const repeated = Effect.fnUntraced(function* (count: number) {
    const runs: Array<{ readonly ms: number; readonly cpu: number }> = []
    for (let i = 0; i < count; i++) runs.push(yield* timed(run))
    return { ms: median(runs.map((r) => r.ms)), cpu: median(runs.map((r) => r.cpu)) }
  })
  const steady = yield* repeated(9)
  let { tier } = first.value.timings
  for (let i = 0; i < 50 && tier !== "fused"; i++) {
    yield* Effect.sleep("8 millis")
    tier = (yield* run).timings.tier
  }
  const result: Switch = {
    prepareMs,
    penaltyMs: first.ms - steady.ms,
    steadyMs: steady.ms,
    fusedMs: (yield* repeated(9)).ms,
    cpuMs: cpu + first.cpu - steady.cpu,
    built: prepared.timings.built,
  }
  return result
})

/** Switches of one engine, after its idle work is done. */
const switches = (supernet: Supernet, options: Partial<EngineOptions>, count: number, random: Random) =>
  Effect.gen(function* () {
    const engine = yield* Engine
    yield* settled(engine)
    const done: Array<Switch> = []
    for (let i = 0; i < count; i++) {
      const strategy = localStrategy(supernet.spec, sampleSubmodel(supernet.spec, random), device)
      done.push(yield* switchTo(engine, strategy, random))
    }
    const spread: Array<number> = []
    for (let i = 0; i < count; i++) {
      const strategy = sampleStrategy(supernet.spec, [device, "b", "c", "d", "e"], random)
      spread.push((yield* timed(engine.prepare(strategy))).ms)
    }
    return { done, spread, stats: yield* engine.stats }
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Engine.layer({ deviceId: device, spec: supernet.spec, weights: supernet.weights, ...options }),
    ),
  )

/** The alternative without a supernet in memory: every network its own ONNX file, read and built when it is wanted. */
const fromFiles = async ({ spec, weights }: Supernet, count: number, random: Random): Promise<Row> => {
  const folder = await mkdtemp(join(tmpdir(), "murmuration-switch-"))
  const builder = new SegmentBuilder(spec, weights)
  const times: Array<number> = []
  for (let i = 0; i < count; i++) {
    const submodel = sampleSubmodel(spec, random)
    const path = join(folder, "network.onnx")
    await writeFile(path, builder.build(activeBlocks(spec, submodel), submodel.resolution))
    const start = performance.now()
    const session = await createSession(await readFile(path))
    times.push(performance.now() - start)
    await session.release()
  }
  await rm(folder, { recursive: true })
  return {
    case: "each network its own file, in the disk cache",
    switches: count,
    "switch p50 ms": median(times),
    "p10 ms": quantile(times, 0.1),
    "p90 ms": quantile(times, 0.9),
  }
}

const rowOf = (name: string, result: Effect.Success<ReturnType<typeof switches>>): Row => {
  const of = (f: (s: Switch) => number) => result.done.map(f)
  const total = of((s) => s.prepareMs + s.penaltyMs)
  return {
    case: name,
    switches: result.done.length,
    "switch p50 ms": median(total),
    "p10 ms": quantile(total, 0.1),
    "p90 ms": quantile(total, 0.9),
    "switch CPU p50 ms": median(of((s) => s.cpuMs)),
    "prepare p50 ms": median(of((s) => s.prepareMs)),
    "first-run penalty p50 ms": median(of((s) => s.penaltyMs)),
    "steady run p50 ms": median(of((s) => s.steadyMs)),
    "fused run p50 ms": median(of((s) => s.fusedMs)),
    "sessions built p50": median(of((s) => s.built)),
    "prepare of a 5-device strategy p50 ms": median(result.spread),
    sessions: result.stats.sessions,
  }
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const supernet = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const count = quick ? 20 : 100
  const random = seededRandom(seed)
  const cases: ReadonlyArray<readonly [string, Partial<EngineOptions>]> = [
    ["resident", { preload: true, sessionBudgetBytes: 1e9 }],
    ["on demand", { preload: false }],
    ["on demand, 24 MB of sessions", { preload: false, sessionBudgetBytes: 24e6 }],
  ]
  const rows: Array<Row> = []
  const p50: Array<number> = []
  for (const [name, options] of cases) {
    const result = await Effect.runPromise(switches(supernet, options, count, random))
    rows.push(rowOf(name, result))
    p50.push(median(result.done.map((s) => s.prepareMs + s.penaltyMs)))
  }
  rows.push(await fromFiles(supernet, count, random))
  const { name, version, trained } = supernet.spec
  return {
    kind: "measured",
    checks: [
      { name: "resident_p50_ms", value: p50[0] ?? Number.NaN, op: "<=", bound: 2 },
      { name: "ondemand_p50_ms", value: p50[1] ?? Number.NaN, op: "<=", bound: 35 },
    ],
    rows,
    notes: [
      `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}, random submodels of all resolutions`,
      `load average of the machine at the end: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`,
      "switch = prepare, from call to answer through the worker, plus first run minus steady run on the same sessions",
      "resident switches run on block sessions at first; the fused run is what the same strategy takes a little later",
    ],
  }
}

export const bench: BenchModule = {
  name: "switch",
  proves: "a device switches to a strategy it has never run in milliseconds",
  takes: "1 minute",
  run,
}
