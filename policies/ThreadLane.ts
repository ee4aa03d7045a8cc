/** A lane over a thread of this process, and what runs in that thread. A thread that ends is replaced. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { seededRandom } from "../supernet/Random.ts"
import type { SloKind } from "./Condition.ts"
import { type Lane, LaneLost } from "./Crew.ts"
import { makeEnvironment } from "./Environment.ts"
import { PolicyNetwork } from "./PolicyNetwork.ts"
import { policyShape, type StepUnit } from "./PolicyShape.ts"
import { rollOut, type RolloutJob, type RolloutResult } from "./Rollouts.ts"
import type { Scenario } from "./Scenario.ts"
import { type Setting, settingFor } from "./Setting.ts"

/** What a worker must know of a training before its first job. */
export interface RolloutTask {
  readonly scenario: Scenario
  readonly kind: SloKind
  readonly hidden: number
  readonly stepPer: StepUnit
}

/** Does the jobs of a task; `newer` has the weights where they are newer than those of the job before. */
export const jobDoer = async ({ scenario, kind, hidden, stepPer }: RolloutTask, known?: Setting) => {
  const { world } = known ?? settingFor(scenario)
  const environment = makeEnvironment(world, scenario, kind)
  const shape = policyShape(world.space, scenario.remotes.length, hidden, stepPer)
  const network = await PolicyNetwork.make(shape, seededRandom(0))
  return (job: RolloutJob, newer?: Float32Array): RolloutResult => {
    if (newer !== undefined) network.parameters.restore({ weights: newer })
    return rollOut(environment, network, job)
  }
}

interface Order {
  readonly id: number
  readonly job: RolloutJob
  readonly newer?: Float32Array
}
interface Answer {
  readonly id: number
  readonly result?: RolloutResult
  readonly failure?: string
}

interface ThreadData {
  readonly rollouts: RolloutTask
}

interface Asked {
  readonly resolve: (result: RolloutResult) => void
  readonly reject: (cause: Error) => void
}

/** A thread that ends this often without finishing a job is broken, not unlucky. */
const endsInARow = 3

export interface ThreadLane extends Lane {
  /** Ends the thread as a crash would. */
  readonly kill: () => void
}

export const threadLane = (task: RolloutTask): ThreadLane => {
  const data: ThreadData = { rollouts: task }
  const asked = new Map<number, Asked>()
  let [ids, sent, ended] = [0, 0, 0]
  const take = ({ id, result, failure = "no result" }: Answer) => {
    ended = 0
    const one = asked.get(id)
    asked.delete(id)
    if (result === undefined) one?.reject(new Error(failure))
    else one?.resolve(result)
  }
  const lost = (reason: string) => {
    worker.removeAllListeners()
    const all = [...asked.values()]
    asked.clear()
    ended++
    if (ended < endsInARow) worker = start()
    for (const { reject } of all) {
      reject(ended < endsInARow ? new LaneLost(reason, 0) : new Error(`a roll-out thread ${reason}`))
    }
  }
  const start = () => {
    sent = 0
    return new Worker(new URL(import.meta.url), { workerData: data })
      .on("message", take)
      .once("error", (cause) => lost(`failed: ${String(cause)}`))
      .once("exit", (code) => lost(`ended with code ${code}`))
  }
  let worker = start()
  return {
    run: (job, weights) =>
      new Promise((resolve, reject) => {
        const id = ids++
        asked.set(id, { resolve, reject })
        const newer = weights.version === sent ? {} : { newer: weights.values }
        sent = weights.version
        const order: Order = { id, job, ...newer }
        worker.postMessage(order)
      }),
    kill: () => void worker.terminate(),
    close: async () => {
      worker.removeAllListeners()
      await worker.terminate()
    },
  }
}

const isRolloutThread = (data: unknown): data is ThreadData =>
  typeof data === "object" && data !== null && "rollouts" in data

if (!isMainThread && isRolloutThread(workerData)) {
  const doing = jobDoer(workerData.rollouts)
  parentPort?.on("message", ({ id, job, newer }: Order) => {
    const answer = doing.then(
      (perform): Answer => ({ id, result: perform(job, newer) }),
      (cause): Answer => ({ id, failure: cause instanceof Error ? cause.message : String(cause) }),
    )
    void answer.then((a) => parentPort?.postMessage(a))
  })
}
