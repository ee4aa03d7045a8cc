/**
 * A sample of the paper's figures 13 to 17, run: our strategies on a swarm in a box (real processes, servers, messages and
 * inference at ImageNet scale with untrained weights, which take as long as trained ones), beside what the latency model
 * says. Devices and links run in slow motion, so that this machine has time to compute what a GPU would.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer, Result } from "effect"
import sharp from "sharp"
import { idealLink, symmetricLink } from "../devices/latency/Condition.ts"
import { timeline } from "../devices/latency/Timeline.ts"
import { dilated } from "../devices/profiles/DeviceProfile.ts"
import { profileNamed } from "../devices/profiles/Shipped.ts"
import { type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import type { Condition, Slo } from "../policies/Condition.ts"
import { decodeGenome } from "../policies/Genome.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { writeArtifact } from "../supernet/Artifact.ts"
import { below, pick, type Random, seededRandom } from "../supernet/Random.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { randomWeights } from "../supernet/Weights.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  median,
  projectRoot,
  quantile,
} from "./Bench.ts"
import { svgDocument, xyChart } from "./Charts.ts"
import { augmented, logSpaced, OurPlanner, spec, swarm, world } from "./paper/Methods.ts"

interface Point {
  readonly figure: string
  readonly condition: Condition
  readonly slo: Slo
}

/** A scenario's box: how many times slower than life, and the devices. */
interface Stage {
  readonly name: string
  readonly slow: number
  readonly condition: Condition
  readonly points: (random: Random, count: number) => ReadonlyArray<Point>
}

const bandwidths = logSpaced(5, 500, 10)
const delays = logSpaced(1, 100, 10)
const accuracies = [0.74, 0.76, 0.77, 0.78, 0.785, 0.79]

/** The GPU of the profile is some ten times faster than one core of this machine. */
const augmentedStage: Stage = {
  name: "augmented",
  slow: 16,
  condition: augmented({ bandwidthMbps: 100, delayMs: 1 }),
  points: (random, count) =>
    Array.from({ length: count }, (_, i): Point => {
      const link = { bandwidthMbps: pick(random, bandwidths), delayMs: pick(random, delays) }
      const condition = augmented(i % 2 === 0 ? link : { ...link, delayMs: 20 })
      if (i % 2 === 1)
        return { figure: "15", condition, slo: { kind: "accuracy", accuracy: pick(random, accuracies) } }
      return { figure: "13", condition, slo: { kind: "latency", latencyMs: pick(random, [70, 140]) } }
    }),
}

const swarmStage: Stage = {
  name: "swarm",
  slow: 6,
  condition: swarm(Array.from({ length: 4 }, () => ({ bandwidthMbps: 100, delayMs: 1 }))),
  points: (random, count) =>
    Array.from({ length: count }, (_, i): Point => {
      const other = { bandwidthMbps: 100, delayMs: 20 }
      const varied = { bandwidthMbps: pick(random, bandwidths), delayMs: 20 }
      const near = { bandwidthMbps: 1000, delayMs: 2 }
      const accuracySlo: Slo = { kind: "accuracy", accuracy: pick(random, accuracies) }
      const remotes = 1 + below(random, 4)
      if (i % 3 === 0)
        return {
          figure: "14",
          condition: swarm([varied, other, other, other]),
          slo: { kind: "latency", latencyMs: 60 + below(random, 80) },
        }
      if (i % 3 === 1)
        return { figure: "15", condition: swarm([varied, varied, varied, varied]), slo: accuracySlo }
      return { figure: "17", condition: swarm(Array.from({ length: remotes }, () => near)), slo: accuracySlo }
    }),
}

/** Untrained weights of the ImageNet-scale supernet, made once. */
const artifact = Effect.gen(function* () {
  const directory = join(projectRoot, ".cache", `untrained-${spec.name}`)
  if (!existsSync(join(directory, "manifest.json")))
    yield* writeArtifact(directory, spec, randomWeights(spec, 1), { training: "untrained" })
  return directory
})

const picture = Effect.promise(() => {
  const noise = { type: "gaussian" as const, mean: 120, sigma: 40 }
  return sharp({ create: { width: 640, height: 480, channels: 3, background: "#587", noise } })
    .jpeg({ quality: 85 })
    .toBuffer()
})

const slowLink = (slow: number, d: { readonly bandwidthMbps: number; readonly delayMs: number }) =>
  symmetricLink(d.bandwidthMbps / slow, d.delayMs * slow)

const predictedMs = (stage: Stage, condition: Condition, strategy: Strategy): number =>
  timeline({
    spec,
    strategy,
    condition: {
      devices: condition.devices.map((d, i) => ({
        id: d.id,
        profile: d.type,
        link: i === 0 ? idealLink : slowLink(stage.slow, d),
      })),
    },
    profileOf: (name) => dilated(Result.getOrThrow(profileNamed(name)), stage.slow),
  }).latencyMs

interface Measured {
  readonly stage: Stage
  readonly point: Point
  readonly strategy: Strategy
  /** All three in the time of the real devices: slow motion taken out again. */
  readonly plannedMs: number
  readonly predictedMs: number
  readonly measuredMs: number
  readonly p90Ms: number
}

