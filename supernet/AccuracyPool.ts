/**
 * Accuracy of strategies on held-out images, computed by ONNX Runtime with the graphs that devices run: the whole strategy
 * with its cuts and its quantisation at the bus. The images are divided over threads, which is nearly twice as fast on two
 * cores as two threads inside ONNX Runtime are: blocks are too small to be divided.
 */
import { cpus } from "node:os"
import { Worker } from "node:worker_threads"
import type { AccuracyAnswer, AccuracyJob } from "./AccuracyWorker.ts"
import type { HeldOutImages } from "./Evaluate.ts"
import type { Strategy } from "./Strategy.ts"

export class AccuracyPool {
  readonly images: HeldOutImages
  readonly #workers: ReadonlyArray<Worker>
  /** The calculation before, which the next one waits for. */
  #last: Promise<unknown> = Promise.resolve()

  /** `artifact`: the supernet's directory. Call `close` in the end: the threads keep the process alive. */
  constructor(artifact: string, images: HeldOutImages, threads = cpus().length) {
    this.images = images
    const file = new URL("./AccuracyWorker.ts", import.meta.url)
    this.#workers = Array.from(
      { length: Math.max(1, threads) },
      () => new Worker(file, { workerData: artifact }),
    )
  }

  /** Top-1 accuracy, 0..1. Throws `RangeError` for an invalid strategy. */
  accuracy(strategy: Strategy): Promise<number> {
    const next = this.#last.then(
      () => this.#divided(strategy),
      () => this.#divided(strategy),
    )
    this.#last = next
    return next
  }

  async #divided(strategy: Strategy): Promise<number> {
    const images = await this.images.at(strategy.submodel.resolution)
    const bound = (i: number) => Math.round((i * images.count) / this.#workers.length)
    // All of them, also where one fails: a late answer would be taken for one to the next question.
    const answers = await Promise.allSettled(
      this.#workers.map((w, i) => ask(w, { strategy, images, from: bound(i), to: bound(i + 1) })),
    )
    let right = 0
    for (const answer of answers) {
      if (answer.status === "rejected") throw answer.reason
      right += answer.value
    }
    return right / images.count
  }

  async close(): Promise<void> {
    await this.#last.catch(() => undefined)
    await Promise.all(this.#workers.map((w) => w.terminate()))
  }
}

const ask = (worker: Worker, job: AccuracyJob): Promise<number> =>
  new Promise((resolve, reject) => {
    const done = () => {
      worker.off("message", onAnswer)
      worker.off("error", onError)
    }
    const onAnswer = (answer: AccuracyAnswer) => {
      done()
      if ("right" in answer) resolve(answer.right)
      else reject(new RangeError(answer.problem))
    }
    const onError = (cause: Error) => {
      done()
      reject(cause)
    }
    worker.on("message", onAnswer)
    worker.on("error", onError)
    worker.postMessage(job)
  })
