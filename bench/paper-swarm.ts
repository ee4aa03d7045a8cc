/**
 * A sample of the points of each of the paper's figures 13 to 17, run: our strategies on a swarm in a box (real processes,
 * servers, messages and inference at ImageNet scale with untrained weights, which take as long as trained ones), beside what
 * the latency model says. Devices and links run in slow motion, so that this machine has time to compute what a GPU would.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import sharp from "sharp"
import type { SwarmBox } from "../deploy/SwarmBox.ts"
import { decodeGenome } from "../policies/Genome.ts"
import { Bus } from "../subjects/Bus.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { writeArtifact } from "../supernet/Artifact.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { randomWeights } from "../supernet/Weights.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  median,
  projectRoot,
  quantile,
  type Row,
} from "./Bench.ts"
import { besides, type Figure, svgDocument, xyChart } from "./Charts.ts"
import { gapOf, gapText } from "./paper/Gaps.ts"
import { OurPlanner, spec, world } from "./paper/Methods.ts"
import { runSlowly, slowBox, slowModelMs, warmUps } from "./paper/SlowMotion.ts"
import { sampledFigures, samplePoints, type SamplePoint, type Stage, stagesOf } from "./paper/SwarmSample.ts"

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

interface Measured {
  readonly stage: Stage
  readonly point: SamplePoint
  readonly strategy: Strategy
  /** All three in the time of the real devices: slow motion taken out again. */
  readonly plannedMs: number
  readonly predictedMs: number
  readonly measuredMs: number
  readonly p90Ms: number
}

interface Run {
  readonly image: Uint8Array
  readonly repeats: number
  readonly planner: OurPlanner
}

const measure = Effect.fnUntraced(function* (box: SwarmBox, stage: Stage, point: SamplePoint, run: Run) {
  const { condition } = point
  const found = run.planner.best(condition, point.slo)
  const ids = condition.devices.map((d) => d.id)
  const strategy = decodeGenome(world.space, found.genome, ids)
  const images = Array.from({ length: run.repeats }, () => run.image)
  const times = (yield* runSlowly(box, { slow: stage.slow, condition, strategy, images })).map(
    (r) => r.latencyMs,
  )
  const measured: Measured = {
    stage,
    point,
    strategy,
    plannedMs: found.latencyMs,
    predictedMs: slowModelMs(spec, stage.slow, condition, strategy),
    measuredMs: median(times),
    p90Ms: quantile(times, 0.9),
  }
  return measured
})

const runStage = Effect.fnUntraced(function* (stage: Stage, repeats: number, seed: number) {
  const box = yield* slowBox(stage.slow, stage.condition, yield* artifact)
  const image = yield* picture
  const planner = new OurPlanner(6000, seed)
  return yield* Effect.forEach(stage.points, (point, i) =>
    measure(box, stage, point, { image, repeats, planner }).pipe(
      Effect.tap((m) => Effect.sync(() => console.log(told(m, i)))),
    ),
  ).pipe(Effect.provide(Layer.fresh(Bus.layer(box.device(DeviceId.make("local")).client))))
}, Effect.scoped)

const draw = (all: ReadonlyArray<Measured>, figure: string): Figure => {
  const some = all.filter((m) => m.point.figure === figure)
  const gap = gapOf(some.map(rowOf), figure)
  const labels = {
    title: `Points of figure ${figure}`,
    subtitle: `${gap === undefined ? "" : gapText(gap)}; whiskers to the 90th percentile`,
    x: "latency by the model, ms",
    y: "latency as run, ms",
    width: 440,
    height: 320,
  }
  const series = [...new Set(some.map((m) => m.stage.name))].map((name) => ({
    name,
    style: "dots" as const,
    points: some
      .filter((m) => m.stage.name === name)
      .map((m) => ({ x: m.predictedMs, y: m.measuredMs, low: m.measuredMs, high: m.p90Ms })),
  }))
  return xyChart(labels, series, { diagonal: true, x: { min: 0 }, y: { min: 0 } })
}

const round = (value: number) => Number(value.toFixed(2))

const rowOf = ({ stage, point, ...m }: Measured): Row => ({
  figure: point.figure,
  remotes: stage.name,
  slow: stage.slow,
  slo: point.slo.kind === "latency" ? `${point.slo.latencyMs} ms` : `${100 * point.slo.accuracy} %`,
  links: point.condition.devices
    .slice(1)
    .map((d) => `${d.bandwidthMbps}/${d.delayMs}`)
    .join(" "),
  devices: m.strategy.devices.length,
  plannedMs: round(m.plannedMs),
  predictedMs: round(m.predictedMs),
  measuredMs: round(m.measuredMs),
  p90Ms: round(m.p90Ms),
})

const told = (m: Measured, index: number): string => {
  const [by, as] = [m.predictedMs, m.measuredMs].map((ms) => ms.toFixed(1))
  const devices = m.strategy.devices.length
  return `${m.stage.name} ${index + 1}/${m.stage.points.length}: figure ${m.point.figure}, ${devices} device${devices === 1 ? "" : "s"}, model ${by} ms, run ${as} ms`
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const [perFigure, repeats] = quick ? [1, 3] : [30, 20]
  const stages = stagesOf(samplePoints(perFigure, seed))
  const all: Array<Measured> = []
  for (const stage of stages) all.push(...(await Effect.runPromise(runStage(stage, repeats, seed))))
  const rows = all.map(rowOf)
  const gaps = sampledFigures.flatMap((figure) => gapOf(rows, figure) ?? [])
  const slow = stages.map((s) => `${s.slow} times (${s.name})`).join(", ")
  return {
    kind: "both",
    checks: [
      { name: "points_per_figure", value: Math.min(...gaps.map((g) => g.points)), op: ">=", bound: 30 },
      {
        name: "median_abs_rel_gap_worst_figure",
        value: Math.max(...gaps.map((g) => g.medianAbsRel)),
        op: "<=",
        bound: 0.08,
      },
    ],
    rows,
    notes: [
      `median of ${repeats} inferences after ${warmUps} warm-ups; devices and links slowed ${slow}, times divided by that again`,
      "plannedMs: the model at full speed; predictedMs: the model of the slow motion, where the bus and the actors cost relatively less",
      "ImageNet-scale supernet with untrained weights: latencies are real, answers mean nothing",
    ],
    figures: new Map([
      [
        "paper-swarm.svg",
        svgDocument(
          besides(
            sampledFigures.map((f) => draw(all, f)),
            2,
          ),
        ),
      ],
    ]),
  }
}

export const bench: BenchModule = {
  name: "paper-swarm",
  proves: "points of the paper's figures, run on the emulated swarm, take what the model says",
  takes: "45 minutes",
  run,
}
