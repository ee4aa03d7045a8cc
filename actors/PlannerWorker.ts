/** The thread in which a device thinks: decisions by policy and search, one at a time, away from the event loop. */
import { parentPort, workerData } from "node:worker_threads"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { Condition, Slo } from "../policies/Condition.ts"
import { type Decision, makeDecider } from "../policies/Decision.ts"
import { modelWorld } from "../policies/ModelWorld.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { accuracyModel } from "./AccuracyOf.ts"

export interface ThinkerSettings {
  readonly spec: SupernetSpec
  readonly profiles: ReadonlyArray<DeviceProfile>
  /** Artifact directory: where its accuracy predictor lies, if it has one. */
  readonly artifact: string
}

export interface Question {
  readonly id: number
  readonly condition: Condition
  readonly slo: Slo
  readonly budgetMs: number
  readonly hints: ReadonlyArray<Strategy>
}

export type Answer =
  | { readonly id: number; readonly decision: Decision }
  | { readonly id: number; readonly failure: string }

const settings: ThinkerSettings = workerData
const world = modelWorld(settings.spec, settings.profiles, accuracyModel(settings.spec, settings.artifact))
const decider = makeDecider(world)

let queue = Promise.resolve()
parentPort?.on("message", ({ id, condition, slo, budgetMs, hints }: Question) => {
  queue = queue.then(async () => {
    let answer: Answer
    try {
      answer = { id, decision: await decider.decide(condition, slo, budgetMs, { hints }) }
    } catch (cause) {
      answer = { id, failure: cause instanceof Error ? cause.message : String(cause) }
    }
    parentPort?.postMessage(answer)
  })
})