const warmUps = 2

const measure = Effect.fnUntraced(function* (
  box: SwarmBox,
  stage: Stage,
  point: Point,
  run: { readonly image: Uint8Array; readonly repeats: number; readonly planner: OurPlanner },
) {
  const found = run.planner.best(point.condition, point.slo)
  const ids = point.condition.devices.map((d) => d.id)
  const strategy = decodeGenome(world.space, found.genome, ids)
  for (const device of point.condition.devices.slice(1))
    yield* box.device(DeviceId.make(device.id)).setLink(slowLink(stage.slow, device))
  const once = infer({
    image: run.image,
    slo: { latencyMs: 60_000 },
    device: "local",
    strategy: { ...strategy, devices: strategy.devices.map((d) => DeviceId.make(d)) },
    deadlineMs: 60_000,
  })
  for (let i = 0; i < warmUps; i++) yield* once
  const times: Array<number> = []
  for (let i = 0; i < run.repeats; i++) times.push((yield* once).latencyMs / stage.slow)
  const expected = predictedMs(stage, point.condition, strategy) / stage.slow
  const measured: Measured = {
    stage,
    point,
    strategy,
    plannedMs: found.latencyMs,
    predictedMs: expected,
    measuredMs: median(times),
    p90Ms: quantile(times, 0.9),
  }
  return measured
})

const runStage = Effect.fnUntraced(function* (stage: Stage, count: number, repeats: number, seed: number) {
  const supernet = yield* artifact
  const box = yield* swarmBox({
    supernet,
    devices: stage.condition.devices.map((d, i) => ({
      id: DeviceId.make(d.id),
      profile: d.type,
      slow: stage.slow,
      ...(i === 0 ? {} : { link: slowLink(stage.slow, d) }),
    })),
  })
  const image = yield* picture
  const planner = new OurPlanner(6000, seed)
  const points = stage.points(seededRandom(seed), count)
  return yield* Effect.forEach(points, (point) =>
    measure(box, stage, point, { image, repeats, planner }),
  ).pipe(Effect.provide(Layer.fresh(Bus.layer(box.device(DeviceId.make("local")).client))))
}, Effect.scoped)

const draw = (all: ReadonlyArray<Measured>, gap: number): string => {
  const stages = [...new Set(all.map((m) => m.stage.name))]
  const labels = {
    title: "Sample of figures 13 to 17: run on the emulated swarm, and by the model",
    subtitle: `median gap ${(100 * gap).toFixed(1)} %; whiskers to the 90th percentile; slow motion taken out`,
    x: "latency by the model, ms",
    y: "latency as run, ms",
  }
  const series = stages.map((name) => ({
    name,
    style: "dots" as const,
    points: all
      .filter((m) => m.stage.name === name)
      .map((m) => ({ x: m.predictedMs, y: m.measuredMs, low: m.measuredMs, high: m.p90Ms })),
  }))
  return svgDocument(xyChart(labels, series, { diagonal: true, x: { min: 0 }, y: { min: 0 } }))
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const [count, repeats] = quick ? [2, 3] : [15, 20]
  const all: Array<Measured> = []
  for (const stage of [augmentedStage, swarmStage])
    all.push(...(await Effect.runPromise(runStage(stage, count, repeats, seed))))
  const gaps = all.map((m) => Math.abs(m.measuredMs / m.predictedMs - 1))
  const round = (value: number) => Number(value.toFixed(1))
  return {
    kind: "both",
    checks: [
      { name: "points", value: all.length, op: ">=", bound: 30 },
      { name: "median_abs_rel_gap", value: median(gaps), op: "<=", bound: 0.08 },
    ],
    rows: all.map((m) => ({
      scenario: m.stage.name,
      figure: m.point.figure,
      slo: m.point.slo.kind === "latency" ? `${m.point.slo.latencyMs} ms` : `${100 * m.point.slo.accuracy} %`,
      links: m.point.condition.devices
        .slice(1)
        .map((d) => `${d.bandwidthMbps}/${d.delayMs}`)
        .join(" "),
      devices: m.strategy.devices.length,
      plannedMs: round(m.plannedMs),
      predictedMs: round(m.predictedMs),
      measuredMs: round(m.measuredMs),
      p90Ms: round(m.p90Ms),
    })),
    notes: [
      `median of ${repeats} inferences after ${warmUps} warm-ups; devices and links slowed ${augmentedStage.slow} (augmented) and ${swarmStage.slow} (swarm) times, times divided by that again`,
      "plannedMs: the model at full speed; predictedMs: the model of the slow motion, where the bus and the actors cost relatively less",
      "ImageNet-scale supernet with untrained weights: latencies are real, answers mean nothing",
    ],
    figures: new Map([["paper-swarm.svg", draw(all, median(gaps))]]),
  }
}

export const bench: BenchModule = {
  name: "paper-swarm",
  proves: "points of the paper's figures, run on the emulated swarm, take what the model says",
  takes: "15 minutes",
  run,
}
