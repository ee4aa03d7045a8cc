/**
 * Measures the machine it runs on with the engine's own graphs: block variants on tiles of several sizes, fused segments,
 * conversions at the boundary, decoding of an image; then fits the operator rates of a `DeviceProfile` to the times.
 *
 * Weights are random: time does not depend on them. Computes on the calling thread, so call it from a process of its own.
 */
import { cpus, totalmem } from "node:os"
import sharp from "sharp"
import { addOps, blockOps, noOps, type OpCounts } from "../../supernet/Cost.ts"
import { below, pick, seededRandom } from "../../supernet/Random.ts"
import { blocksOf, type SupernetSpec } from "../../supernet/Spec.ts"
import { median, quantile } from "../../supernet/Statistics.ts"
import { type ActiveBlock, activeBlocks, type Submodel, sampleSubmodel } from "../../supernet/Submodel.ts"
import { randomWeights } from "../../supernet/Weights.ts"
import { narrowModel, widenModel } from "../../supernet/onnx/Boundary.ts"
import {
  byteTensor,
  createSession,
  floatTensor,
  halfTensor,
  type OrtTensor,
  type RuntimeOptions,
} from "../../supernet/onnx/Runtime.ts"
import { SegmentBuilder, segmentInput } from "../../supernet/onnx/Segment.ts"
import * as ort from "onnxruntime-node"
import type { DeviceProfile } from "./DeviceProfile.ts"
import { nonNegativeRelativeFit } from "./LeastSquares.ts"
import { namedByNumbers } from "./ProfileBook.ts"

export interface MeasureOptions {
  /** Of the profile; what tells its numbers is appended. */
  readonly name: string
  readonly spec: SupernetSpec
  readonly runtime?: RuntimeOptions
  /** Fewer variants and repeats: half a minute instead of some minutes. */
  readonly quick: boolean
  readonly seed: number
  readonly onProgress?: (done: number, total: number, what: string) => void
}

/** One timed run: its work, what it is made of, and its time. */
export interface MeasuredRun {
  readonly blocks: ReadonlyArray<ActiveBlock>
  readonly height: number
  readonly width: number
  readonly ops: OpCounts
  readonly ms: number
}

export interface FitError {
  readonly medianRelative: number
  readonly p95Relative: number
  /** The same for segments of several blocks, which is what devices run. */
  readonly segmentMedianRelative: number
}

export interface Measurement {
  readonly profile: DeviceProfile
  readonly runs: ReadonlyArray<MeasuredRun>
  readonly error: FitError
}

/** Lower quartile of repeats after warm-up: what else runs can only slow a run down. As many as fit the budget. */
const time = async (run: () => Promise<unknown>, budgetMs: number): Promise<number> => {
  for (let i = 0; i < 2; i++) await run()
  const times: Array<number> = []
  const until = performance.now() + budgetMs
  while (times.length < 5 || (performance.now() < until && times.length < 200)) {
    const start = performance.now()
    await run()
    times.push(performance.now() - start)
  }
  return quantile(times, 0.25)
}

interface Case {
  readonly blocks: ReadonlyArray<ActiveBlock>
  readonly height: number
  readonly width: number
  readonly resolution: number
}

/** Every block alone: some kernels and expands, whole maps and the tiles of a cut, largest and smallest resolution. */
const singleBlocks = (spec: SupernetSpec, quick: boolean): ReadonlyArray<Case> => {
  const variants = spec.kernels.flatMap((kernel, i) =>
    spec.expands.flatMap((expand, j) => (quick && i !== j ? [] : [{ kernel, expand }])),
  )
  const resolutions = quick
    ? [Math.max(...spec.resolutions)]
    : [Math.min(...spec.resolutions), Math.max(...spec.resolutions)]
  return resolutions.flatMap((resolution) => {
    let side = resolution
    return blocksOf(spec).flatMap((block) => {
      const here = side
      side /= block.stride
      const own = block.kind === "dynamic" ? variants : [{ kernel: block.kind === "head" ? 1 : 3, expand: 1 }]
      const half = Math.ceil(here / 2 / block.stride) * block.stride
      const tiles =
        block.kind === "head"
          ? [[here, here]]
          : [
              [here, here],
              [half, here],
              [half, half],
            ]
      return own.flatMap((variant) =>
        tiles.map(([height = here, width = here]) => ({
          blocks: [{ ...block, ...variant }],
          height,
          width,
          resolution,
        })),
      )
    })
  })
}

