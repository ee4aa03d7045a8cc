/**
 * A lane over a thread of this process, and what runs in that thread: roll-outs, and shards of updates while there are any.
 * A thread that ends is replaced.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { errorText } from "../supernet/ErrorText.ts"
import { seededRandom } from "../supernet/Random.ts"
import type { SloKind } from "./Condition.ts"
import { type Lane, LaneLost } from "./Crew.ts"
import { makeEnvironment } from "./Environment.ts"
import type { Space } from "./Genome.ts"
import { PolicyNetwork } from "./PolicyNetwork.ts"
import { policyShape, type StepUnit } from "./PolicyShape.ts"
import { rollOut, type RolloutJob, type RolloutResult } from "./Rollouts.ts"
import type { Scenario } from "./Scenario.ts"
import { help, type Helper, type SharedUpdate } from "./Shards.ts"
import { type Setting, settingFor } from "./Setting.ts"

/** What a worker must know of a training before its first job. */
export interface RolloutTask {
  readonly scenario: Scenario
  readonly kind: SloKind
  readonly hidden: number
  readonly stepPer: StepUnit
}

const networkFor = (space: Space, { scenario, hidden, stepPer }: RolloutTask) =>
  PolicyNetwork.make(policyShape(space, scenario.remotes.length, hidden, stepPer), seededRandom(0))

/** Does the jobs of a task; `newer` has the weights where they are newer than those of the job before. */
export const jobDoer = async (task: RolloutTask, known?: Setting) => {
  const { world } = known ?? settingFor(task.scenario)
  const environment = makeEnvironment(world, task.scenario, task.kind)
  const network = await networkFor(world.space, task)
  return (job: RolloutJob, newer?: Float32Array): RolloutResult => {
    if (newer !== undefined) network.parameters.restore({ weights: newer })
    return rollOut(environment, network, job)
  }
}

/** One thing to do. */
type Order =
  | { readonly do: "job"; readonly job: RolloutJob; readonly newer?: Float32Array }
  | { readonly do: "help"; readonly shared: SharedUpdate }
interface Numbered {
  readonly id: number
  readonly order: Order
}
interface Done {
  /** Of a job. */
  readonly result?: RolloutResult
  /** Of help: how many shards. */
  readonly shards?: number
  readonly failure?: string
}
interface Answer {
  readonly id: number
  readonly done: Done
}

interface ThreadData {
  readonly rollouts: RolloutTask
}

interface Asked {
  readonly resolve: (done: Done) => void
  readonly reject: (cause: Error) => void
}

/** A thread that ends this often without finishing a job is broken, not unlucky. */
const endsInARow = 3

export interface ThreadLane extends Lane {
  readonly help: Helper
  /** Ends the thread as a crash would. */
  readonly kill: () => void
}

export const threadLane = (task: RolloutTask): ThreadLane => {
  const data: ThreadData = { rollouts: task }
  const asked = new Map<number, Asked>()
  let [ids, sent, ended] = [0, 0, 0]
  const take = ({ id, done }: Answer) => {
    ended = 0
    const one = asked.get(id)
    asked.delete(id)
    if (done.failure === undefined) one?.resolve(done)
    else one?.reject(new Error(done.failure))
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
      .once("error", (cause) => lost(`failed: ${errorText(cause)}`))
      .once("exit", (code) => lost(`ended with code ${code}`))
  }
  let worker = start()
  const tell = (order: Order) =>
    new Promise<Done>((resolve, reject) => {
      const id = ids++
      asked.set(id, { resolve, reject })
      const message: Numbered = { id, order }
      worker.postMessage(message)
    })
  return {
    run: async (job, weights) => {
      const newer = weights.version === sent ? {} : { newer: weights.values }
      sent = weights.version
      const { result } = await tell({ do: "job", job, ...newer })
      if (result === undefined) throw new Error("a roll-out thread answered without a result")
      return result
    },
    help: async (shared) => (await tell({ do: "help", shared })).shards ?? 0,
    kill: () => void worker.terminate(),
    close: async () => {
      worker.removeAllListeners()
      await worker.terminate()
    },
  }
}

const isRolloutThread = (data: unknown): data is ThreadData =>
  typeof data === "object" && data !== null && "rollouts" in data

/** What the thread does: roll-outs with the weights that they name, updates with those of the moment, so on two networks. */
const doer = async (task: RolloutTask) => {
  const setting = settingFor(task.scenario)
  const perform = await jobDoer(task, setting)
  const network = await networkFor(setting.world.space, task)
  return (order: Order): Done =>
    order.do === "job" ? { result: perform(order.job, order.newer) } : { shards: help(network, order.shared) }
}

if (!isMainThread && isRolloutThread(workerData)) {
  const doing = doer(workerData.rollouts)
  parentPort?.on("message", ({ id, order }: Numbered) => {
    const done = doing
      .then((perform) => perform(order))
      .catch((cause): Done => ({ failure: cause instanceof Error ? cause.message : String(cause) }))
    void done.then((d) => parentPort?.postMessage({ id, done: d } satisfies Answer))
  })
}
