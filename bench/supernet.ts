/**
 * What the shipped supernet is worth: top-1 on held-out images, in ONNX Runtime with the graphs that devices run, along every
 * dimension of the search space; what cuts and narrow values cost; and that training saw the same network (tfjs = ONNX).
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { AccuracyPool } from "../supernet/AccuracyPool.ts"
import { accuracyTableFile, defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { submodelOps, totalMacs } from "../supernet/Cost.ts"
import { imagenetteRoot } from "../supernet/Data.ts"
import { type AccuracyTable, HeldOutImages, type Treatment, treatedStrategy } from "../supernet/Evaluate.ts"
import { seededRandom } from "../supernet/Random.ts"
import { Reference } from "../supernet/Reference.ts"
import { hiddenChannels } from "../supernet/Spec.ts"
import { sampleStrategy } from "../supernet/Strategy.ts"
import {
  activeBlocks,
  maxSubmodel,
  minSubmodel,
  normalizeSubmodel,
  type Submodel,
} from "../supernet/Submodel.ts"
import { batchNorm } from "../supernet/Weights.ts"
import { useWasmKernels } from "../supernet/kernels/TfjsKernels.ts"
import { trainingLogFile } from "../supernet/train/Export.ts"
import { packParameters } from "../supernet/train/Parameters.ts"
import { TfjsNetwork } from "../supernet/train/TfjsNetwork.ts"
import { type BenchModule, type BenchOptions, type BenchResult, type Check, type Row } from "./Bench.ts"
import { trainingCurve } from "./TrainingCurve.ts"
import { besides, type Series, svgDocument, xyChart } from "./Charts.ts"
import * as Flags from "./Flags.ts"

/** The largest submodel with one dimension turned down everywhere. */
const variations = (supernet: Supernet, resolution: number): ReadonlyArray<readonly [string, Submodel]> => {
  const { spec } = supernet
  const largest = maxSubmodel(spec, resolution)
  const every = (values: ReadonlyArray<number>, v: number) => values.map(() => v)
  const make = (name: string, change: Partial<Submodel>) =>
    [name, normalizeSubmodel(spec, { ...largest, ...change })] as const
  return [
    ...spec.depths.map((d) => make(`depth ${d}`, { depths: every(largest.depths, d) })),
    ...spec.kernels.map((k) => make(`kernel ${k}`, { kernels: every(largest.kernels, k) })),
    ...spec.expands.map((e) => make(`expand ${e}`, { expands: every(largest.expands, e) })),
  ]
}

/** Parameters that a submodel uses, without batch norm. */
const parametersOf = (supernet: Supernet, submodel: Submodel): number => {
  const { spec } = supernet
  return activeBlocks(spec, submodel).reduce((sum, b) => {
    if (b.kind === "stem") return sum + 27 * b.outChannels
    if (b.kind === "head") {
      const { headWidth, featureWidth } = spec
      return sum + b.inChannels * headWidth + headWidth * featureWidth + featureWidth * b.outChannels
    }
    const hidden = b.kind === "first" ? b.inChannels : hiddenChannels(spec, b.inChannels, b.expand)
    const expand = b.kind === "first" ? 0 : b.inChannels * hidden
    return sum + expand + hidden * b.kernel ** 2 + hidden * b.outChannels
  }, 0)
}

/** Largest relative difference of logits between the tfjs network and the ONNX graphs, over random strategies with grids. */
const tfjsAgainstOnnx = async (supernet: Supernet, strategies: number, seed: number): Promise<number> => {
  const { spec, weights } = supernet
  await useWasmKernels()
  const network = new TfjsNetwork(spec)
  network.setParameters(packParameters(network.layout, weights))
  const reference = new Reference(spec, weights)
  const random = seededRandom(seed)
  let worst = 0
  for (let i = 0; i < strategies; i++) {
    const strategy = sampleStrategy(spec, ["a", "b", "c", "d"], random, { bits: [32] })
    const { submodel } = strategy
    const size = submodel.resolution
    const raw = Float32Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))
    const pixels = raw.map((v, j) => (v - spec.mean[j % 3]!) / spec.std[j % 3]!)
    const plan = { submodel, grids: strategy.blocks.map((b) => b.grid), bits: [] }
    const given = (block: string, layer: string) => {
      const d = Number(/^blocks\.(\d+)$/.exec(block)?.[1] ?? -1)
      const [kernel, expand] = [submodel.kernels[d] ?? 3, submodel.expands[d] ?? 1]
      return batchNorm(weights, block, layer, { kernel, expand, resolution: size })
    }
    const expected = await reference.evaluate(strategy, { count: 1, size, pixels: raw })
    const got = network.logits(pixels, 1, plan, { given })
    const scale = Math.max(...expected.map(Math.abs))
    worst = Math.max(worst, ...got.map((v, j) => Math.abs(v - expected[j]!) / scale))
  }
  network.dispose()
  return worst
}

