/** Counters of the subjects that a program serves, for the services API and beats. Mutable on purpose: hot path. */
import { Effect, type Scope } from "effect"

export interface EndpointStats {
  readonly name: string
  readonly subject: string
  readonly queue: string
  requests: number
  /** Answered with a typed error, or failed. */
  errors: number
  /** Refused or thrown away because the inbox was full. */
  dropped: number
  /** Not what the subject carries. */
  bad: number
  /** Sum over all handled messages, from arrival to reply, ns. */
  processingNs: number
  lastError: string
}

export const endpointStats = (name: string, subject: string, queue = ""): EndpointStats => ({
  name,
  subject,
  queue,
  requests: 0,
  errors: 0,
  dropped: 0,
  bad: 0,
  processingNs: 0,
  lastError: "",
})

/** Keeps the counters among those of the connection while the scope is open: the services API shows them. */
export const tracked = (
  endpoints: Set<EndpointStats>,
  stats: EndpointStats,
): Effect.Effect<EndpointStats, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      endpoints.add(stats)
      return stats
    }),
    () => Effect.sync(() => endpoints.delete(stats)),
  )
