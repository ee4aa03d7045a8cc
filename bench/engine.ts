/**
 * Where the engine's decisions come from: runtime options, fused against block sessions, the way through the worker, and the
 * bus' number formats. Every group is measured interleaved, round after round.
 */
import { cpus, loadavg } from "node:os"
import { Effect } from "effect"
import * as ort from "onnxruntime-node"
import { Engine, settled } from "../devices/engine/Engine.ts"
import { Boundary, imagePiece, type Map3, type Piece } from "../devices/engine/Pieces.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { seededRandom } from "../supernet/Random.ts"
import { bitsChoices, localStrategy } from "../supernet/Strategy.ts"
import { activeBlocks, maxSubmodel, minSubmodel, type Submodel } from "../supernet/Submodel.ts"
import { byteTensor, createSession, type OrtTensor, output, type Session } from "../supernet/onnx/Runtime.ts"
import { SegmentBuilder, segmentInput, segmentOutput } from "../supernet/onnx/Segment.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"

type Timed = Readonly<Record<string, () => Promise<unknown>>>

/** Milliseconds of each function, measured in turns after two rounds of warm-up. */
const interleaved = async (functions: Timed, rounds: number): Promise<ReadonlyMap<string, Array<number>>> => {
  const times = new Map(Object.keys(functions).map((name) => [name, new Array<number>()]))
  for (let round = -2; round < rounds; round++) {
    for (const [name, f] of Object.entries(functions)) {
      const start = performance.now()
      await f()
      if (round >= 0) times.get(name)?.push(performance.now() - start)
    }
  }
  return times
}

const pixelsOf = (size: number): Uint8Array => {
  const random = seededRandom(size)
  return Uint8Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))
}

const imageTensor = (size: number): OrtTensor => byteTensor(pixelsOf(size), [1, size, size, 3])

const chain = async (sessions: ReadonlyArray<Session>, input: OrtTensor): Promise<OrtTensor> => {
  let value = input
  for (const session of sessions) value = output(await session.run({ [segmentInput]: value }), segmentOutput)
  return value
}

const networks = (supernet: Supernet): ReadonlyArray<readonly [string, Submodel]> => {
  const { spec } = supernet
  const [smallest, largest] = [Math.min(...spec.resolutions), Math.max(...spec.resolutions)]
  return [
    [`smallest, ${smallest} px`, minSubmodel(spec, smallest)],
    [`smallest, ${largest} px`, minSubmodel(spec, largest)],
    [`largest, ${largest} px`, maxSubmodel(spec, largest)],
  ]
}

const tiersAndOptions = async (supernet: Supernet, rounds: number): Promise<ReadonlyArray<Row>> => {
  const builder = new SegmentBuilder(supernet.spec, supernet.weights)
  const rows: Array<Row> = []
  for (const [network, submodel] of networks(supernet)) {
    const { resolution } = submodel
    const blocks = activeBlocks(supernet.spec, submodel)
    const model = builder.build(blocks, resolution)
    const fused = await createSession(model)
    const plain = await ort.InferenceSession.create(model, {
      graphOptimizationLevel: "extended",
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
    })
    const single = await Promise.all(blocks.map((b) => createSession(builder.build([b], resolution))))
    const x = imageTensor(resolution)
    const times = await interleaved(
      {
        fused: () => fused.run({ [segmentInput]: x }),
        blocks: () => chain(single, x),
        "without blocked layout": () => plain.run({ [segmentInput]: x }),
      },
      rounds,
    )
    for (const [what, ms] of times) {
      rows.push({ group: "tiers", network, what, "p10 ms": quantile(ms, 0.1), "p50 ms": median(ms) })
    }
    for (const session of [fused, plain, ...single]) await session.release()
  }
  return rows
}

