/** What a user asks for, the same wherever one asks: a latency to stay under, or an accuracy to reach. */
import { Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import type { Slo } from "../subjects/InferMessages.ts"

export const sloFlags = {
  latency: Flag.Finite("latency").pipe(
    Flag.withDescription("SLO: answer within this many ms"),
    Flag.optional,
  ),
  accuracy: Flag.Finite("accuracy").pipe(
    Flag.withDescription("SLO: be right this often (top-1, 0 to 1), as fast as possible"),
    Flag.optional,
  ),
}

export class BadSlo extends Schema.TaggedError<BadSlo>()("BadSlo", { problem: Schema.String }) {
  readonly retryable = false
  readonly hint = "for example: --latency 140 (milliseconds), or --accuracy 0.85 (top-1, 0 to 1)"
  override get message() {
    return this.problem
  }
}

const bad = (problem: string) => Effect.fail(new BadSlo({ problem }))

/** The one objective that was given. */
export const chosenSlo = (given: {
  readonly latency: Option.Option<number>
  readonly accuracy: Option.Option<number>
}): Effect.Effect<Slo, BadSlo> => {
  const [latencyMs, accuracy] = [Option.getOrUndefined(given.latency), Option.getOrUndefined(given.accuracy)]
  if ((latencyMs === undefined) === (accuracy === undefined)) {
    const count = latencyMs === undefined ? "none was" : "both were"
    return bad(`say what you want: exactly one of --latency and --accuracy (${count} given)`)
  }
  if (latencyMs !== undefined)
    return latencyMs > 0 ? Effect.succeed({ latencyMs }) : bad(`nothing takes ${latencyMs} ms`)
  if (accuracy !== undefined && accuracy >= 0 && accuracy <= 1) return Effect.succeed({ accuracy })
  return bad(`an accuracy of ${accuracy}: it is the share of right answers, 0 to 1`)
}
