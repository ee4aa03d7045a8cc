/**
 * Whether a network that is cut, spread over devices and sent through the bus' number formats still answers as the same
 * strategy in one session: a swarm of real processes, and for comparison engines in this one (a worker thread per device),
 * against the reference evaluator, strategy by strategy.
 */
import { Effect, Schedule, type Scope } from "effect"
import { join } from "node:path"
import { type EngineOptions, engineOver, type EngineShape, startHost } from "../devices/engine/Engine.ts"
import { walk } from "../devices/engine/Walk.ts"
import { swarmBox } from "../deploy/SwarmBox.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { decodeImage, imageFolder, type ImageFile, imagenetteRoot } from "../supernet/Data.ts"
import { below, pick, type Random, seededRandom } from "../supernet/Random.ts"
import { Reference, topClasses } from "../supernet/Reference.ts"
import {
  type Bits,
  bitsChoices,
  normalizeStrategy,
  sampleStrategy,
  type Strategy,
} from "../supernet/Strategy.ts"
import { taskGraph } from "../supernet/TaskGraph.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile } from "./Bench.ts"

const devices = ["a", "b", "c", "d"]

/** Logits of a strategy on one image, uint8 RGB [size, size, 3]: engines here, whole devices elsewhere. */
export type Answer = (strategy: Strategy, image: Uint8Array) => Promise<Float32Array>

/** What was seen at one width of the values on the bus. */
interface Outcome {
  readonly bits: Bits
  /** Largest absolute difference of the logits over the largest absolute logit, one per image. */
  readonly differences: Array<number>
  agreed: number
  images: number
}

const difference = (got: Float32Array, expected: Float32Array): number => {
  const largest = (values: Float32Array) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
  return largest(got.map((v, i) => v - (expected[i] ?? Number.NaN))) / largest(expected)
}

const randomImage = (size: number, random: Random): Uint8Array =>
  Uint8Array.from({ length: size * size * 3 }, () => below(random, 256))

const imagesFor = (files: ReadonlyArray<ImageFile>, count: number, size: number, random: Random) =>
  Promise.all(
    Array.from({ length: count }, async () =>
      files.length === 0 ? randomImage(size, random) : decodeImage(pick(random, files).path, size),
    ),
  )

const withBits = (supernet: Supernet, strategy: Strategy, bits: Bits): Strategy =>
  normalizeStrategy(supernet.spec, {
    ...strategy,
    blocks: strategy.blocks.map((plan) => ({ ...plan, bits })),
  })

/** Compares `answer` with the reference on random strategies, each at 32, 16 and 8 bits, on real images where there are any. */
export const compare = async (
  supernet: Supernet,
  answer: Answer,
  options: BenchOptions,
  perStrategy = options.quick ? 2 : 5,
) => {
  const { spec, weights } = supernet
  const random = seededRandom(options.seed)
  const reference = new Reference(spec, weights)
  const root = imagenetteRoot()
  const files = root === undefined ? [] : imageFolder(join(root, "val")).files
  const strategies = options.quick ? 20 : 200
  const outcomes = bitsChoices.map((bits): Outcome => ({ bits, differences: [], agreed: 0, images: 0 }))
  let [tasks, crossing] = [0, 0]
  for (let i = 0; i < strategies; i++) {
    // Half of them jump between devices at almost every block, half stay for long.
    const locality = i % 2 === 0 ? 0.3 : 0.8
    const strategy = sampleStrategy(spec, devices, random, { bits: [32], locality })
    const graph = taskGraph(spec, strategy)
    tasks += graph.tasks.length
    crossing += graph.edges.filter((e) => e.crosses).length
    const size = strategy.submodel.resolution
    const images = await imagesFor(files, perStrategy, size, random)
    const pixels = Uint8Array.from(images.flatMap((image) => [...image]))
    const expected = await reference.evaluate(strategy, { count: images.length, size, pixels })
    const classes = spec.classes.length
    for (const outcome of outcomes) {
      for (const [k, image] of images.entries()) {
        const logits = await answer(withBits(supernet, strategy, outcome.bits), image)
        const right = expected.subarray(k * classes, (k + 1) * classes)
        outcome.differences.push(difference(logits, right))
        outcome.images++
        if (topClasses(logits, classes)[0] === topClasses(right, classes)[0]) outcome.agreed++
      }
    }
  }
  return { outcomes, strategies, tasks, crossing, real: files.length > 0 }
}

type Comparison = Awaited<ReturnType<typeof compare>>

