/**
 * What it costs to switch a device to a strategy that it has never run: making its sessions ready, and the penalty of the
 * first run against later ones. Whole networks on one device, the worst case: up to 23 blocks change at once.
 */
import { cpus, loadavg } from "node:os"
import { Effect } from "effect"
import { Engine, settled, type EngineOptions, type EngineShape } from "../devices/engine/Engine.ts"
import { imagePiece } from "../devices/engine/Pieces.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { type Random, seededRandom } from "../supernet/Random.ts"
import { localStrategy, sampleStrategy, type Strategy } from "../supernet/Strategy.ts"
import { sampleSubmodel } from "../supernet/Submodel.ts"
import { randomWeights } from "../supernet/Weights.ts"
import { zoo } from "../supernet/zoo/Zoo.ts"
import { barChart, svgDocument } from "./Charts.ts"
import { spec as imagenetSpec } from "./paper/Methods.ts"
import { submodelFiles, zooFile } from "./SwitchFiles.ts"
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

/** Figure 19 of the paper: switching our supernet, against loading the baselines' networks. */
const figure19 = (ours: ReadonlyArray<Row>, others: ReadonlyArray<Row>): string => {
  const rows = [...ours, ...others]
  const labels = {
    title: "Figure 19: time to switch the model",
    subtitle:
      "measured; ours: random submodels of the ImageNet-scale supernet, untrained; others: ONNX files in the disk cache",
    x: "",
    y: "ms (log)",
    width: 760,
  }
  const values = rows.map((r) => Number(r["switch p50 ms"]))
  return svgDocument(
    barChart(
      labels,
      rows.map((r) => String(r["case"]).replace("ImageNet scale, ", "ours, ")),
      [{ name: "p50", values }],
      { log: true },
    ),
  )
}

interface Case {
  readonly name: string
  readonly supernet: Supernet
  readonly options: Partial<EngineOptions>
}

const casesFor = (shipped: Supernet): ReadonlyArray<Case> => {
  const weights = randomWeights(imagenetSpec, 1)
  const large: Supernet = { ...shipped, spec: imagenetSpec, weights }
  return [
    { name: "resident", supernet: shipped, options: { preload: true, sessionBudgetBytes: 1e9 } },
    { name: "on demand", supernet: shipped, options: { preload: false } },
    {
      name: "on demand, 24 MB of sessions",
      supernet: shipped,
      options: { preload: false, sessionBudgetBytes: 24e6 },
    },
    {
      name: "ImageNet scale, resident",
      supernet: large,
      options: { preload: true, sessionBudgetBytes: 2e9 },
    },
    {
      name: "ImageNet scale, on demand",
      supernet: large,
      options: { preload: false, sessionBudgetBytes: 2e9 },
    },
  ]
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const shipped = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const count = quick ? 20 : 100
  const random = seededRandom(seed)
  const ours: Array<Row> = []
  for (const { name, supernet, options } of casesFor(shipped).slice(0, quick ? 3 : undefined))
    ours.push(rowOf(name, await Effect.runPromise(switches(supernet, options, count, random))))
  const others: Array<Row> = []
  for (const network of zoo.slice(0, quick ? 1 : undefined))
    others.push(await zooFile(network, quick ? 3 : 7))
  const p50 = (i: number) => Number(ours[i]?.["switch p50 ms"])
  const { name, version, trained } = shipped.spec
  return {
    kind: "measured",
    checks: [
      { name: "resident_p50_ms", value: p50(0), op: "<=", bound: 2 },
      { name: "ondemand_p50_ms", value: p50(1), op: "<=", bound: 35 },
    ],
    rows: [...ours, await submodelFiles(shipped, count, random), ...others],
    notes: [
      `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}, random submodels of all resolutions; ImageNet scale: width 1.2, untrained`,
      `load average of the machine at the end: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`,
      "switch = prepare, from call to answer through the worker, plus first run minus steady run on the same sessions",
      "resident switches run on block sessions at first; the fused run is what the same strategy takes a little later",
      "the zoo's networks have random weights: reading and building them takes as long as trained ones",
    ],
    ...(quick ? {} : { figures: new Map([["paper-19.svg", figure19(ours.slice(3), others)]]) }),
  }
}

export const bench: BenchModule = {
  name: "switch",
  proves: "a device switches to a strategy it has never run in milliseconds",
  takes: "3 minutes",
  asDevice: true,
  run,
}
