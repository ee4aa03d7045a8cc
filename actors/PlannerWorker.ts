/** The thread in which a device thinks: decisions by policy and search, one at a time, away from the event loop. */
import { parentPort, workerData } from "node:worker_threads"
import { tidyThread } from "../devices/engine/Garbage.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { Condition, Slo } from "../policies/Condition.ts"
import { type Decision, makeDecider, type Proposer } from "../policies/Decision.ts"
import { modelWorld } from "../policies/ModelWorld.ts"
import type { PolicyArtifact } from "../policies/PolicyArtifact.ts"
import { accuracyModelOf } from "../policies/PredictorAccuracy.ts"
import { loadPolicy, policyProposer, shapeFor } from "../policies/PolicyRuntime.ts"
import { dimensions } from "../policies/Scenario.ts"
import type { World } from "../policies/World.ts"
import type { PredictorData } from "../supernet/AccuracyPredictor.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import type { Strategy } from "../supernet/Strategy.ts"

export interface ThinkerSettings {
  readonly spec: SupernetSpec
  readonly profiles: ReadonlyArray<DeviceProfile>
  /** The accuracy predictor of the supernet; none for untrained weights. */
  readonly predictor: PredictorData | undefined
}

export interface Question {
  readonly type: "decide"
  readonly id: number
  readonly condition: Condition
  readonly slo: Slo
  readonly budgetMs: number
  readonly hints: ReadonlyArray<Strategy>
}

/** Use this policy from the next question on, instead of the one of the same name. */
export interface Adopt {
  readonly type: "adopt"
  readonly id: number
  readonly policy: PolicyArtifact
}

/** Plan with devices of this type too. */
export interface Learn {
  readonly type: "learn"
  readonly id: number
  readonly profile: DeviceProfile
}

export type Answer =
  | { readonly type: "decided"; readonly id: number; readonly decision: Decision }
  | { readonly type: "learned"; readonly id: number }
  | { readonly type: "adopted"; readonly id: number }
  | { readonly type: "failed"; readonly id: number; readonly failure: string }

const settings: ThinkerSettings = workerData
const profiles = [...settings.profiles]
const worldOf = (types: ReadonlyArray<DeviceProfile>) =>
  modelWorld(settings.spec, types, accuracyModelOf(settings.spec, settings.predictor))
/** Makes a policy's proposer for a world. */
const proposers = new Map<string, (world: World) => Proposer>()
let world = worldOf(profiles)
let decider = makeDecider(world)

const renew = () =>
  (decider = makeDecider(
    world,
    [...proposers.values()].map((make) => make(world)),
  ))

/** Loads the network and decodes once, so that a policy that cannot run is refused and not found out by a request. */
const adopt = async ({ manifest, onnx, scenario }: PolicyArtifact) => {
  const shape = shapeFor(scenario, world.space, manifest.hidden)
  const runtime = await loadPolicy(onnx, shape)
  await runtime.decode([new Float64Array(dimensions(scenario)).fill(0.5)])
  const { name, kind } = manifest
  proposers.set(name, (given) => policyProposer(runtime, given, { name, kind, scenario }))
  renew()
}

const learn = (profile: DeviceProfile) => {
  if (profiles.some((p) => p.name === profile.name)) return
  world = worldOf([...profiles, profile])
  // It is known once the world has it: what fails may be tried again.
  profiles.push(profile)
  renew()
}

const answerTo = async (message: Question | Adopt | Learn): Promise<Answer> => {
  const { id } = message
  try {
    if (message.type === "adopt") {
      await adopt(message.policy)
      return { type: "adopted", id }
    }
    if (message.type === "learn") {
      learn(message.profile)
      return { type: "learned", id }
    }
    const { condition, slo, budgetMs, hints } = message
    return { type: "decided", id, decision: await decider.decide(condition, slo, budgetMs, { hints }) }
  } catch (cause) {
    return { type: "failed", id, failure: cause instanceof Error ? cause.message : String(cause) }
  }
}

let queue = Promise.resolve()
let waiting = 0
parentPort?.on("message", (message: Question | Adopt | Learn) => {
  waiting++
  queue = queue.then(async () => {
    parentPort?.postMessage(await answerTo(message))
    waiting--
  })
})
tidyThread(() => waiting > 0)
