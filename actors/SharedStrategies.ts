/**
 * Shares strategies that have proved themselves through the bucket `strategies`: what one device has found by thinking, and
 * measured to keep its promise, the others start with, and so does the same device after a restart. A record is a hint: the
 * Planner judges it anew by its own models under the condition of the moment.
 *
 * A record counts only for the supernet that its key is a hash of, and while the policies are those that it was found with.
 * Bounded on all sides: a device keeps few records in the bucket, the hub drops what is old, a reader takes so many.
 */
import { Context, Effect, Layer, Queue, Schedule, Stream } from "effect"
import { type Change, openBucket, strategyDays, type TypedBucket } from "../subjects/Buckets.ts"
import { strategyRecord } from "../subjects/Codecs.ts"
import { lasting, lastingEach } from "../subjects/Lasting.ts"
import type { InferReply } from "../subjects/InferMessages.ts"
import type { StrategyRecord } from "../subjects/Manifests.ts"
import { normalizeStrategy, type Strategy, strategyId, strategyProblems } from "../supernet/Strategy.ts"
import { OwnRecords } from "./OwnRecords.ts"
import { Planner } from "./Planner.ts"
import { Self } from "./Self.ts"
import { Thinker } from "./Thinker.ts"
import { versionsOf } from "./Decided.ts"

export interface SharedStrategiesShape {
  /** Ids of the records that were taken from the bucket. */
  readonly taken: () => ReadonlyArray<string>
  /** A strategy answered a request, at the first try. Cheap; called for every answer. */
  readonly worked: (
    strategy: Strategy,
    reply: Pick<InferReply, "latencyMs" | "predicted" | "slo" | "sloMet" | "origin">,
  ) => void
}

/** Answers in time that prove a strategy. */
const enoughRuns = 3
/** Strategies under trial here, records of this device in the bucket, and records of others that are taken. */
const mostTried = 256
const mostShared = 24
const mostTaken = 192
/** A record is shared anew a day before the hub drops it, if the strategy is still in use. */
const freshMs = (strategyDays - 1) * 24 * 3600 * 1000
/** How soon a change of the policies is seen, and a removal that failed is tried again. */
const lookEveryMs = 2000

/**
 * The strategy as this device would serve it: who found it served it itself, so the two change places. Others may compute
 * at another speed; whether it is any good here is for the Planner to judge.
 */
export const asServedBy = (device: string, strategy: Strategy): Strategy => {
  const [finder = device] = strategy.devices
  const swap = (d: string) => (d === finder ? device : d === device ? finder : d)
  return { ...strategy, devices: strategy.devices.map(swap) }
}

/** Strategies on trial: how often each has answered in time, and its fastest answer. */
class Trials {
  private readonly tried = new Map<string, { runs: number; measuredMs: number }>()

  /** The record's numbers when this answer is the one that proves it, or proves it anew. */
  answered(id: string, latencyMs: number, sloMet: boolean): { runs: number; measuredMs: number } | undefined {
    const known = this.tried.get(id) ?? { runs: 0, measuredMs: Number.POSITIVE_INFINITY }
    this.tried.delete(id)
    // Not in time: it starts again.
    if (!sloMet) return undefined
    const now = { runs: known.runs + 1, measuredMs: Math.min(known.measuredMs, latencyMs) }
    this.tried.set(id, now)
    if (this.tried.size > mostTried) this.tried.delete(this.tried.keys().next().value ?? "")
    return now.runs % enoughRuns === 0 ? now : undefined
  }
}

type Records = TypedBucket<StrategyRecord>

