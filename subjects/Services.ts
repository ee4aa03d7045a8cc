/**
 * The NATS services API (ADR-32), so that `nats micro ls|info|stats` shows every actor of the swarm with real figures.
 * Written here, because the client library's own version forces a queue group on every endpoint, times only the
 * synchronous part of a handler, and cannot count one-way subjects.
 */
import { randomUUID } from "node:crypto"
import { Effect, type Scope } from "effect"
import { Bus } from "./Bus.ts"
import type { EndpointStats } from "./EndpointStats.ts"
import { servicesPrefix } from "./Subjects.ts"

export interface ServiceOptions {
  /** Letters, digits, `-` and `_`. */
  readonly name: string
  /** Semantic version. */
  readonly version: string
  readonly description: string
  /** Such as the device's id. */
  readonly metadata: Readonly<Record<string, string>>
  /** Asked at every question, so an endpoint may come and go. */
  readonly endpoints: () => ReadonlyArray<EndpointStats>
  /** Further figures for STATS, per endpoint. */
  readonly data?: (endpoint: EndpointStats) => unknown
}

export interface ServiceInfo {
  readonly name: string
  readonly id: string
  readonly version: string
  readonly metadata: Readonly<Record<string, string>>
}

const statsOf = (options: ServiceOptions) => (e: EndpointStats) => ({
  name: e.name,
  subject: e.subject,
  queue_group: e.queue,
  num_requests: e.requests,
  num_errors: e.errors,
  last_error: e.lastError,
  processing_time: e.processingNs,
  average_processing_time: e.requests === 0 ? 0 : Math.round(e.processingNs / e.requests),
  data: { dropped: e.dropped, bad: e.bad, ...(options.data === undefined ? {} : { more: options.data(e) }) },
})

/** Answers PING, INFO and STATS until the scope closes. */
export const registerService = (
  options: ServiceOptions,
): Effect.Effect<ServiceInfo, never, Bus | Scope.Scope> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const { name, version, metadata } = options
    const identity = { name, id: randomUUID(), version, metadata }
    const started = new Date().toISOString()
    const answers: Record<string, () => object> = {
      PING: () => ({ type: "io.nats.micro.v1.ping_response", ...identity }),
      INFO: () => ({
        type: "io.nats.micro.v1.info_response",
        ...identity,
        description: options.description,
        endpoints: options.endpoints().map((e) => ({
          name: e.name,
          subject: e.subject,
          queue_group: e.queue,
          metadata: null,
        })),
      }),
      STATS: () => ({
        type: "io.nats.micro.v1.stats_response",
        ...identity,
        started,
        endpoints: options.endpoints().map(statsOf(options)),
      }),
    }
    for (const [verb, answer] of Object.entries(answers)) {
      const all = `${servicesPrefix}.${verb}`
      for (const subject of [all, `${all}.${name}`, `${all}.${name}.${identity.id}`]) {
        yield* Effect.acquireRelease(
          Effect.sync(() =>
            bus.nats.subscribe(subject, {
              callback: (error, message) => {
                if (error === null) message.respond(JSON.stringify(answer()))
              },
            }),
          ),
          (subscription) => Effect.sync(() => subscription.unsubscribe()),
        )
      }
    }
    yield* Effect.promise(() => bus.nats.flush().catch(() => undefined))
    return identity
  })
