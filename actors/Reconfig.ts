/**
 * Makes a strategy ready on the devices concerned before a request uses it. On the serving device, `activate` asks every
 * device that has a part in the strategy and was not asked before; on the others, `reconfig.<device>` is answered when the
 * segments are ready. A strategy that is active everywhere costs no message at all.
 */
import { Context, Effect, Layer } from "effect"
import { Engine, type PreparedStrategy } from "../devices/engine/Engine.ts"
import { Bus } from "../subjects/Bus.ts"
import type { RequestError } from "../subjects/BusErrors.ts"
import { reconfigAck, reconfigRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import type { ReconfigRequest } from "../subjects/PlanMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"

/** A device could not be made ready; the request is planned anew without it. */
export interface NotReady {
  readonly _tag: "NotReady"
  readonly device: DeviceId
  readonly tag: string
  readonly message: string
}

export interface ReconfigShape {
  /** Prepares the strategy here and on all its devices. `timeoutMs` bounds the wait for each of them. */
  readonly activate: (
    strategy: Strategy,
    timeoutMs: number,
  ) => Effect.Effect<PreparedStrategy, NotReady | Refusal>
  /** Whether a strategy runs without being made ready first. Takes no time: asked for many strategies per request. */
  readonly isReady: (strategyId: string, strategy: Strategy) => boolean
  /** Forgets that a device is ready for a strategy: it said that it is not. */
  readonly deactivate: (device: DeviceId, strategyId: string) => void
}

/** Strategies per device that are remembered as active. Fewer than an engine keeps, so that nobody forgets before us. */
const remembered = 200

/** Sessions of a device's nonce that know a strategy; a restarted device has another nonce and knows nothing. */
const activeSet = () => {
  const active = new Map<string, Set<string>>()
  return {
    has: (session: string, id: string) => active.get(session)?.has(id) === true,
    add: (session: string, id: string) => {
      const ids = active.get(session) ?? new Set()
      ids.delete(id)
      ids.add(id)
      if (ids.size > remembered) ids.delete(ids.values().next().value ?? "")
      active.set(session, ids)
    },
    remove: (session: string, id: string) => void active.get(session)?.delete(id),
  }
}

const make = Effect.gen(function* () {
  const bus = yield* Bus
  const engine = yield* Engine
  const self = yield* Self
  const membership = yield* Membership
  const active = activeSet()
  const { name, version } = self.spec
  const sessionOf = (device: DeviceId) => `${device}/${membership.table().get(device)?.identity.nonce ?? ""}`

  const prepareHere = (strategy: Strategy) =>
    engine.prepare(strategy).pipe(
      Effect.mapError((e) =>
        e._tag === "StrategyRefused"
          ? refusal("NoStrategy", e.problems.join("; "), e.hint)
          : refusal("Internal", e.message, e.hint, e.retryable),
      ),
      Effect.tap(({ timings }) => Effect.sync(() => (self.counters.strategies += timings.built > 0 ? 1 : 0))),
    )

  const ask = Effect.fnUntraced(function* (device: DeviceId, prepared: PreparedStrategy, timeoutMs: number) {
    const session = sessionOf(device)
    if (active.has(session, prepared.strategyId)) return
    const { strategyId, strategy } = prepared
    const request = reconfigRequest.encode({
      from: self.device,
      strategyId,
      strategy,
      supernet: { name, version },
    })
    const notReady = (e: RequestError): NotReady => {
      const tag = e._tag === "Refused" ? e.tag : e._tag
      return { _tag: "NotReady", device, tag, message: e.message }
    }
    yield* bus.request(Subjects.reconfig(device), request, { timeoutMs }).pipe(
      Effect.tapError((e) => (e._tag === "NobodyListens" ? membership.suspect(device) : Effect.void)),
      Effect.tapError((e) =>
        e._tag === "Refused" && e.tag === "Leaving" ? membership.left(device) : Effect.void,
      ),
      Effect.mapError(notReady),
    )
    active.add(session, strategyId)
  })

  const activate = Effect.fnUntraced(function* (strategy: Strategy, timeoutMs: number) {
    const prepared = yield* prepareHere(strategy)
    const others = prepared.strategy.devices.slice(1).map((d) => d as DeviceId)
    yield* Effect.forEach(others, (d) => ask(d, prepared, timeoutMs), {
      concurrency: "unbounded",
      discard: true,
    })
    return prepared
  })

  const answer = Effect.fnUntraced(function* (request: ReconfigRequest) {
    if (!membership.takesWork())
      return yield* refusal("Leaving", `${self.device} is shutting down`, "plan without it", true)
    const asking = membership.table().get(request.from)
    if (asking?.state === "incompatible")
      return yield* refusal(
        "Incompatible",
        `${request.from} ${asking.note}`,
        "give both devices the same version",
      )
    const theirs = request.supernet
    if (theirs.name !== name || theirs.version !== version) {
      const detail = `${request.from} runs ${theirs.name} ${theirs.version}; this device has ${name} ${version}`
      return yield* refusal("Incompatible", detail, "give both devices the same supernet")
    }
    const prepared = yield* prepareHere(request.strategy)
    if (prepared.strategyId !== request.strategyId) {
      const detail = `strategy ${request.strategyId} hashes to ${prepared.strategyId} here`
      return yield* refusal("Incompatible", detail, "both devices must run the same version")
    }
    const { built, elapsedMs } = prepared.timings
    const tasks = prepared.graph.tasks.filter((t) => t.device === prepared.device).length
    return { device: self.device, strategyId: prepared.strategyId, tasks, built, prepareMs: elapsedMs }
  })

  yield* serve({
    subject: Subjects.reconfig(self.device),
    input: reconfigRequest,
    output: reconfigAck,
    concurrency: 8,
    handle: answer,
  })
  return Reconfig.of({
    activate,
    isReady: (id, { devices }) =>
      engine.prepared(id) !== undefined &&
      devices.every((d) => d === self.device || active.has(sessionOf(d as DeviceId), id)),
    deactivate: (device, strategyId) => active.remove(sessionOf(device), strategyId),
  })
})

export class Reconfig extends Context.Service<Reconfig, ReconfigShape>()("actors/Reconfig") {
  static readonly layer = Layer.effect(Reconfig, make)
}
