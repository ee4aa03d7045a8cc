/**
 * Strategies run on a swarm in a box whose devices and links are slowed, so that this machine has time to compute what all of
 * its devices compute at once. Times come back in the time of the real devices: the slow motion is taken out again.
 */
import { Effect, Result, Schedule } from "effect"
import { idealLink, type Link, symmetricLink } from "../../devices/latency/Condition.ts"
import { timeline } from "../../devices/latency/Timeline.ts"
import { dilated } from "../../devices/profiles/DeviceProfile.ts"
import { profileNamed } from "../../devices/profiles/Shipped.ts"
import { type SwarmBox, swarmBox } from "../../deploy/SwarmBox.ts"
import type { Condition } from "../../policies/Condition.ts"
import { infer } from "../../subjects/Client.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import type { Strategy } from "../../supernet/Strategy.ts"

const slowLink = (slow: number, d: { readonly bandwidthMbps: number; readonly delayMs: number }): Link =>
  symmetricLink(d.bandwidthMbps / slow, d.delayMs * slow)

/** A swarm in a box of a condition's devices, the first one serving; `supernet`: an artifact, by default the shipped one. */
export const slowBox = (slow: number, condition: Condition, supernet?: string) =>
  swarmBox({
    ...(supernet === undefined ? {} : { supernet }),
    devices: condition.devices.map((d, i) => ({
      id: DeviceId.make(d.id),
      profile: d.type,
      slow,
      ...(i === 0 ? {} : { link: slowLink(slow, d) }),
    })),
  })

/**
 * What the model says of the slow motion, ms of the real devices: the bus and the actors run at full speed and so cost less
 * beside the rest than they do in life.
 */
export const slowModelMs = (
  spec: SupernetSpec,
  slow: number,
  condition: Condition,
  strategy: Strategy,
): number =>
  timeline({
    spec,
    strategy,
    condition: {
      devices: condition.devices.map((d, i) => ({
        id: d.id,
        profile: d.type,
        link: i === 0 ? idealLink : slowLink(slow, d),
      })),
    },
    profileOf: (name) => dilated(Result.getOrThrow(profileNamed(name)), slow),
  }).latencyMs / slow

export const warmUps = 2

/** A device that is busy starting, or that a machine full of other work keeps from answering, counts as absent for a while. */
const patience = { schedule: Schedule.spaced("1 second"), times: 60 }

export interface SlowRun {
  readonly slow: number
  readonly condition: Condition
  readonly strategy: Strategy
  /** One inference of each, after the warm-ups. */
  readonly images: ReadonlyArray<Uint8Array>
}

export interface RunReply {
  readonly latencyMs: number
  /** Name of the likeliest class. */
  readonly answer: string
}

/** Sets the links, and runs the strategy on each image, one after the other. */
export const runSlowly = Effect.fnUntraced(function* (box: SwarmBox, run: SlowRun) {
  const { slow, strategy, images } = run
  const [serving, ...remotes] = run.condition.devices
  for (const d of remotes) yield* box.device(DeviceId.make(d.id)).setLink(slowLink(slow, d))
  const once = (image: Uint8Array) =>
    infer({
      image,
      slo: { latencyMs: 60_000 },
      device: serving?.id ?? "",
      strategy: { ...strategy, devices: strategy.devices.map((d) => DeviceId.make(d)) },
      deadlineMs: 60_000,
    }).pipe(Effect.retry({ ...patience, while: (e) => e._tag === "Refused" && e.retryable }))
  for (const image of images.slice(0, warmUps)) yield* once(image)
  const replies: Array<RunReply> = []
  for (const image of images) {
    const reply = yield* once(image)
    replies.push({ latencyMs: reply.latencyMs / slow, answer: reply.classes[0]?.name ?? "" })
  }
  return replies
})
