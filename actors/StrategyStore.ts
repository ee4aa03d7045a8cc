/**
 * The strategies that this device knows by id, with their task graphs. A tile names a strategy and an edge; whoever finds
 * the id here knows everything else. Bounded: the least recently used strategy goes first, and a tile for one that is gone
 * is answered with `UnknownStrategy`, upon which its sender configures the device again.
 */
import { Context, Effect, Layer } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { refusal, type Refusal } from "../subjects/ErrorReply.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { normalizeStrategy, type Strategy, strategyId, strategyProblems } from "../supernet/Strategy.ts"
import { type TaskGraph, taskGraph } from "../supernet/TaskGraph.ts"

export interface KnownStrategy {
  readonly id: string
  readonly strategy: Strategy
  readonly graph: TaskGraph
}

/** A strategy's graph takes some 20 KB; a policy rarely uses more than a few dozen strategies at a time. */
export const defaultCapacity = 512

export class StrategyStore extends Context.Service<
  StrategyStore,
  {
    /** Checks, normalises and remembers a strategy. Refuses what the supernet cannot run, in words. */
    readonly add: (strategy: Strategy) => Effect.Effect<KnownStrategy, Refusal>
    /** As `add`, and refuses a strategy whose content does not hash to the id it came with. */
    readonly addAs: (id: string, strategy: Strategy) => Effect.Effect<KnownStrategy, Refusal>
    readonly get: (id: string) => KnownStrategy | undefined
    readonly size: () => number
  }
>()("actors/StrategyStore") {
  static readonly layer = (spec: SupernetSpec, capacity = defaultCapacity) =>
    Layer.sync(StrategyStore, () => {
      const known = new Map<string, KnownStrategy>()
      const get = (id: string) => {
        const found = known.get(id)
        if (found === undefined) return undefined
        known.delete(id)
        known.set(id, found)
        return found
      }
      const insert = (id: string, strategy: Strategy): KnownStrategy => {
        const entry = get(id) ?? { id, strategy, graph: taskGraph(spec, strategy) }
        known.set(id, entry)
        if (known.size > capacity) known.delete(known.keys().next().value ?? "")
        return entry
      }
      const add = (strategy: Strategy) =>
        Effect.suspend(() => {
          const problems = strategyProblems(spec, strategy)
          if (problems.length > 0) {
            const hint = "the strategy was made for another supernet, or by hand; see supernet/Strategy.ts"
            return Effect.fail(
              refusal("NoStrategy", `not a strategy of ${spec.name}: ${problems.join("; ")}`, hint),
            )
          }
          const normal = normalizeStrategy(spec, strategy)
          return Effect.succeed(insert(strategyId(spec, normal), normal))
        })
      const addAs = (id: string, strategy: Strategy) =>
        add(strategy).pipe(
          Effect.filterOrFail(
            (entry) => entry.id === id,
            (entry) =>
              refusal(
                "Incompatible",
                `strategy ${id} hashes to ${entry.id} here`,
                "both devices need the same supernet",
              ),
          ),
        )
      return { add, addAs, get, size: () => known.size }
    })
}

/** The devices that run at least one task of a graph, the local one first. */
export const devicesOf = (entry: KnownStrategy): ReadonlyArray<DeviceId> =>
  [...new Set([0, ...entry.graph.tasks.map((t) => t.device)])].map(
    (d) => (entry.strategy.devices[d] ?? "") as DeviceId,
  )
