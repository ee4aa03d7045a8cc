/**
 * Baselines answer a condition with the plans that their method allows for a fixed network, under the same device profiles,
 * links and overheads as ours, and an SLO takes the best of them. They are written after their papers; where a paper leaves a
 * choice open, the choice is the one that gives them the lowest latency, or the SLO's own where it costs accuracy.
 *
 * The local device holds the image and has an ideal link; remote i is reached over its own access link, one message at a
 * time each way, so links of different remotes do not wait for each other.
 */
import { msPerByte } from "../../devices/latency/Condition.ts"
import {
  defaultOverheads,
  messageMsPerByte,
  type Overheads,
  wireBytes,
} from "../../devices/latency/Overheads.ts"
import { type DeviceProfile, opsMs } from "../../devices/profiles/DeviceProfile.ts"
import type { OpCounts } from "../../supernet/Cost.ts"
import type { Network } from "../../supernet/zoo/LayerGraph.ts"
import type { Condition, DeviceState } from "../Condition.ts"

export interface BaselineWorld {
  /** Profile of a device type of the condition. */
  readonly profileOf: (type: string) => DeviceProfile
  readonly overheads?: Overheads
}

export interface BaselinePlan {
  /** For people: "cut before layer3.0.conv1, rest on remote-1". */
  readonly summary: string
  /** Ids of the devices that compute. */
  readonly devices: ReadonlyArray<string>
}

export interface BaselineOutcome<Plan extends BaselinePlan = BaselinePlan> {
  readonly latencyMs: number
  /** ImageNet top-1, 0..1. */
  readonly accuracy: number
  readonly plan: Plan
}

export interface Baseline {
  readonly name: string
  /**
   * What no other plan of the method is better than for this network, under any SLO: from the most accurate to the fastest. A
   * method that never trades accuracy for time has one. Never empty: the local device alone can always run the network.
   */
  readonly plans: (
    network: Network,
    condition: Condition,
    world: BaselineWorld,
  ) => ReadonlyArray<BaselineOutcome>
}

export const overheadsOf = (world: BaselineWorld): Overheads => world.overheads ?? defaultOverheads

export const localOf = (condition: Condition): DeviceState => {
  const [local] = condition.devices
  if (local === undefined) throw new RangeError("a condition needs a local device")
  return local
}

/** One message between the local device and a remote, either way, ms. */
export const hopMs = (overheads: Overheads, remote: DeviceState, payloadBytes: number): number => {
  const bytes = wireBytes(overheads, payloadBytes)
  const busMs = overheads.messageMs + bytes * messageMsPerByte(overheads)
  return bytes * msPerByte(remote.bandwidthMbps) + remote.delayMs + busMs
}

/** A part of a network on a device in one go, ms; nothing where there is nothing to do. */
export const runMs = (overheads: Overheads, profile: DeviceProfile, ops: OpCounts): number =>
  ops.layers === 0 ? 0 : overheads.taskMs + profile.runMs + opsMs(profile, ops)

/** From the request's arrival to the image being there, and from the logits to the reply, ms. */
export const requestMs = (overheads: Overheads, local: DeviceProfile): number =>
  overheads.requestMs + local.decodeMs + overheads.replyMs

/** Logits travel as float32. */
export const resultBytes = (network: Network): number => 4 * (network.layers.at(-1)?.output.channels ?? 0)
