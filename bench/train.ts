/**
 * Speed of the trainer: images a second on the largest and smallest submodel, what a second worker gains, and our kernels beside
 * tfjs's own where both exist (tfjs-wasm has no gradients of convolutions: without ours it cannot train at all).
 */
import { execFile } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Worker } from "node:worker_threads"
import type { ImageSet } from "../supernet/Data.ts"
import { normal, seededRandom } from "../supernet/Random.ts"
import { ofaMobileNetV3 } from "../supernet/Spec.ts"
import { maxSubmodel, minSubmodel } from "../supernet/Submodel.ts"
import { randomWeights } from "../supernet/Weights.ts"
import { KernelNetwork, plainPlan } from "../supernet/train/KernelNetwork.ts"
import { packParameters, parameterLayout } from "../supernet/train/Parameters.ts"
import { defaultRecipe } from "../supernet/train/Recipe.ts"
import { optimizerState, sharedBuffers } from "../supernet/train/Shared.ts"
import type { StepReport, TrainWorkerData } from "../supernet/train/TrainWorker.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, type Row } from "./Bench.ts"
import type { KernelTiming } from "./TrainKernels.ts"

const spec = ofaMobileNetV3({
  name: "bench",
  version: "1",
  widthMultiplier: 0.5,
  classes: Array.from({ length: 10 }, (_, i) => `${i}`),
})
const batch = 32
const resolution = 128

/** Forward and backward of one submodel, one thread, no data loading: milliseconds of several runs. */
const stepTimes = async (kind: "largest" | "smallest", repeats: number): Promise<ReadonlyArray<number>> => {
  const network = await KernelNetwork.make(spec)
  network.parameters.set(packParameters(network.layout, randomWeights(spec, 1)))
  const random = seededRandom(1)
  const images = Float32Array.from({ length: batch * resolution * resolution * 3 }, () => normal(random))
  const dLogits = Float32Array.from({ length: batch * 10 }, () => normal(random) / batch)
  const submodel = kind === "largest" ? maxSubmodel(spec, resolution) : minSubmodel(spec, resolution)
  const once = () => {
    const begun = performance.now()
    network.zeroGradients()
    network.backward(network.forward(images, batch, plainPlan(spec, submodel)), dLogits)
    return performance.now() - begun
  }
  for (let i = 0; i < 3; i++) once()
  return Array.from({ length: repeats }, once)
}

/** Noise in place of photographs: the trainer's speed does not depend on what it sees. */
const noiseImages = (size: number, count: number): ImageSet => {
  const pixels = new Uint8Array(new SharedArrayBuffer(count * size * size * 3))
  const random = seededRandom(size)
  for (let i = 0; i < pixels.length; i++) pixels[i] = random.next() * 256
  const labels = Array.from({ length: count }, (_, i) => i % 10)
  return { size, count, pixels, labels, classes: spec.classes }
}

/** Images a second of the whole trainer (augmentation, sandwich steps, exchange, optimiser) with so many workers. */
const trainerRate = async (workers: number, steps: number): Promise<number> => {
  const levels = [noiseImages(224, 256), noiseImages(112, 256)]
  const recipe = { ...defaultRecipe, largestSteps: 0, resolutionWeights: { 128: 1 } }
  const shared = sharedBuffers(parameterLayout(spec).size, workers)
  const vectors = optimizerState(shared)
  vectors.parameters.set(packParameters(parameterLayout(spec), randomWeights(spec, 1)))
  const state = { spec, recipe, step: 0, updates: 0, images: 0, minutes: 0, sorted: true }
  const reports: Array<{ readonly atMs: number; readonly images: number }> = []
  const ended = Array.from({ length: workers }, (_, index) => {
    const workerData: TrainWorkerData = {
      index,
      workers,
      inStep: true,
      spec,
      recipe,
      shared,
      state,
      levels,
      check: undefined,
      checkpointFile: join(tmpdir(), `murmuration-bench-${process.pid}.bin`),
      checkpointMinutes: Number.POSITIVE_INFINITY,
      checkMinutes: Number.POSITIVE_INFINITY,
      minutes: Number.POSITIVE_INFINITY,
      steps,
    }
    const worker = new Worker(new URL("../supernet/train/TrainWorker.ts", import.meta.url), { workerData })
    worker.on("message", (r: StepReport) => reports.push({ atMs: performance.now(), images: r.images }))
    return new Promise<void>((resolve, reject) => {
      worker.once("error", reject)
      worker.once("exit", () => resolve())
    })
  })
  await Promise.all(ended)
  // The first two steps compile the kernels and grow the memory.
  const [first, last] = [reports[1], reports.at(-1)]
  return first === undefined || last === undefined
    ? Number.NaN
    : ((last.images - first.images) * 1000) / (last.atMs - first.atMs)
}

