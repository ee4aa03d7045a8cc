/**
 * The strategies that a device knows to be good for something. Judging one under the condition of the moment takes some
 * microseconds, so that a request that nobody foresaw still gets the best of all that were ever found, at once.
 */
import type { Condition, Slo } from "../policies/Condition.ts"
import { encodeStrategy, type Genome, type Space } from "../policies/Genome.ts"
import { highestScore, isNoticeablyBetter, meetsSlo, type Outcome, score } from "../policies/Objective.ts"
import { judge, type World } from "../policies/World.ts"
import type { Finder } from "../subjects/InferMessages.ts"
import { localStrategy, normalizeStrategy, type Strategy, strategyId } from "../supernet/Strategy.ts"
import { type Submodel, uniformSubmodel } from "../supernet/Submodel.ts"

export interface Judged {
  readonly strategy: Strategy
  readonly outcome: Outcome
  readonly meets: boolean
}

/** One of the strategies known. */
export interface KnownStrategy extends Judged {
  readonly id: string
  readonly foundBy: Finder
}

interface Entry {
  readonly strategy: Strategy
  foundBy: Finder
  /** Its genome by list of devices (`listsRemembered` of them); none where a device of it is not in the list. */
  readonly genomes: Map<string, Genome | undefined>
  /** Top-1: the devices make no difference to it. */
  accuracy: number | undefined
}

/** What counts beside the objective while devices are busy. */
export interface Load {
  /** What work costs (`Congestion.ts`): per device of the condition, and the work of a strategy by device id. */
  readonly prices: ReadonlyArray<number>
  readonly workOf: (strategy: Strategy) => ReadonlyMap<string, number>
  /** Whether all its devices can run it without preparation. */
  readonly isReady: (id: string, strategy: Strategy) => boolean
}

/** Lists of devices that conditions name in turn: all, and those that are idle at the moment. */
const listsRemembered = 8

/**
 * Making a whole network ready here asks nobody, and takes less than this: a plan that is later than one for this device alone
 * by more is none, whatever it waits for. Some ms where its blocks are there, some hundred on a small device where they are not.
 */
const readyHereMs = 500

/** A strategy as the condition of the moment makes it look. */
interface Candidate {
  readonly id: string
  readonly entry: Entry
  readonly outcome: Outcome
  /** With what the strategy costs the others as latency, and the objective's score of that. */
  readonly priced: Outcome
  readonly score: number
}

/** Looks at strategies, those that are accurate first. */
interface Viewer {
  /** Whether to look at one that scores `most` at best. */
  readonly wants: (most: number, id: string, strategy: Strategy) => boolean
  readonly see: (candidate: Candidate) => void
}

/** The best of what it was offered; the first of equals. */
class Leader {
  leading: Candidate | undefined

  leads(score: number): boolean {
    return score > (this.leading?.score ?? Number.NEGATIVE_INFINITY)
  }

  readonly wants = (most: number): boolean => this.leads(most)

  readonly see = (candidate: Candidate): void => {
    if (this.leads(candidate.score)) this.leading = candidate
  }

  /** By its score, and much sooner. */
  isMuchBetterThan({ leading: other }: Leader): boolean {
    if (this.leading === undefined || other === undefined || this.leading.score <= other.score) return false
    return this.leading.outcome.latencyMs + readyHereMs < other.outcome.latencyMs
  }

  best(slo: Slo): KnownStrategy | undefined {
    if (this.leading === undefined) return undefined
    const { id, entry, outcome } = this.leading
    return { id, strategy: entry.strategy, foundBy: entry.foundBy, outcome, meets: meetsSlo(slo, outcome) }
  }
}

/** What a strategy costs the others, by the prices of the moment. */
const extraMs = ({ devices }: Condition, { prices, workOf }: Load) => {
  const ids = devices.map((d) => d.id)
  return (strategy: Strategy) => {
    let sum = 0
    for (const [device, ms] of workOf(strategy)) sum += ms * (prices[ids.indexOf(device)] ?? 0)
    return sum
  }
}

