/**
 * What a strategy answers, computed in one process without devices or a bus: the yardstick for the engine and the swarm,
 * and the evaluator that measures accuracy. One session per strategy, any number of images per run.
 *
 * Gotcha: computes on the calling thread (see onnx/Runtime.ts). For benches, training and tests, not for serving.
 */
import { localStrategy, normalizeStrategy, type Strategy, strategyProblems } from "./Strategy.ts"
import type { Submodel } from "./Submodel.ts"
import type { SupernetSpec } from "./Spec.ts"
import type { Weights } from "./Weights.ts"
import type { PixelType } from "./onnx/BlockGraph.ts"
import {
  byteTensor,
  createSession,
  floats,
  floatTensor,
  output,
  type RuntimeOptions,
  type Session,
} from "./onnx/Runtime.ts"
import { SegmentBuilder, segmentInput, segmentOutput } from "./onnx/Segment.ts"
import { strategyModel } from "./onnx/StrategyModel.ts"

/** Images of one size: RGB bytes, or floats of the same range 0..255, as [count, size, size, 3]. */
export interface ImageBatch {
  readonly count: number
  readonly size: number
  readonly pixels: Uint8Array | Float32Array
}

/** A strategy ready to be evaluated. `release` it, or its session stays in memory. */
export interface Evaluator {
  /** Logits [count, classes]. */
  readonly logits: (batch: ImageBatch) => Promise<Float32Array>
  readonly release: () => Promise<void>
}

/** Class with the largest logit, for each image. */
export const topClasses = (logits: Float32Array, classes: number): ReadonlyArray<number> =>
  Array.from({ length: logits.length / classes }, (_, i) => {
    const row = logits.subarray(i * classes, (i + 1) * classes)
    let best = 0
    for (const [k, v] of row.entries()) if (v > (row[best] ?? 0)) best = k
    return best
  })

const evaluatorOf = (session: Session, resolution: number): Evaluator => ({
  logits: async ({ count, size, pixels }) => {
    if (size !== resolution || pixels.length !== count * size * size * 3) {
      throw new RangeError(
        `${pixels.length} values are not ${count} images of ${resolution} x ${resolution} x 3`,
      )
    }
    const shape = [count, size, size, 3]
    const x = pixels instanceof Uint8Array ? byteTensor(pixels, shape) : floatTensor(pixels, shape)
    return floats(output(await session.run({ [segmentInput]: x }), segmentOutput))
  },
  release: () => session.release(),
})

export class Reference {
  readonly spec: SupernetSpec
  readonly #builder: SegmentBuilder
  readonly #runtime: RuntimeOptions

  constructor(spec: SupernetSpec, weights: Weights, runtime: RuntimeOptions = {}) {
    this.spec = spec
    this.#builder = new SegmentBuilder(spec, weights)
    this.#runtime = runtime
  }

  /** The strategy with its tiles, cuts and bus quantisation, as one session. Throws `RangeError` for an invalid strategy. */
  async strategy(given: Strategy, pixels: PixelType = "uint8"): Promise<Evaluator> {
    const problems = strategyProblems(this.spec, given)
    if (problems.length > 0) throw new RangeError(problems.join("; "))
    const strategy = normalizeStrategy(this.spec, given)
    const model = strategyModel(this.#builder, strategy, { pixels })
    return evaluatorOf(await createSession(model, this.#runtime), strategy.submodel.resolution)
  }

  /** The submodel uncut and in float32. */
  submodel(submodel: Submodel, pixels: PixelType = "uint8"): Promise<Evaluator> {
    return this.strategy(localStrategy(this.spec, submodel, "local"), pixels)
  }

  /** Logits [count, classes] of one strategy on one batch. For several batches keep the evaluator of `strategy`. */
  async evaluate(strategy: Strategy, batch: ImageBatch): Promise<Float32Array> {
    const evaluator = await this.strategy(strategy, batch.pixels instanceof Uint8Array ? "uint8" : "float32")
    try {
      return await evaluator.logits(batch)
    } finally {
      await evaluator.release()
    }
  }

  /** Images whose top class is their label. Batches must fit the strategy's resolution. */
  async rightAnswers(strategy: Strategy, batches: Iterable<LabelledBatch>): Promise<number> {
    const evaluator = await this.strategy(strategy)
    let right = 0
    try {
      for (const { images, labels } of batches) {
        const top = topClasses(await evaluator.logits(images), this.spec.classes.length)
        for (const [i, label] of labels.entries()) if (top[i] === label) right++
      }
    } finally {
      await evaluator.release()
    }
    return right
  }
}

export interface LabelledBatch {
  readonly images: ImageBatch
  /** Index in `SupernetSpec.classes`, one per image. */
  readonly labels: ReadonlyArray<number>
}