/** Puts what this device has found, and has proved, into the bucket. `policies`: names and versions of those in use. */
const sharing = (bucket: Records, policies: () => string) =>
  Effect.gen(function* () {
    const self = yield* Self
    const proved = yield* Queue.sliding<StrategyRecord>(mostShared)
    const trials = new Trials()
    const mine = new OwnRecords(mostShared, freshMs)
    const removeOld = Effect.suspend(() =>
      Effect.forEach(
        mine.toRemove(),
        (id) =>
          Effect.andThen(
            bucket.remove(id),
            Effect.sync(() => mine.gone(id)),
          ),
        {
          discard: true,
        },
      ),
    )

    const worked: SharedStrategiesShape["worked"] = (strategy, reply) => {
      const { latencyMs, predicted, slo, sloMet, origin } = reply
      // Whole on this device: everybody has those already. Asked for by a client: nobody found it good.
      if (strategy.devices.length < 2 || origin === "request") return
      const id = strategyId(self.spec, strategy)
      const proof = trials.answered(id, latencyMs, sloMet)
      if (proof === undefined || mine.isFresh(id, performance.now())) return
      const { accuracy } = predicted
      const head = { strategyId: id, by: self.device, policies: policies() }
      Queue.offerUnsafe(proved, { ...head, strategy, slo, accuracy, ...proof })
    }
    const share = Effect.fnUntraced(function* (record: StrategyRecord) {
      // It may have been shared while it waited here.
      if (mine.isFresh(record.strategyId, performance.now())) return
      yield* bucket.put(record.strategyId, record)
      mine.written(record.strategyId, record.policies, performance.now())
      yield* removeOld
    })
    yield* Queue.take(proved).pipe(
      Effect.flatMap(lastingEach("sharing", share)),
      Effect.forever,
      Effect.forkScoped,
    )
    return { mine, removeOld, worked }
  })

type Sharing = Effect.Success<ReturnType<typeof sharing>>

/** Suggests to the Planner what is in the bucket, as it comes and when the policies have changed; gives what was taken. */
const taking = (bucket: Records, policies: () => string, { mine, removeOld }: Sharing) =>
  Effect.gen(function* () {
    const self = yield* Self
    const planner = yield* Planner
    const taken = new Map<string, StrategyRecord>()

    const suggest = (record: StrategyRecord) => {
      if (record.policies !== policies()) return
      planner.suggest(normalizeStrategy(self.spec, asServedBy(self.device, record.strategy)))
    }
    const take = (change: Change<StrategyRecord>) => {
      if (change._tag !== "Put") return void [mine.gone(change.key), taken.delete(change.key)]
      const { key, value, writtenAt } = change
      const fits = strategyProblems(self.spec, value.strategy).length === 0
      if (!fits || strategyId(self.spec, value.strategy) !== key) return
      if (value.by === self.device) {
        const ageMs = Math.max(0, Date.now() - writtenAt.getTime())
        mine.written(key, value.policies, performance.now() - ageMs)
      }
      taken.delete(key)
      taken.set(key, value)
      if (taken.size > mostTaken) taken.delete(taken.keys().next().value ?? "")
      suggest(value)
    }
    let policiesBefore = ""
    const lookAtPolicies = Effect.gen(function* () {
      const now = policies()
      if (now !== policiesBefore) {
        policiesBefore = now
        for (const record of taken.values()) suggest(record)
        mine.policiesChanged(now)
      }
      yield* removeOld
    })
    yield* bucket.changes.pipe(
      Stream.runForEach(lastingEach("strategies", (change) => Effect.sync(() => take(change)))),
      Effect.forkScoped,
    )
    yield* lasting("policies of strategies", lookAtPolicies).pipe(
      Effect.repeat(Schedule.spaced(lookEveryMs)),
      Effect.forkScoped,
    )
    return taken
  })

const make = Effect.gen(function* () {
  const thinker = yield* Thinker
  const policies = () => versionsOf(thinker.policies())
  const bucket = yield* openBucket("strategies", strategyRecord)
  const shared = yield* sharing(bucket, policies)
  const taken = yield* taking(bucket, policies, shared)
  return SharedStrategies.of({ worked: shared.worked, taken: () => [...taken.keys()] })
})

export class SharedStrategies extends Context.Service<SharedStrategies, SharedStrategiesShape>()(
  "actors/SharedStrategies",
) {
  static readonly layer = Layer.effect(SharedStrategies, make)
}
