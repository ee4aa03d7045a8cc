/**
 * What a client sends to the swarm and gets back. Both directions exist as CBOR and as JSON (binary fields in base64);
 * a reply has the form of its request.
 */
import { Effect, Schema } from "effect"
import type { BadMessage } from "./Codec.ts"
import { DeviceId, RequestId, StrategyId, WireStrategy } from "./DeviceId.ts"
import { type Refusal, refusal } from "./ErrorReply.ts"

const LatencyMs = Schema.Finite.check(Schema.isBetween({ minimum: 0.1, maximum: 600_000 }))
const Fraction = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** What the client asks for: a latency to stay under (ms at the serving device), or a top-1 accuracy to reach (0..1). */
export type Slo =
  | { readonly latencyMs: number; readonly accuracy?: never }
  | { readonly accuracy: number; readonly latencyMs?: never }

const SloFields = Schema.Struct({
  latencyMs: Schema.optionalKey(LatencyMs),
  accuracy: Schema.optionalKey(Fraction),
}).check(
  Schema.makeFilter((slo) => (slo.latencyMs === undefined) !== (slo.accuracy === undefined), {
    expected: "exactly one of latencyMs and accuracy",
  }),
)
export const Slo = SloFields as unknown as Schema.Codec<Slo, Slo>

/** Raw pixels: RGB, 3 bytes per pixel, row by row, `data.length = width * height * 3`. */
export const PixelTensor = Schema.Struct({
  width: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
  height: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
  data: Schema.Uint8Array,
}).check(
  Schema.makeFilter((t) => t.data.length === t.width * t.height * 3, {
    expected: "width * height * 3 bytes of RGB",
  }),
)

/** Parts of a reply that are only sent when asked for. */
export const replyExtras = ["logits", "strategy", "timeline"] as const

export const InferRequest = Schema.Struct({
  id: Schema.optionalKey(RequestId),
  /** JPEG, PNG or WebP bytes. Exactly one of `image` and `tensor`. */
  image: Schema.optionalKey(Schema.Uint8Array.check(Schema.isMinLength(1))),
  tensor: Schema.optionalKey(PixelTensor),
  slo: Slo,
  /** Give up this many ms after the request arrived: then the reply is `DeadlineExpired`. Default: the device's. */
  deadlineMs: Schema.optionalKey(LatencyMs),
  topK: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(5)),
    Schema.withConstructorDefault(Effect.succeed(5)),
  ),
  include: Schema.Array(Schema.Literals(replyExtras)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([])),
    Schema.withConstructorDefault(Effect.succeed([])),
  ),
  /**
   * Names one call of a client among all: when it asks again with the same key, a device that still works on the first
   * message answers both with the same result.
   */
  key: Schema.optionalKey(RequestId),
  /** Run exactly this instead of what the planner would choose (benches, tests). Its first device must be the serving one. */
  strategy: Schema.optionalKey(WireStrategy),
}).check(
  Schema.makeFilter((r) => (r.image === undefined) !== (r.tensor === undefined), {
    expected: "exactly one of image and tensor",
  }),
)
export type InferRequest = typeof InferRequest.Type

/** Where a strategy came from. */
export const DecisionOrigin = Schema.Literals([
  "request",
  "cache",
  "forecast",
  "policy",
  "repair",
  "search",
  "fallback",
])
export type DecisionOrigin = typeof DecisionOrigin.Type

/**
 * Who found a strategy first: the policy, local search from its proposal, search alone, another device (`shared`), or nobody:
 * the whole networks that every device knows from the start (`built-in`).
 */
export const Finder = Schema.Literals(["policy", "repair", "search", "shared", "built-in"])
export type Finder = typeof Finder.Type

/** A strategy in short: enough for a person to see what ran where. */
export const StrategySummary = Schema.Struct({
  resolution: Schema.Int,
  depths: Schema.Array(Schema.Int),
  devices: Schema.Array(DeviceId),
  /** Tasks (segments of the task graph) and edges that crossed the bus. */
  tasks: Schema.Int,
  crossings: Schema.Int,
  /** One line, such as `160px d3,3,2,2,2 · stem-b4 2x2 on pi-1,pi-2,pi-1,pi-2 · b5-head on pi-1`. */
  text: Schema.String,
})
export type StrategySummary = typeof StrategySummary.Type

