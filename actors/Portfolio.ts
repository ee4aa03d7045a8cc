/**
 * The strategies that a device knows to be good for something. Judging one under the condition of the moment takes some
 * microseconds, so that a request that nobody foresaw still gets the best of all that were ever found, at once.
 */
import type { Condition, Slo } from "../policies/Condition.ts"
import { encodeStrategy, type Genome, type Space } from "../policies/Genome.ts"
import { meetsSlo, type Outcome, score } from "../policies/Objective.ts"
import type { World } from "../policies/World.ts"
import { localStrategy, type Strategy, strategyId } from "../supernet/Strategy.ts"
import { uniformSubmodel } from "../supernet/Submodel.ts"

export interface Judged {
  readonly strategy: Strategy
  readonly outcome: Outcome
  readonly meets: boolean
}

interface Entry {
  readonly strategy: Strategy
  /** Its genome for one list of devices; another list makes another one. */
  genome: Genome | undefined
  devices: string
}

export class Portfolio {
  private readonly entries = new Map<string, Entry>()
  private readonly space: Space
  private readonly world: World
  private readonly capacity: number
  private readonly pinned = new Set<string>()

  constructor(world: World, capacity = 256) {
    this.world = world
    this.space = world.space
    this.capacity = capacity
  }

  get size(): number {
    return this.entries.size
  }

  /** Uniform submodels of every size on the device itself: whatever happens, these can run. */
  addLocal(device: string): void {
    const { spec } = this.space
    for (const resolution of spec.resolutions) {
      for (const [i, depth] of spec.depths.entries()) {
        const [kernel, expand] = [spec.kernels[i] ?? 3, spec.expands[i] ?? 3]
        const submodel = uniformSubmodel(spec, resolution, depth, kernel, expand)
        this.pinned.add(this.add(localStrategy(spec, submodel, device)))
      }
    }
  }

  /** Adds or refreshes a strategy; the one not used for longest goes when there are too many. Gives its id. */
  add(strategy: Strategy): string {
    const id = strategyId(this.space.spec, strategy)
    const known = this.entries.get(id) ?? { strategy, genome: undefined, devices: "" }
    this.entries.delete(id)
    this.entries.set(id, known)
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.capacity) break
      if (!this.pinned.has(oldest)) this.entries.delete(oldest)
    }
    return id
  }

  /** The best strategy known for this condition and objective. */
  best(condition: Condition, slo: Slo): Judged | undefined {
    const ids = condition.devices.map((d) => d.id)
    const key = ids.join(" ")
    const latencyMs = this.world.latency.at(condition)
    let best: Judged | undefined
    let bestScore = Number.NEGATIVE_INFINITY
    for (const entry of this.entries.values()) {
      if (entry.devices !== key) {
        entry.devices = key
        entry.genome = entry.strategy.devices.every((d) => ids.includes(d))
          ? encodeStrategy(this.space, entry.strategy, ids)
          : undefined
      }
      if (entry.genome === undefined) continue
      const outcome = {
        latencyMs: latencyMs(entry.genome),
        accuracy: this.world.accuracy.accuracy(entry.genome),
      }
      const value = score(slo, outcome)
      if (value <= bestScore) continue
      bestScore = value
      best = { strategy: entry.strategy, outcome, meets: meetsSlo(slo, outcome) }
    }
    return best
  }
}