export class Portfolio {
  private readonly entries = new Map<string, Entry>()
  private readonly space: Space
  private readonly world: World
  private readonly capacity: number
  private readonly pinned = new Set<string>()
  /** Until something is added, or judged for the first time. */
  private sorted: ReadonlyArray<readonly [string, Entry]> | undefined

  constructor(world: World, capacity = 512) {
    this.world = world
    this.space = world.space
    this.capacity = capacity
  }

  get size(): number {
    return this.entries.size
  }

  /** Uniform submodels of every size, whole on the device itself: whatever happens, these can run. */
  addLocal(device: string): void {
    for (const submodel of this.uniform())
      this.pinned.add(this.add(localStrategy(this.space.spec, submodel, device), "built-in"))
  }

  /** The same, whole on another device: a busy one hands requests over. */
  addHandOvers(local: string, device: string): void {
    for (const submodel of this.uniform()) this.pinned.add(this.addWhole(submodel, local, device, "built-in"))
  }

  /** Forgets what was pinned for a device that left; it goes when room is needed. */
  unpin(device: string): void {
    for (const id of this.pinned)
      if (this.entries.get(id)?.strategy.devices.includes(device) === true) this.pinned.delete(id)
  }

  /** A submodel in one piece on one device: the least work that its accuracy can be had for. */
  addWhole(submodel: Submodel, local: string, device: string, foundBy: Finder): string {
    const whole = localStrategy(this.space.spec, submodel, local)
    if (device === local) return this.add(whole, foundBy)
    const blocks = whole.blocks.map((b) => ({ ...b, placement: [1] }))
    const handedOver = { ...whole, devices: [local, device], blocks }
    return this.add(normalizeStrategy(this.space.spec, handedOver), foundBy)
  }

  private uniform(): ReadonlyArray<Submodel> {
    const { spec } = this.space
    return spec.resolutions.flatMap((resolution) =>
      spec.depths.map((depth, i) =>
        uniformSubmodel(spec, resolution, depth, spec.kernels[i] ?? 3, spec.expands[i] ?? 3),
      ),
    )
  }

