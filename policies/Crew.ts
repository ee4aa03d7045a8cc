/**
 * Who does the work of a training beside the trainer: lanes over threads of this process or over the bus. All roll out; a
 * job whose lane is lost goes to the next lane that is free, and as jobs are pure, nobody can tell from the result. Threads
 * help with updates too. Without lanes, the trainer does the jobs itself, at once.
 */
import type { Random } from "../supernet/Random.ts"
import type { Environment } from "./Environment.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import {
  type Collected,
  collected,
  jobsOf,
  jobsPerPlan,
  rollOut,
  type RolloutJob,
  type RolloutPlan,
  type RolloutResult,
} from "./Rollouts.ts"
import { type Helper, makeUpdater } from "./Shards.ts"
import type { Learn } from "./Update.ts"

/** Weights of a policy network at one moment of a training. */
export interface VersionedWeights {
  readonly version: number
  readonly values: Float32Array
}

export interface Lane {
  /** Rejects with `LaneLost` where the job should be done elsewhere; anything else ends the training. */
  readonly run: (job: RolloutJob, weights: VersionedWeights) => Promise<RolloutResult>
  /** Where memory can be shared. */
  readonly help?: Helper
  readonly close: () => Promise<void>
}

/** The job was not done; the lane is fit for another one after a rest. */
export class LaneLost extends Error {
  readonly restMs: number
  constructor(reason: string, restMs: number) {
    super(reason)
    this.restMs = restMs
  }
}

export interface Crew {
  readonly collect: (plan: RolloutPlan) => Promise<Collected>
  readonly learn: Learn
  readonly close: () => Promise<void>
}

interface Task {
  readonly job: RolloutJob
  readonly weights: VersionedWeights
  readonly resolve: (result: RolloutResult) => void
  readonly reject: (cause: unknown) => void
}

/** Gives tasks to whoever is free, in order; a task that was lost comes first again. */
const dispatcher = (lanes: ReadonlyArray<Lane>) => {
  const waiting: Array<Task> = []
  // Every lane may have a whole plan: the trainer is not there to hand over the next job while the network learns.
  const idle: Array<Lane> = Array.from({ length: jobsPerPlan }, () => lanes).flat()
  const rests = new Set<NodeJS.Timeout>()
  const free = (lane: Lane) => {
    idle.push(lane)
    next()
  }
  const rest = (lane: Lane, ms: number) => {
    const timer = setTimeout(() => {
      rests.delete(timer)
      free(lane)
    }, ms)
    rests.add(timer)
  }
  const give = async (lane: Lane, task: Task) => {
    try {
      task.resolve(await lane.run(task.job, task.weights))
      free(lane)
    } catch (cause) {
      if (!(cause instanceof LaneLost)) return task.reject(cause)
      waiting.unshift(task)
      rest(lane, cause.restMs)
      next()
    }
  }
  const next = () => {
    while (waiting.length > 0 && idle.length > 0) {
      const [lane, task] = [idle.shift(), waiting.shift()]
      if (lane !== undefined && task !== undefined) void give(lane, task)
    }
  }
  return {
    run: (job: RolloutJob, weights: VersionedWeights) =>
      new Promise<RolloutResult>((resolve, reject) => {
        waiting.push({ job, weights, resolve, reject })
        next()
      }),
    close: async () => {
      for (const timer of rests) clearTimeout(timer)
      waiting.length = 0
      await Promise.all(lanes.map((lane) => lane.close()))
    },
  }
}

export const makeCrew = (
  environment: Environment,
  network: PolicyNetwork,
  random: Random,
  lanes: ReadonlyArray<Lane>,
): Crew => {
  const { run, close } = dispatcher(lanes)
  let version = 0
  const results = (jobs: ReadonlyArray<RolloutJob>): Promise<ReadonlyArray<RolloutResult>> => {
    if (lanes.length === 0) return Promise.resolve(jobs.map((job) => rollOut(environment, network, job)))
    const weights = { version, values: network.parameters.copy() }
    return Promise.all(jobs.map((job) => run(job, weights)))
  }
  return {
    collect: async (plan) => {
      const jobs = jobsOf(plan, ++version, random)
      return collected(environment, jobs, await results(jobs))
    },
    learn: makeUpdater(
      network,
      lanes.flatMap((lane) => lane.help ?? []),
    ),
    close,
  }
}
