/** One thread of `AccuracyPool`: right answers of strategies on parts of the held-out images, ONNX Runtime with one thread. */
import { parentPort, workerData } from "node:worker_threads"
import { Effect } from "effect"
import { readArtifact } from "./Artifact.ts"
import type { ImageSet } from "./Data.ts"
import { batchesOf } from "./Evaluate.ts"
import { Reference } from "./Reference.ts"
import type { Strategy } from "./Strategy.ts"

export interface AccuracyJob {
  readonly strategy: Strategy
  readonly images: ImageSet
  /** The images from `from` up to `to`, exclusive. */
  readonly from: number
  readonly to: number
}

export type AccuracyAnswer = { readonly right: number } | { readonly problem: string }

const { spec, weights } = await Effect.runPromise(readArtifact(workerData as string))
const reference = new Reference(spec, weights)

const answer = async ({ strategy, images, from, to }: AccuracyJob): Promise<AccuracyAnswer> => {
  try {
    return { right: await reference.rightAnswers(strategy, batchesOf(images, from, to)) }
  } catch (cause) {
    return { problem: cause instanceof Error ? cause.message : String(cause) }
  }
}

parentPort?.on("message", (job: AccuracyJob) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  void answer(job).then((a) => parentPort?.postMessage(a))
})
