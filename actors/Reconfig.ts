/**
 * Makes a strategy ready on the devices concerned before a request uses it. On the serving device, `activate` asks every
 * device that has a part in the strategy and was not asked before; on the others, `reconfig.<device>` is answered when the
 * segments are ready. A strategy that is active everywhere costs no message at all.
 */
import { Context, Effect, Layer } from "effect"
import { Engine } from "../devices/engine/Engine.ts"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import { Bus } from "../subjects/Bus.ts"
import type { RequestError } from "../subjects/BusErrors.ts"
import { reconfigAck, reconfigRequest } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type Refusal, refusal } from "../subjects/ErrorReply.ts"
import type { ReconfigRequest } from "../subjects/PlanMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { Membership, type MembershipShape } from "./Membership.ts"
import { Self, type SelfShape } from "./Self.ts"

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

/**
 * Strategies per device that are remembered as active. Fewer than an engine keeps; it may still forget one earlier, where several
 * devices ask it, and then refuses the first tile as `UnknownStrategy`.
 */
const remembered = 200
/** Sessions that are remembered: devices that are here, and some that were. */
const maxSessions = 256

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
      active.delete(session)
      active.set(session, ids)
      if (active.size > maxSessions) active.delete(active.keys().next().value ?? "")
    },
    remove: (session: string, id: string) => void active.get(session)?.delete(id),
  }
}

/** Prepares a strategy's part of this device. */
const preparing = Effect.gen(function* () {
  const engine = yield* Engine
  return (strategy: Strategy) =>
    engine
      .prepare(strategy)
      .pipe(
        Effect.mapError((e) =>
          e._tag === "StrategyRefused"
            ? refusal("NoStrategy", e.problems.join("; "), e.hint)
            : refusal("Internal", e.message, e.hint, e.retryable),
        ),
      )
})

/** Whether this device can work for the one that asks. */
const checked = (self: SelfShape, membership: MembershipShape, { from, supernet }: ReconfigRequest) => {
  if (!membership.takesWork())
    return Effect.fail(refusal("Leaving", `${self.device} is shutting down`, "plan without it", true))
  const asking = membership.table().get(from)
  if (asking?.state === "incompatible")
    return Effect.fail(
      refusal("Incompatible", `${from} ${asking.note}`, "give both devices the same version"),
    )
  const { name, version } = self.spec
  if (supernet.name === name && supernet.version === version) return Effect.void
  const detail = `${from} runs ${supernet.name} ${supernet.version}; this device has ${name} ${version}`
  return Effect.fail(refusal("Incompatible", detail, "give both devices the same supernet"))
}

/** Makes this device ready for a strategy that another one serves. */
const answering = Effect.gen(function* () {
  const self = yield* Self
  const membership = yield* Membership
  const prepareHere = yield* preparing
  return Effect.fnUntraced(function* (request: ReconfigRequest) {
    yield* checked(self, membership, request)
    const prepared = yield* prepareHere(request.strategy)
    if (prepared.strategyId !== request.strategyId) {
      const detail = `strategy ${request.strategyId} hashes to ${prepared.strategyId} here`
      return yield* refusal("Incompatible", detail, "both devices must run the same version")
    }
    const { built, elapsedMs } = prepared.timings
    const tasks = prepared.graph.tasks.filter((t) => t.device === prepared.device).length
    return { device: self.device, strategyId: prepared.strategyId, tasks, built, prepareMs: elapsedMs }
  })
})

const make = Effect.gen(function* () {
  const bus = yield* Bus
  const engine = yield* Engine
  const self = yield* Self
  const membership = yield* Membership
  const prepareHere = yield* preparing
  const active = activeSet()
  const { name, version } = self.spec
  const sessionOf = (device: DeviceId) => `${device}/${membership.table().get(device)?.identity.nonce ?? ""}`

  const ask = Effect.fnUntraced(function* (device: DeviceId, prepared: PreparedStrategy, timeoutMs: number) {
    const session = sessionOf(device)
    if (active.has(session, prepared.strategyId)) return
    const { strategyId, strategy } = prepared
    const supernet = { name, version }
    const request = reconfigRequest.encode({ from: self.device, strategyId, strategy, supernet })
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

  yield* serve({
    subject: Subjects.reconfig(self.device),
    input: reconfigRequest,
    output: reconfigAck,
    concurrency: 8,
    handle: yield* answering,
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