/** The same fused segment through the worker and directly: what a task costs beyond its computation. */
const throughWorker = (supernet: Supernet, rounds: number) =>
  Effect.gen(function* () {
    const engine = yield* Engine
    const context = yield* Effect.context<Engine>()
    const builder = new SegmentBuilder(supernet.spec, supernet.weights)
    const rows: Array<Row> = []
    let addedMs = 0
    for (const [network, submodel] of networks(supernet)) {
      const size = submodel.resolution
      const bare = yield* Effect.promise(() =>
        createSession(builder.build(activeBlocks(supernet.spec, submodel), size)),
      )
      const { strategyId } = yield* engine.prepare(localStrategy(supernet.spec, submodel, engine.deviceId))
      yield* settled(engine)
      const [pixels, x] = [pixelsOf(size), imageTensor(size)]
      const region = { y0: 0, y1: size, x0: 0, x1: size }
      const task = () => ({
        requestId: "r",
        strategyId,
        task: 0,
        pieces: [imagePiece(0, pixels, size, region)],
      })
      const times = yield* Effect.promise(() =>
        interleaved(
          {
            "bare session": () => bare.run({ [segmentInput]: x }),
            engine: () => Effect.runPromiseWith(context)(engine.run(task())),
          },
          rounds,
        ),
      )
      for (const [what, ms] of times) {
        rows.push({ group: "worker", network, what, "p10 ms": quantile(ms, 0.1), "p50 ms": median(ms) })
      }
      const p50 = (what: string) => median(times.get(what) ?? [])
      addedMs = Math.max(addedMs, p50("engine") - p50("bare session"))
      yield* Effect.promise(() => bare.release())
    }
    return { rows, addedMs }
  }).pipe(
    Effect.provide(
      Engine.layer({ deviceId: "bench", spec: supernet.spec, weights: supernet.weights, preload: false }),
    ),
  )

const formats = async (rounds: number): Promise<ReadonlyArray<Row>> => {
  const boundary = new Boundary({})
  const rows: Array<Row> = []
  for (const [channels, side] of [
    [12, 56],
    [24, 56],
    [16, 112],
    [80, 7],
  ] as const) {
    const region = { y0: 0, y1: side, x0: 0, x1: side }
    const random = seededRandom(side)
    const data = Float32Array.from({ length: channels * side * side }, () => random.next() - 0.3)
    const map: Map3 = { data, channels, region }
    const half = { ...region, y1: Math.ceil(side / 2) }
    const network = `${channels} x ${side} x ${side}`
    for (const bits of bitsChoices) {
      let piece: Omit<Piece, "edge"> = await boundary.narrow(map, region, bits)
      const times = await interleaved(
        {
          [`narrow, ${bits} bits`]: async () => (piece = await boundary.narrow(map, region, bits)),
          [`narrow the upper half, ${bits} bits`]: () => boundary.narrow(map, half, bits),
          [`widen, ${bits} bits`]: () => boundary.widen(piece, region, channels),
        },
        rounds * 4,
      )
      for (const [what, ms] of times) {
        rows.push({ group: "formats", network, what, "p10 ms": quantile(ms, 0.1), "p50 ms": median(ms) })
      }
    }
  }
  await boundary.release()
  return rows
}

const run = async ({ quick }: BenchOptions): Promise<BenchResult> => {
  const supernet = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const rounds = quick ? 20 : 100
  const tiers = await tiersAndOptions(supernet, rounds)
  const worker = await Effect.runPromise(throughWorker(supernet, rounds))
  const { name, version, trained } = supernet.spec
  return {
    kind: "measured",
    checks: [{ name: "worker_added_p50_ms", value: worker.addedMs, op: "<=", bound: 1 }],
    rows: [...tiers, ...worker.rows, ...(await formats(rounds))],
    notes: [
      `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}; one thread, no arena; ${rounds} rounds, interleaved`,
      "without blocked layout: graphOptimizationLevel 'extended', which lacks the NCHWc convolutions of 'all'",
      `load average of the machine at the end: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`,
    ],
  }
}

export const bench: BenchModule = {
  name: "engine",
  proves: "what the engine's tiers, its worker and the bus' number formats cost",
  takes: "1 minute",
  unseeded: true,
  asDevice: true,
  run,
}
