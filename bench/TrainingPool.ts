/**
 * Trainings side by side, each in a worker thread of its own. One training divides too (`policies/Crew.ts`), but its threads
 * wait for each other at every update; whole trainings (seeds, contestants) divide perfectly, and each gives the same curve
 * on any number of workers.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { loadSetting } from "../policies/Setting.ts"
import { train, type TrainOptions, type ValidationReport } from "../policies/Train.ts"

export interface TrainingJob {
  readonly scenario: string
  /** Without functions: it is copied to the worker. */
  readonly options: TrainOptions
}

export type Curve = ReadonlyArray<ValidationReport>

const inWorker = (job: TrainingJob): Promise<Curve> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: job })
    worker.once("message", resolve)
    worker.once("error", reject)
  })

/** Runs all jobs, at most `workers` at a time; `onCurve` as each ends, in any order. */
export const trainAll = async <Job extends TrainingJob>(
  jobs: ReadonlyArray<Job>,
  workers: number,
  onCurve: (job: Job, curve: Curve) => void,
): Promise<void> => {
  let next = 0
  const work = async () => {
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
      const { scenario, options } = job
      onCurve(job, await inWorker({ scenario, options }))
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
}

if (!isMainThread && parentPort !== null) {
  const { scenario, options } = workerData as TrainingJob
  const { curve } = await train(loadSetting(scenario), options)
  parentPort.postMessage(curve)
}