/** One task of the strategy as it ran. All times in ms; `device`s clocks are not compared. */
export const TaskTiming = Schema.Struct({
  task: Schema.Int,
  device: DeviceId,
  /** From the first input's arrival to the last input's. */
  gatherMs: Schema.Finite,
  /** From all inputs present to the start of the computation. */
  queueMs: Schema.Finite,
  computeMs: Schema.Finite,
  /** Cutting, quantising and encoding the outputs. */
  packMs: Schema.Finite,
  bytesIn: Schema.Int,
  bytesOut: Schema.Int,
  /** On an emulated device: by how much the real computation took longer than the emulated one. Absent where it did not. */
  overrunMs: Schema.optionalKey(Schema.Finite),
})
export type TaskTiming = typeof TaskTiming.Type

/**
 * Where a request's time went at the serving device. What `latencyMs` has beyond the parts: tries that were lost, and gaps. The image
 * is decoded while the strategy is made ready, so that the shorter of those two is hidden.
 */
export const LatencyBreakdown = Schema.Struct({
  /** Until it was the request's turn. */
  queueMs: Schema.Finite,
  decodeMs: Schema.Finite,
  planMs: Schema.Finite,
  reconfigMs: Schema.Finite,
  /** From the first tile cut to the logits' arrival. */
  executeMs: Schema.Finite,
})
export type LatencyBreakdown = typeof LatencyBreakdown.Type

export const ClassScore = Schema.Struct({
  index: Schema.Int,
  name: Schema.String,
  probability: Schema.Finite,
})
export type ClassScore = typeof ClassScore.Type

export const InferReply = Schema.Struct({
  id: RequestId,
  /** The device that served the request. */
  device: DeviceId,
  /** Best first. */
  classes: Schema.Array(ClassScore),
  /** At the serving device, from the arrival of the request to this reply: what a latency SLO bounds. */
  latencyMs: Schema.Finite,
  breakdown: LatencyBreakdown,
  slo: Slo,
  sloMet: Schema.Boolean,
  predicted: Schema.Struct({ latencyMs: Schema.Finite, accuracy: Schema.Finite }),
  strategyId: StrategyId,
  summary: StrategySummary,
  origin: DecisionOrigin,
  /** Absent where the client gave the strategy. */
  foundBy: Schema.optionalKey(Finder),
  /** How often the request was planned anew because a device or a tile was lost. */
  replans: Schema.Int,
  /** Present when a device was lost or overdue on the way. */
  recovery: Schema.optionalKey(
    Schema.Struct({
      /** Devices that were given up. */
      lost: Schema.Array(DeviceId),
      /** Of those, who was only late when the next try began; the others were gone, or said that they could not go on. */
      overdue: Schema.optionalKey(Schema.Array(DeviceId)),
      /** A second try was started beside an overdue one, and one of the two answered. */
      hedged: Schema.Boolean,
      /** What was predicted for the first try. */
      predictedMs: Schema.Finite,
    }),
  ),
  supernet: Schema.Struct({ name: Schema.String, version: Schema.String }),
  /** False: the weights are random, and the classes mean nothing. */
  trained: Schema.Boolean,
  logits: Schema.optionalKey(Schema.Array(Schema.Finite)),
  strategy: Schema.optionalKey(WireStrategy),
  timeline: Schema.optionalKey(Schema.Array(TaskTiming)),
})
export type InferReply = typeof InferReply.Type

/** How a Scheduler refuses what is not an `InferRequest`: by the field that is wrong. */
export const refuseInfer = (bad: BadMessage): Refusal => {
  const field = bad.path[0]
  if (field === "slo") {
    const hint = 'give {"slo":{"latencyMs":140}} or {"slo":{"accuracy":0.8}} (a fraction), not both'
    return refusal("UnknownSlo", bad.detail, hint)
  }
  if (field === "image")
    return refusal("BadImage", bad.detail, "in JSON, images are base64 of JPEG, PNG or WebP")
  return refusal("BadRequest", bad.detail, "see docs/clients.md for the message's form")
}
