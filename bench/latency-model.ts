/**
 * Predicted against measured: random strategies on random links, on a swarm in a box (real processes, servers and
 * inference; device speed emulated, links shaped). The latency model has to be right for anything else to be.
 */
import { Effect, Layer } from "effect"
import sharp from "sharp"
import { noOverheads } from "../devices/latency/Overheads.ts"
import { shippedProfile } from "../devices/profiles/Shipped.ts"
import { type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { seededRandom } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile } from "./Bench.ts"
import * as Flags from "./Flags.ts"
import { fitOverheads, type Point, type PointWorld, predict, samplePoint } from "./LatencyPoints.ts"
import { svgDocument } from "./Svg.ts"
import { xyChart } from "./XyChart.ts"

const profileName = "raspberry-pi-3"
const limitMs = 1500
const warmUps = 2
const repeats = 5

/** A camera frame: noise and shapes, 640 x 480, so that decoding costs what it costs. */
const picture = Effect.promise(() =>
  sharp({
    create: {
      width: 640,
      height: 480,
      channels: 3,
      background: "#587",
      noise: { type: "gaussian", mean: 120, sigma: 40 },
    },
  })
    .jpeg({ quality: 85 })
    .toBuffer(),
)

interface Measured {
  readonly point: Point
  readonly predictedMs: number
  /** Median of the repeats. */
  readonly measuredMs: number
  readonly fastestMs: number
}

/** Warm-ups make the strategy ready everywhere and its segments fused; the repeats after them count. */
const measurePoint = Effect.fnUntraced(function* (
  box: SwarmBox,
  world: PointWorld,
  point: Point,
  image: Uint8Array,
) {
  for (const [id, link] of point.links) {
    yield* box
      .device(DeviceId.make(id))
      .setLink({ upMbps: link.mbps, downMbps: link.mbps, delayMs: link.delayMs })
  }
  const slo = { latencyMs: 60_000 }
  const [device = ""] = world.devices
  const once = infer({
    image,
    slo,
    device,
    strategy: { ...point.strategy, devices: point.strategy.devices.map((d) => DeviceId.make(d)) },
    deadlineMs: 30_000,
  })
  for (let i = 0; i < warmUps; i++) yield* once
  const times: Array<number> = []
  for (let i = 0; i < repeats; i++) times.push((yield* once).latencyMs)
  const predictedMs = predict(world, point).latencyMs
  const measured: Measured = { point, predictedMs, measuredMs: median(times), fastestMs: Math.min(...times) }
  return measured
})

const measureAll = (count: number, seed: number) =>
  Effect.gen(function* () {
    const { spec } = yield* readArtifact(yield* defaultArtifact)
    const profile = shippedProfile(profileName)
    const devices = ["d-1", "d-2", "d-3", "d-4", "d-5"]
    const world: PointWorld = { spec, profile, devices }
    const box = yield* swarmBox({
      devices: devices.map((id, i) => ({
        id: DeviceId.make(id),
        profile: profileName,
        ...(i === 0 ? {} : { link: { upMbps: 100, downMbps: 100, delayMs: 1 } }),
      })),
    })
    const image = yield* picture
    const random = seededRandom(seed)
    const done: Array<Measured> = []
    let failed = 0
    const client = Layer.fresh(Bus.layer(box.devices[0]?.client ?? box.operator))
    yield* Effect.gen(function* () {
      while (done.length < count) {
        const result = yield* Effect.result(
          measurePoint(box, world, samplePoint(world, random, limitMs), image),
        )
        if (result._tag === "Success") done.push(result.success)
        else if (++failed > 2 * count) return yield* result.failure
      }
    }).pipe(Effect.provide(client))
    return { world, done, failed }
  }).pipe(Effect.scoped)

const scatter = (done: ReadonlyArray<Measured>): string => {
  const points = done.map((m) => ({ x: m.measuredMs, y: m.predictedMs }))
  const labels = { title: "Random strategies on random links", x: "measured, ms", y: "predicted, ms" }
  const series = [{ name: "a strategy under a link setting", points, style: "dots" as const }]
  return svgDocument(xyChart(labels, series, { diagonal: true, x: { log: true }, y: { log: true } }))
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

const run = async ({ quick, seed, arguments: given }: BenchOptions): Promise<BenchResult> => {
  const points = Number(given.get("points") ?? 200)
  const { world, done, failed } = await Effect.runPromise(measureAll(quick ? 12 : points, seed))
  const errors = done.map((m) => m.predictedMs / m.measuredMs - 1)
  const absolute = errors.map(Math.abs)
  const fastest = done.map((m) => Math.abs(m.predictedMs / m.fastestMs - 1))
  const fit = fitOverheads(
    done.map((m) => ({ bare: predict(world, m.point, noOverheads), measuredMs: m.measuredMs })),
  )
  const rows = done.map((m, i) => {
    const t = predict(world, m.point)
    const links = t.devices.slice(1).map((d) => d.link)
    return {
      devices: t.devices.length,
      tasks: t.tasks.length,
      messages: t.transfers.length,
      kilobytes: Math.round(t.transfers.reduce((s, x) => s + x.bytes, 0) / 1000),
      slowest_mbps: Math.min(...links.map((l) => l.upMbps)),
      longest_delay_ms: Math.max(...links.map((l) => l.delayMs)),
      predicted_ms: m.predictedMs,
      measured_ms: m.measuredMs,
      fastest_ms: m.fastestMs,
      rel_err: errors[i] ?? 0,
    }
  })
  return {
    kind: "both",
    checks: [
      { name: "median_abs_rel_err", value: median(absolute), op: "<=", bound: 0.08 },
      { name: "p95_abs_rel_err", value: quantile(absolute, 0.95), op: "<=", bound: 0.2 },
      { name: "bias", value: median(errors), op: "within", bound: [-0.05, 0.05] },
      { name: "points", value: done.length, op: ">=", bound: 200 },
    ],
    rows,
    notes: [
      `5 processes emulating ${profileName} (real inference, held to the profile's time), shaped links, all on one machine with what else ran on it; medians of ${repeats} after ${warmUps} warm-ups (fastest_ms: the fastest of them, which others on the machine disturbed least; against those the median error is ${percent(median(fastest))}, and 95 % are within ${percent(quantile(fastest, 0.95))}); ${failed} tries failed.`,
      `Overheads that would fit these points best: fixed ${fit.fixedMs.toFixed(2)} ms, task ${fit.taskMs.toFixed(2)} ms, message ${fit.messageMs.toFixed(2)} ms + ${fit.messageMsPerMb.toFixed(2)} ms/MB (see devices/latency/Overheads.ts).`,
    ],
    figures: new Map([["latency-model.svg", scatter(done)]]),
  }
}

export const bench: BenchModule = {
  name: "latency-model",
  proves: "the latency model predicts what the running swarm takes",
  takes: "10 min",
  flags: { points: Flags.count("N: strategies and conditions to compare (default: 200)") },
  run,
}
