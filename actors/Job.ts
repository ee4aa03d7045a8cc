/** A request on its way through the Scheduler, and what becomes of it: a reply, or a refusal that says why. */
import { Effect } from "effect"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import type { InferReply, InferRequest } from "../subjects/InferMessages.ts"
import type { AttemptOutcome } from "./Attempt.ts"
import type { DecodingRoom } from "./DecodingRoom.ts"
import { decodeImage, scaleImage } from "./Image.ts"
import type { Plan } from "./Plan.ts"
import type { Self } from "./Self.ts"
import { summarize } from "./Summary.ts"
import { topClasses } from "./TopClasses.ts"

export interface Job {
  /** The client's name for it, if it gave one: only for the reply. Two clients may choose the same. */
  readonly id: RequestId
  /** Names it between devices: unique in the swarm. */
  readonly key: RequestId
  readonly request: InferRequest
  readonly arrivedMs: number
  readonly deadlineMs: number
  readonly image: (resolution: number) => Effect.Effect<Uint8Array, Refusal>
}

/** How a request was answered. */
export interface Done {
  readonly planned: Plan
  readonly outcome: AttemptOutcome
  readonly replans: number
  readonly planMs: number
  /** Absent when the first try answered. */
  readonly recovery: InferReply["recovery"]
}

/** Decodes the request's image once per resolution. An emulated device takes at least `heldMs` for it. */
export const imageOf = (request: InferRequest, heldMs: number, room: DecodingRoom): Job["image"] => {
  const scaled = new Map<number, Uint8Array>()
  return (resolution) =>
    Effect.gen(function* () {
      const known = scaled.get(resolution)
      if (known !== undefined) return known
      const startMs = performance.now()
      const { image, tensor } = request
      const decode =
        tensor === undefined
          ? decodeImage(image ?? new Uint8Array(), resolution, room)
          : scaleImage(tensor, resolution)
      const pixels = yield* decode.pipe(Effect.mapError((e) => refusal(e._tag, e.message, e.hint)))
      const leftMs = heldMs - (performance.now() - startMs)
      if (leftMs > 0) yield* Effect.sleep(leftMs)
      scaled.set(resolution, pixels)
      return pixels
    })
}

export const deadlineExpired = (job: Job): Refusal => {
  const tookMs = Math.round(performance.now() - job.arrivedMs)
  const limitMs = Math.round(job.deadlineMs - job.arrivedMs)
  return refusal(
    "DeadlineExpired",
    `${tookMs} ms went by; the deadline was ${limitMs} ms`,
    "allow more time",
    true,
  )
}

export const replyOf = (self: Self["Service"], job: Job, done: Done, queueMs: number): InferReply => {
  const { planned, outcome, replans, planMs, recovery } = done
  const { request } = job
  const { decodeMs, reconfigMs, executeMs, prepared } = outcome
  const latencyMs = performance.now() - job.arrivedMs
  const { slo } = request
  const sloMet =
    slo.latencyMs === undefined ? planned.predicted.accuracy >= slo.accuracy : latencyMs <= slo.latencyMs
  return {
    id: job.id,
    device: self.device,
    classes: topClasses(outcome.logits, self.spec.classes, request.topK),
    latencyMs,
    breakdown: { queueMs, decodeMs, planMs, reconfigMs, executeMs },
    slo,
    sloMet,
    predicted: planned.predicted,
    strategyId: prepared.strategyId,
    summary: summarize(prepared),
    origin: replans > 0 && planned.strategy.devices.length === 1 ? "fallback" : planned.origin,
    ...(planned.foundBy === undefined ? {} : { foundBy: planned.foundBy }),
    replans,
    ...(recovery === undefined ? {} : { recovery }),
    supernet: { name: self.spec.name, version: self.spec.version },
    trained: self.spec.trained,
    ...(request.include.includes("logits") ? { logits: [...outcome.logits] } : {}),
    ...(request.include.includes("strategy") ? { strategy: prepared.strategy } : {}),
    ...(request.include.includes("timeline") ? { timeline: [...outcome.timings] } : {}),
  }
}

/** A strategy that the client insists on must begin at the device that it asks. */
export const notServedHere = (first: string | undefined, here: DeviceId): Refusal =>
  refusal(
    "NoStrategy",
    `the strategy is served by ${first ?? "nobody"}; this device is ${here}`,
    `send it to infer.${first ?? "<device>"}.request`,
  )
