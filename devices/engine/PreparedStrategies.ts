/** What an engine has prepared, at most so many strategies; the least recently used one goes, and the worker forgets it too. */
import type { Strategy } from "../../supernet/Strategy.ts"
import type { TaskGraph } from "../../supernet/TaskGraph.ts"
import type { EngineHost } from "./EngineHost.ts"
import type { PrepareTimings } from "./EngineProtocol.ts"

export interface PreparedStrategy {
  readonly strategyId: string
  readonly strategy: Strategy
  readonly graph: TaskGraph
  /** This device's index in `strategy.devices`. */
  readonly device: number
  readonly timings: PrepareTimings
}

export class PreparedStrategies {
  private readonly byId = new Map<string, PreparedStrategy>()
  /** Of strategies as they were given: plans share them. */
  private readonly ids = new WeakMap<Strategy, string>()
  private readonly host: Pick<EngineHost, "forget">
  private readonly most: number

  constructor(host: Pick<EngineHost, "forget">, most: number) {
    this.host = host
    this.most = most
  }

  get(id: string): PreparedStrategy | undefined {
    return this.byId.get(id)
  }

  /** By the very object that was given before: no hash. */
  getGiven(given: Strategy): PreparedStrategy | undefined {
    return this.byId.get(this.ids.get(given) ?? "")
  }

  /** Keeps what a strategy, as it was given, was prepared to. */
  keep(given: Strategy, prepared: PreparedStrategy): PreparedStrategy {
    this.ids.set(given, prepared.strategyId)
    this.touch(prepared)
    return prepared
  }

  /** The same where it was there before: nothing is built for it this time. */
  again(given: Strategy, found: PreparedStrategy): PreparedStrategy {
    return this.keep(given, { ...found, timings: { built: 0, elapsedMs: 0 } })
  }

  /** Now the most recently used. */
  touch(prepared: PreparedStrategy): void {
    this.byId.delete(prepared.strategyId)
    this.byId.set(prepared.strategyId, prepared)
    for (const oldest of this.byId.keys()) {
      if (this.byId.size <= this.most) break
      this.forget(oldest)
    }
  }

  forget(id: string): void {
    this.byId.delete(id)
    this.host.forget(id)
  }
}