/** Measured strategies over their work, and the training curve. */
const figures = (
  supernet: Supernet,
  directory: string,
  rows: ReadonlyArray<Row>,
): ReadonlyMap<string, string> => {
  const { spec } = supernet
  const macs = (s: Submodel) => totalMacs(submodelOps(spec, s)) / 1e6
  const ends = ["largest", "smallest"].map((name): Series => ({
    name,
    style: "both",
    points: rows.flatMap((r) =>
      r["submodel"] === name && r["treatment"] === "uncut"
        ? [{ x: Number(r["MMACs"]), y: 100 * Number(r["top1"]) }]
        : [],
    ),
  }))
  const tableFile = join(directory, accuracyTableFile)
  const table = existsSync(tableFile)
    ? (JSON.parse(readFileSync(tableFile, "utf8")) as AccuracyTable)
    : undefined
  const cut = (r: AccuracyTable["rows"][number]) => r.grids.some((g) => g !== "1x1")
  const points = (wanted: boolean) =>
    (table?.rows ?? [])
      .filter((r) => cut(r) === wanted)
      .map((r) => ({ x: macs(r.submodel), y: 100 * r.top1 }))
  const series: ReadonlyArray<Series> = [
    ...ends,
    { name: "sampled, uncut", style: "dots", points: points(false) },
    { name: "sampled, cut", style: "dots", points: points(true) },
  ]
  const labels = {
    title: `${spec.name} ${spec.version}: accuracy against work`,
    x: "million multiply-adds",
    y: "top-1, %",
  }
  const log = join(directory, trainingLogFile)
  return new Map([
    ["supernet.svg", svgDocument(besides([xyChart(labels, series)], 1))],
    ...(existsSync(log)
      ? [
          [
            "supernet-training.svg",
            trainingCurve(`${spec.name} ${spec.version}`, readFileSync(log, "utf8")),
          ] as const,
        ]
      : []),
  ])
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const data = imagenetteRoot()
  if (data === undefined) throw new RangeError("no Imagenette: set MURMURATION_DATA")
  const directory = options.arguments.get("artifact") ?? (await Effect.runPromise(defaultArtifact))
  const supernet = await Effect.runPromise(readArtifact(directory))
  const { spec } = supernet
  const limit = Number(options.arguments.get("images") ?? (options.quick ? 64 : Number.POSITIVE_INFINITY))
  const images = new HeldOutImages(data, limit)
  const pool = new AccuracyPool(directory, images)
  const rows: Array<Row> = []
  const measure = async (
    name: string,
    submodel: Submodel,
    treatment: Treatment,
    label: string,
  ): Promise<number> => {
    const top1 = await pool.accuracy(treatedStrategy(spec, submodel, treatment))
    const mega = totalMacs(submodelOps(spec, submodel)) / 1e6
    const parameters = parametersOf(supernet, submodel) / 1e6
    rows.push({
      submodel: name,
      resolution: submodel.resolution,
      treatment: label,
      top1,
      MMACs: mega,
      "M parameters": parameters,
    })
    return top1
  }
  const plain: Treatment = { grid: "1x1", cut: "early", bits: 32 }
  const resolutions = options.quick ? spec.resolutions.slice(1, 2) : spec.resolutions
  let best = { resolution: resolutions[0] ?? 128, top1: -1 }
  let smallest = 0
  for (const resolution of resolutions) {
    const top1 = await measure("largest", maxSubmodel(spec, resolution), plain, "uncut")
    if (top1 > best.top1) best = { resolution, top1 }
    smallest = Math.max(smallest, await measure("smallest", minSubmodel(spec, resolution), plain, "uncut"))
  }
  for (const [name, submodel] of variations(supernet, best.resolution))
    await measure(name, submodel, plain, "uncut")
  const largest = maxSubmodel(spec, best.resolution)
  const early = await measure("largest", largest, { ...plain, grid: "2x2" }, "2x2 in the first half")
  await measure("largest", largest, { ...plain, grid: "2x2", cut: "all" }, "2x2 everywhere")
  await measure("largest", largest, { ...plain, bits: 16 }, "16 bits everywhere")
  const bytes = await measure("largest", largest, { ...plain, bits: 8 }, "8 bits everywhere")
  await pool.close()
  const difference = await tfjsAgainstOnnx(supernet, options.quick ? 5 : 100, options.seed)
  const checks: ReadonlyArray<Check> = [
    { name: "top1_max", value: best.top1, op: ">=", bound: 0.9 },
    { name: "top1_min", value: smallest, op: ">=", bound: 0.8 },
    { name: "fdsp_cost", value: best.top1 - early, op: "<=", bound: 0.02 },
    { name: "u8_cost", value: best.top1 - bytes, op: "<=", bound: 0.005 },
    { name: "tfjs_onnx_max_rel_diff", value: difference, op: "<=", bound: 1e-4 },
  ]
  return {
    kind: "measured",
    checks,
    rows,
    notes: [
      `${spec.name} ${spec.version}: ${supernet.manifest.training}.`,
      `${images.count} held-out images of Imagenette, none seen in training; batch-norm statistics as the artifact has them, shared by submodels.`,
      "Best resolution is chosen on the same images.",
    ],
    figures: figures(supernet, directory, rows),
  }
}

export const bench: BenchModule = {
  name: "supernet",
  proves:
    "the shipped supernet classifies held-out images, and what each dimension, cuts and narrow values cost",
  takes: "10 min",
  flags: {
    artifact: Flags.path("DIRECTORY of the supernet (default: the shipped one)"),
    images: Flags.count("N: held-out images (default: all)"),
  },
  run,
}