/** Checks and rows of one comparison, named after who answered. */
const reportOf = (who: string, comparison: Comparison): Pick<BenchResult, "checks" | "rows"> => {
  const of = (bits: Bits) => comparison.outcomes.find((o) => o.bits === bits)
  const agreement = (bits: Bits) => (of(bits)?.agreed ?? 0) / (of(bits)?.images ?? 1)
  const { strategies } = comparison
  return {
    checks: [
      { name: "max_rel_diff_f32", value: Math.max(...(of(32)?.differences ?? [])), op: "<=", bound: 1e-4 },
      { name: "top1_agreement_f16", value: agreement(16), op: ">=", bound: 0.999 },
      { name: "top1_agreement_u8", value: agreement(8), op: ">=", bound: 0.99 },
      { name: "strategies", value: strategies, op: ">=", bound: 200 },
    ],
    rows: comparison.outcomes.map(({ bits, differences, images }) => ({
      "answered by": who,
      bits,
      strategies,
      images,
      "tasks each": comparison.tasks / strategies,
      "crossing edges each": comparison.crossing / strategies,
      "rel. difference p50": median(differences),
      p99: quantile(differences, 0.99),
      max: Math.max(...differences),
      "top-1 agreement": agreement(bits),
    })),
  }
}

const engines = (
  supernet: Supernet,
): Effect.Effect<ReadonlyMap<string, EngineShape>, Effect.Error<ReturnType<typeof startHost>>, Scope.Scope> =>
  Effect.forEach(devices, (deviceId) => {
    const options: EngineOptions = {
      deviceId,
      spec: supernet.spec,
      weights: supernet.weights,
      preload: false,
    }
    const host = Effect.acquireRelease(startHost(options), (h) => Effect.promise(() => h.stop()))
    return Effect.map(host, (h) => [deviceId, engineOver(h, options)] as const)
  }).pipe(Effect.map((started) => new Map(started)))

/** The same comparison, answered by device processes over the bus; `a` serves. */
const bySwarm = (supernet: Supernet, options: BenchOptions) =>
  Effect.gen(function* () {
    const ids = devices.map((id) => DeviceId.make(id))
    const box = yield* swarmBox({
      devices: ids.map((id) => ({ id, profile: "raspberry-pi-4", emulate: false })),
    })
    const client = Bus.layer({ ...box.device(DeviceId.make("a")).client, name: "bench" })
    return yield* Effect.gen(function* () {
      const context = yield* Effect.context<Bus>()
      const answer: Answer = (strategy, data) => {
        const size = strategy.submodel.resolution
        const tensor = { width: size, height: size, data }
        const slo = { latencyMs: 1000 }
        const ask = infer({ tensor, slo, strategy, include: ["logits"], deadlineMs: 60_000, device: "a" })
        // Peers whose link is not measured yet are not there for a plan.
        const patient = Effect.retry(ask, {
          while: (e) => e._tag === "Refused" && e.retryable,
          schedule: Schedule.spaced("200 millis"),
          times: 100,
        })
        const logits = Effect.map(patient, (reply) => Float32Array.from(reply.logits ?? []))
        return Effect.runPromiseWith(context)(logits)
      }
      return yield* Effect.promise(() => compare(supernet, answer, options, options.quick ? 1 : 2))
    }).pipe(Effect.provide(client))
  })

const run = (options: BenchOptions): Promise<BenchResult> =>
  Effect.gen(function* () {
    const supernet = yield* Effect.flatMap(defaultArtifact, readArtifact)
    const swarm = yield* engines(supernet)
    let request = 0
    const answer: Answer = (strategy, image) =>
      Effect.runPromise(Effect.map(walk(swarm, `r${request++}`, strategy, image), ({ logits }) => logits))
    const comparison = yield* Effect.promise(() => compare(supernet, answer, options))
    const swarmComparison = yield* bySwarm(supernet, options)
    const ofSwarm = reportOf("swarm", swarmComparison)
    const { name, version, trained } = supernet.spec
    const result: BenchResult = {
      kind: "measured",
      checks: ofSwarm.checks,
      rows: [...ofSwarm.rows, ...reportOf("engines", comparison).rows],
      notes: [
        `supernet ${name} ${version}${trained ? "" : " (untrained weights: close logits, so top-1 flips easily)"}`,
        comparison.real
          ? "images: random ones of Imagenette's val"
          : "images: random pixels, since no data folder was found",
        "swarm: four device processes, each at its own leaf; checks are of the swarm",
        "engines: a worker thread each, no bus; expected: the whole strategy as one ONNX graph, float32",
      ],
    }
    return result
  }).pipe(Effect.scoped, Effect.runPromise)

export const bench: BenchModule = {
  name: "equivalence",
  proves: "any strategy answers as the same network in one session",
  takes: "6 minutes",
  run,
}
