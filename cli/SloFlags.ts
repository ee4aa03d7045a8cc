/** What a user asks for, the same wherever one asks: a latency to stay under, or an accuracy to reach. */
import { Flag } from "effect/cli"

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