const kernelTimings = async (kernels: "ours" | "stock"): Promise<ReadonlyArray<KernelTiming>> => {
  const program = fileURLToPath(new URL("./TrainKernels.ts", import.meta.url))
  const env = { ...process.env, MURMURATION_KERNELS: kernels }
  const { stdout } = await promisify(execFile)(process.execPath, [program], { env })
  return JSON.parse(stdout.slice(stdout.indexOf("["))) as ReadonlyArray<KernelTiming>
}

const compareKernels = async (): Promise<ReadonlyArray<Row & { readonly ratio: number }>> => {
  // Twice, interleaved, best of both: the machine's mood hits both sides alike.
  const [ours, stock, oursAgain, stockAgain] = [
    await kernelTimings("ours"),
    await kernelTimings("stock"),
    await kernelTimings("ours"),
    await kernelTimings("stock"),
  ]
  return ours.map(({ operation, ms }, i) => {
    const [mine, theirs] = [
      Math.min(ms, oursAgain[i]?.ms ?? ms),
      Math.min(stock[i]?.ms ?? Number.NaN, stockAgain[i]?.ms ?? Number.NaN),
    ]
    return { what: operation, "ours ms": mine, "stock ms": theirs, ratio: theirs / mine }
  })
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const repeats = options.quick ? 3 : 15
  const rows: Array<Row> = []
  const rates = { largest: 0, smallest: 0 }
  for (const kind of ["largest", "smallest"] as const) {
    const times = await stepTimes(kind, repeats)
    rates[kind] = (batch * 1000) / median(times)
    const [ms, fastest] = [median(times), Math.min(...times)]
    rows.push({
      what: `${kind} submodel, forward and backward`,
      "median ms": ms,
      "best ms": fastest,
      "images/s": rates[kind],
    })
  }
  const steps = options.quick ? 4 : 12
  const alone = await trainerRate(1, steps)
  const together = await trainerRate(2, steps)
  rows.push({ what: "sandwich step (largest, random, smallest), one worker", "images/s": alone })
  rows.push({ what: "sandwich step, two workers", "images/s": together })
  const kernels = await compareKernels()
  return {
    kind: "measured",
    checks: [
      { name: "img_s_max_128", value: rates.largest, op: ">=", bound: 60 },
      { name: "img_s_min_128", value: rates.smallest, op: ">=", bound: 250 },
      { name: "two_worker_speedup", value: together / alone, op: ">=", bound: 1.7 },
      { name: "kernels_over_stock", value: median(kernels.map((k) => k.ratio)), op: ">=", bound: 1.5 },
    ],
    rows: [...rows, ...kernels],
    notes: [
      `Width 0.5, ${resolution} px, batch ${batch} per worker, noise images, untrained weights, ${repeats} runs after 3 to warm up.`,
      "kernels_over_stock is the median ratio over the operations that stock tfjs-wasm has too.",
      "Other programs that run beside slow all of this down, and two workers more than one.",
    ],
  }
}

export const bench: BenchModule = {
  name: "train",
  proves: "the supernet can be trained in TypeScript at a useful speed",
  takes: "2 min",
  unseeded: true,
  run,
}