/** Runs of consecutive blocks of random submodels, whole or halved: what a task really is. */
const segments = (spec: SupernetSpec, count: number, seed: number): ReadonlyArray<Case> => {
  const random = seededRandom(seed)
  return Array.from({ length: count }, (_, i): Case => {
    const submodel: Submodel = sampleSubmodel(spec, random)
    const all = activeBlocks(spec, submodel)
    // Every third is a whole submodel.
    const first = i % 3 === 0 ? 0 : below(random, all.length - 2)
    const last = i % 3 === 0 ? all.length - 1 : Math.min(all.length - 1, first + 2 + below(random, 12))
    const side = all.slice(0, first).reduce((s, b) => s / b.stride, submodel.resolution)
    const blocks = all.slice(first, last + 1)
    const stride = blocks.reduce((s, b) => s * b.stride, 1)
    const cut =
      blocks.at(-1)?.kind === "head" ? side : pick(random, [side, Math.ceil(side / 2 / stride) * stride])
    return { blocks, height: cut, width: side, resolution: submodel.resolution }
  })
}

const inputTensor = (c: Case): OrtTensor => {
  const [first] = c.blocks
  if (first?.kind === "stem") {
    return byteTensor(new Uint8Array(c.height * c.width * 3).fill(127), [1, c.height, c.width, 3])
  }
  const channels = first?.inChannels ?? 1
  const values = Float32Array.from(
    { length: channels * c.height * c.width },
    (_, i) => ((i * 37) % 19) / 19 - 0.5,
  )
  return floatTensor(values, [1, channels, c.height, c.width])
}

const workOf = (spec: SupernetSpec, c: Case): OpCounts => {
  let [height, width, total] = [c.height, c.width, noOps]
  for (const block of c.blocks) {
    total = addOps(total, blockOps(spec, block, height, width))
    height /= block.stride
    width /= block.stride
  }
  return total
}

const measureCase = async (
  builder: SegmentBuilder,
  c: Case,
  options: MeasureOptions,
): Promise<MeasuredRun> => {
  const session = await createSession(builder.build(c.blocks, c.resolution), options.runtime)
  const input = inputTensor(c)
  const ms = await time(() => session.run({ [segmentInput]: input }), options.quick ? 8 : 25)
  await session.release()
  const { blocks, height, width } = c
  return { blocks, height, width, ops: workOf(options.spec, c), ms }
}

/** ms per million values, both ways, of float32 values narrowed to 8 and 16 bits. */
const measureConversions = async (options: MeasureOptions) => {
  const shape = [1, 24, 112, 112]
  const count = 24 * 112 * 112
  const values = floatTensor(
    Float32Array.from({ length: count }, (_, i) => (i % 255) / 64),
    shape,
  )
  const perMillion = async (model: Uint8Array, feeds: Record<string, OrtTensor>) => {
    const session = await createSession(model, options.runtime)
    const ms = await time(() => session.run(feeds), 60)
    await session.release()
    return Number(((ms / count) * 1e6).toPrecision(3))
  }
  const scale = new ort.Tensor("float32", Float32Array.of(0.02), [])
  const zero = new ort.Tensor("uint8", Uint8Array.of(3), [])
  return {
    quantise: {
      u8: await perMillion(narrowModel({ bits: 8, region: false }), { x: values }),
      f16: await perMillion(narrowModel({ bits: 16, region: false }), { x: values }),
    },
    dequantise: {
      u8: await perMillion(widenModel(8), {
        q: byteTensor(new Uint8Array(count).fill(9), shape),
        scale,
        zero,
      }),
      f16: await perMillion(widenModel(16), { q: halfTensor(new Uint16Array(count).fill(15_360), shape) }),
    },
  }
}

const measureDecode = async (side: number): Promise<number> => {
  const pixels = Uint8Array.from({ length: 640 * 480 * 3 }, (_, i) => (i * 2_654_435_761) >>> 26)
  const jpeg = await sharp(pixels, { raw: { width: 640, height: 480, channels: 3 } })
    .jpeg()
    .toBuffer()
  const ms = await time(
    () => sharp(jpeg).resize(side, side, { fit: "cover" }).removeAlpha().raw().toBuffer(),
    200,
  )
  return Number(ms.toPrecision(3))
}