  /** Adds or refreshes a strategy; the one that was added longest ago goes when there are too many. Gives its id. */
  add(strategy: Strategy, foundBy: Finder): string {
    const id = strategyId(this.space.spec, strategy)
    const known = this.entries.get(id) ?? this.entry(strategy, foundBy)
    // That somebody thought of it says more than that it was there from the start.
    if (known.foundBy === "built-in") known.foundBy = foundBy
    if (!this.entries.has(id)) this.sorted = undefined
    this.entries.delete(id)
    this.entries.set(id, known)
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.capacity) break
      if (!this.pinned.has(oldest)) this.entries.delete(oldest)
    }
    return id
  }

  private entry(strategy: Strategy, foundBy: Finder): Entry {
    return { strategy, foundBy, genomes: new Map(), accuracy: undefined }
  }

  /** Any strategy, as this condition and objective make it look; none where a device of it is not there. */
  judge(strategy: Strategy, condition: Condition, slo: Slo): Judged | undefined {
    const ids = condition.devices.map((d) => d.id)
    if (!strategy.devices.every((d) => ids.includes(d))) return undefined
    const outcome = judge(this.world, condition, slo).outcome(encodeStrategy(this.space, strategy, ids))
    return { strategy, outcome, meets: meetsSlo(slo, outcome) }
  }

  /** The best strategy known for this condition and objective. */
  best(condition: Condition, slo: Slo): KnownStrategy | undefined {
    const leader = new Leader()
    this.each(condition, slo, () => 0, leader)
    return leader.best(slo)
  }

  /**
   * Under load, with what each costs the others: the best that runs without being made ready first (any, where none does; one
   * for this device alone, where that is much sooner), and what would be noticeably better.
   */
  bestUnderLoad(
    condition: Condition,
    slo: Slo,
    load: Load,
  ): { readonly best?: KnownStrategy; readonly better?: KnownStrategy } {
    const [all, ready, near] = [new Leader(), new Leader(), new Leader()]
    const isNear = ({ devices }: Strategy) => devices.length === 1
    this.each(condition, slo, extraMs(condition, load), {
      wants: (most, id, strategy) =>
        all.leads(most) ||
        (isNear(strategy) && near.leads(most)) ||
        (ready.leads(most) && load.isReady(id, strategy)),
      see: (candidate) => {
        all.see(candidate)
        const { id, entry, score } = candidate
        if (isNear(entry.strategy)) near.see(candidate)
        if (ready.leads(score) && load.isReady(id, entry.strategy)) ready.see(candidate)
      },
    })
    const chosen = near.isMuchBetterThan(ready) ? near : ready
    const [best, better] = [chosen.best(slo) ?? all.best(slo), all.best(slo)]
    if (best === undefined || better === undefined) return {}
    const known = chosen.leading?.priced
    const isBetter = all.leading !== undefined && isNoticeablyBetter(slo, all.leading.priced, known)
    return isBetter && better.id !== best.id ? { best, better } : { best }
  }

  /** Only of those that are ready; no others are looked at. */
  bestReady(condition: Condition, slo: Slo, load: Load): KnownStrategy | undefined {
    const leader = new Leader()
    const wants: Viewer["wants"] = (most, id, strategy) => leader.leads(most) && load.isReady(id, strategy)
    this.each(condition, slo, extraMs(condition, load), { wants, see: leader.see })
    return leader.best(slo)
  }

  /** Shows the strategies that can run on the condition's devices to one who wants to see them; `extraMs` counts as latency. */
  private each(
    condition: Condition,
    slo: Slo,
    extraMs: (strategy: Strategy) => number,
    viewer: Viewer,
  ): void {
    const ids = condition.devices.map((d) => d.id)
    const devices = ids.join(" ")
    const latencyOf = this.world.latency.at(condition)
    for (const [id, entry] of this.byAccuracy()) {
      const most = entry.accuracy === undefined ? Number.POSITIVE_INFINITY : highestScore(slo, entry.accuracy)
      if (!viewer.wants(most, id, entry.strategy)) continue
      const genome = this.genomeOf(entry, ids, devices)
      if (genome === undefined) continue
      if (entry.accuracy === undefined) this.sorted = undefined
      const accuracy = (entry.accuracy ??= this.world.accuracy.accuracy(genome))
      const latencyMs = latencyOf(genome)
      const priced = { accuracy, latencyMs: latencyMs + extraMs(entry.strategy) }
      viewer.see({ id, entry, outcome: { latencyMs, accuracy }, priced, score: score(slo, priced) })
    }
  }

  /** The most accurate first, before them those that were never judged. */
  private byAccuracy(): ReadonlyArray<readonly [string, Entry]> {
    const accuracy = ({ accuracy: known = Number.POSITIVE_INFINITY }: Entry) => known
    this.sorted ??= [...this.entries].sort(([, a], [, b]) =>
      accuracy(a) === accuracy(b) ? 0 : accuracy(b) - accuracy(a),
    )
    return this.sorted
  }

  private genomeOf(
    { strategy, genomes }: Entry,
    ids: ReadonlyArray<string>,
    list: string,
  ): Genome | undefined {
    const known = genomes.get(list)
    if (known !== undefined || genomes.has(list)) return known
    if (genomes.size >= listsRemembered) genomes.clear()
    const isThere = strategy.devices.every((d) => ids.includes(d))
    const genome = isThere ? encodeStrategy(this.space, strategy, ids) : undefined
    genomes.set(list, genome)
    return genome
  }
}