const features = (run: MeasuredRun): ReadonlyArray<number> => {
  const { ops } = run
  return [
    ops.dense * 1e-9,
    ops.pointwise * 1e-9,
    ops.depthwise3 * 1e-9,
    ops.depthwise5 * 1e-9,
    ops.depthwise7 * 1e-9,
    4e-9 * (ops.activations + ops.elementwise),
    4e-9 * ops.parameters,
    ops.layers,
    run.blocks.length,
    1,
  ]
}

/** Fitted costs below this are not seen in the times: 100 TMAC/s, 10 TB/s. */
const unseen = 1e-2

/** Rates under which the measured runs take their measured times, as nearly as non-negative costs allow. */
export const fitProfile = (runs: ReadonlyArray<MeasuredRun>) => {
  // Segments are what devices run: they weigh as much as all single blocks together.
  const many = runs.filter((r) => r.blocks.length > 1)
  const repeat = many.length === 0 ? 1 : Math.max(1, Math.round((runs.length - many.length) / many.length))
  const rows = [...runs, ...Array.from({ length: repeat - 1 }, () => many).flat()]
  const costs = nonNegativeRelativeFit(
    rows.map(features),
    rows.map((r) => r.ms),
  )
  const modelMs = (run: MeasuredRun) => features(run).reduce((sum, f, i) => sum + f * (costs[i] ?? 0), 0)
  const error = (some: ReadonlyArray<MeasuredRun>) => some.map((r) => Math.abs(modelMs(r) / r.ms - 1))
  const rate = (i: number) => Number((1e3 / Math.max(unseen, costs[i] ?? 0)).toPrecision(4))
  const ms = (i: number) => Number((costs[i] ?? 0).toPrecision(4))
  return {
    rates: {
      dense: rate(0),
      pointwise: rate(1),
      depthwise3: rate(2),
      depthwise5: rate(3),
      depthwise7: rate(4),
    },
    mapGBs: rate(5),
    weightGBs: rate(6),
    layerMs: ms(7),
    blockMs: ms(8),
    runMs: ms(9),
    error: {
      medianRelative: median(error(runs)),
      p95Relative: quantile(error(runs), 0.95),
      segmentMedianRelative: median(error(many.length > 0 ? many : runs)),
    },
  }
}

/** Measures this machine. Minutes, or half a minute with `quick`; times are only as steady as the machine is idle. */
export const measureProfile = async (options: MeasureOptions): Promise<Measurement> => {
  const { spec, quick, seed } = options
  const cases = [...singleBlocks(spec, quick), ...segments(spec, quick ? 24 : 90, seed)]
  const total = cases.length + 2
  const progress = (done: number, what: string) => options.onProgress?.(done, total, what)
  const builder = new SegmentBuilder(spec, randomWeights(spec, seed))
  const runs: Array<MeasuredRun> = []
  for (const [i, c] of cases.entries()) {
    progress(i, c.blocks.length === 1 ? "blocks" : "segments")
    runs.push(await measureCase(builder, c, options))
  }
  progress(cases.length, "conversions")
  const conversions = await measureConversions(options)
  progress(cases.length + 1, "decoding")
  const decodeMs = await measureDecode(Math.max(...spec.resolutions))
  progress(total, "done")
  const { error, ...fit } = fitProfile(runs)
  const cpu = `${cpus()[0]?.model ?? "unknown CPU"}, ${options.runtime?.threads ?? 1} thread(s)`
  const how = `${runs.length} runs of ${spec.name} (width ${spec.widthMultiplier}) on ${cpu}, ONNX Runtime ${ort.env.versions.node ?? ort.env.versions.common}, Node ${process.version}; fit: median error ${(100 * error.medianRelative).toFixed(1)} %, segments ${(100 * error.segmentMedianRelative).toFixed(1)} %, 95 % within ${(100 * error.p95Relative).toFixed(0)} %`
  const profile: DeviceProfile = {
    name: options.name,
    title: cpu,
    ...fit,
    ...conversions,
    decodeMs,
    memoryMb: Math.round((totalmem() / 1e6) * 0.6),
    provenance: [
      { what: "rates, mapGBs, weightGBs, layerMs, blockMs, runMs", source: how, estimate: false },
      { what: "quantise, dequantise, decodeMs", source: "measured on the same machine", estimate: false },
      { what: "memoryMb", source: "60 % of the machine's memory", estimate: true },
    ],
  }
  return { profile: namedByNumbers(profile), runs, error }
}
