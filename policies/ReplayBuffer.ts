/**
 * SUPREME's replay buffer (paper section 4.4.1, figures 7 to 9). The constraint space is cut into buckets, one per grid
 * point; a bucket keeps the n strategies of highest reward that satisfy its constraint. Buckets share along dominance: what
 * satisfies a stricter constraint is a lower bound for a more relaxed one. So an empty bucket borrows from a stricter one,
 * and what is worth less than a stricter bucket's best is pruned.
 */
import { below, type Random } from "../supernet/Random.ts"
import { DominanceTree, type Entry, strictnessGap } from "./DominanceTree.ts"
import type { Genome } from "./Genome.ts"
import { absent, type Constraint } from "./Scenario.ts"

export interface Trajectory {
  /** The strictest constraint that it was seen to satisfy (relabelled). */
  readonly constraint: Constraint
  readonly genome: Genome
  /** Reward there; under a more relaxed constraint it earns at least this. */
  readonly reward: number
}

export interface ReplaySettings {
  /** Strategies kept per bucket. */
  readonly bucketSize: number
  /** Grid points per link metric; strategies are filed under the first point that they satisfy. */
  readonly points: number
  /**
   * Grid points of the SLO: finer, since every strategy has its own latency and accuracy, and so that the safety margin of the
   * examples (`SupremeSettings.safety`) is about a step: a coarser grid rounds it up to a step that costs much more.
   */
  readonly sloPoints: number
  /** Serve a constraint from stricter buckets; else from its own alone, and then only SLOs are relabelled. */
  readonly share: boolean
  readonly prune: boolean
  /**
   * How much better than the best stricter trajectory a new one must be to be worth a place. The paper covers the constraint
   * space with few critical strategies; without a margin, thousands that differ by nothing take turns as examples, and no
   * network can tell them apart.
   */
  readonly margin: number
  /** Buckets at most; the one with the lowest reward goes first. */
  readonly capacity: number
}

export const defaultReplay: ReplaySettings = {
  bucketSize: 4,
  points: 10,
  sloPoints: 109,
  share: true,
  prune: true,
  margin: 0.004,
  capacity: 50_000,
}

interface Bucket {
  readonly key: string
  /** The grid point: every trajectory in the bucket satisfies it. */
  readonly point: Constraint
  /** Best first. */
  readonly trajectories: Array<Trajectory>
  /** In the tree under the best reward; replaced when that changes. */
  entry: Entry<Bucket>
}

/** First grid value that is at least as relaxed; undefined beyond the most relaxed one. */
const gridUp = (ease: number, points: number): number | undefined => {
  if (ease <= absent) return absent
  const level = Math.ceil(ease * (points - 1) - 1e-9)
  return level > points - 1 ? undefined : Math.max(0, level) / (points - 1)
}

export class ReplayBuffer {
  readonly settings: ReplaySettings
  readonly #buckets = new Map<string, Bucket>()
  readonly #tree: DominanceTree<Bucket>
  #pruned = 0

  constructor(dimensions: number, settings: Partial<ReplaySettings> = {}) {
    this.settings = { ...defaultReplay, ...settings }
    this.#tree = new DominanceTree(dimensions)
  }

  get buckets(): number {
    return this.#buckets.size
  }

  /** Trajectories refused or removed because a stricter bucket has something better. */
  get pruned(): number {
    return this.#pruned
  }

  #pointOf(constraint: Constraint): Constraint | undefined {
    const point = new Float64Array(constraint.length)
    for (let d = 0; d < constraint.length; d++) {
      const at = gridUp(constraint[d] ?? 0, d === 0 ? this.settings.sloPoints : this.settings.points)
      if (at === undefined) return undefined
      point[d] = at
    }
    return point
  }

  #keyOf(point: Constraint): string {
    let key = ""
    for (const [d, ease] of point.entries()) {
      const points = d === 0 ? this.settings.sloPoints : this.settings.points
      key += ease <= absent ? "-" : String.fromCodePoint(48 + Math.round(ease * (points - 1)))
    }
    return key
  }

  /** Files a trajectory; false when it is out of range, known, not among the best of its bucket, or dominated. */
  add(trajectory: Trajectory): boolean {
    const point = this.#pointOf(trajectory.constraint)
    if (point === undefined || trajectory.reward <= 0) return false
    const rival = this.settings.prune ? this.#tree.best(point) : undefined
    if (rival !== undefined && trajectory.reward < rival.value + this.settings.margin) {
      this.#pruned++
      return false
    }
    const key = this.#keyOf(point)
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) this.#open(key, point, trajectory)
    else if (!this.#insert(bucket, trajectory)) return false
    if (this.settings.prune) this.#pruneBelow(key, point, trajectory.reward + this.settings.margin / 2)
    if (this.#buckets.size > this.settings.capacity) this.#evict()
    return true
  }

  #open(key: string, point: Constraint, trajectory: Trajectory): void {
    const trajectories = [trajectory]
    const bucket: Bucket = { key, point, trajectories, entry: { point, value: 0, item: undefined as never } }
    bucket.entry = { point, value: trajectory.reward, item: bucket }
    this.#buckets.set(key, bucket)
    this.#listed = undefined
    this.#tree.add(bucket.entry)
  }

  #insert(bucket: Bucket, trajectory: Trajectory): boolean {
    const { trajectories } = bucket
    if (trajectories.some((t) => Buffer.compare(t.genome, trajectory.genome) === 0)) return false
    const at = trajectories.findIndex((t) => t.reward < trajectory.reward)
    if (at < 0 && trajectories.length >= this.settings.bucketSize) return false
    trajectories.splice(at < 0 ? trajectories.length : at, 0, trajectory)
    if (trajectories.length > this.settings.bucketSize) trajectories.pop()
    if (at === 0) {
      this.#tree.remove(bucket.entry)
      bucket.entry = { point: bucket.point, value: trajectory.reward, item: bucket }
      this.#tree.add(bucket.entry)
    }
    return true
  }

  /** Drops what a trajectory of this reward at this point makes pointless. */
  #pruneBelow(key: string, point: Constraint, reward: number): void {
    for (const { item } of this.#tree.dominated(point, reward)) {
      if (item.key === key) continue
      this.#pruned += item.trajectories.length
      this.#drop(item)
    }
  }

  #drop(bucket: Bucket): void {
    this.#tree.remove(bucket.entry)
    this.#buckets.delete(bucket.key)
    this.#listed = undefined
  }

  #evict(): void {
    let worst: Bucket | undefined
    for (const bucket of this.#buckets.values()) {
      if (worst === undefined || bucket.entry.value < worst.entry.value) worst = bucket
    }
    if (worst !== undefined) this.#drop(worst)
  }

  /**
   * A good trajectory for a constraint: from its own bucket, or, shared, from a stricter one. The paper takes the nearest
   * ancestor; with pruning no ancestor is better than a descendant that is kept, so the best ancestor (the nearest of
   * equals) is never worse than the nearest and finds the same trajectory when the tree is full.
   */
  lookUp(constraint: Constraint, random?: Random): Trajectory | undefined {
    const bucket = this.settings.share
      ? this.#tree.best(constraint)?.item
      : this.#buckets.get(this.#keyOf(gridDown(constraint, this.settings)))
    const kept = bucket?.trajectories
    if (kept === undefined) return undefined
    const best = kept[0]
    if (random === undefined || best === undefined) return best
    // Equals of the best are as good to imitate; anything less is not.
    const equals = kept.filter((t) => t.reward >= best.reward - 1e-9)
    return equals[below(random, equals.length)]
  }

  /** How far the bucket that serves a constraint is from it: large where the buffer knows little. */
  gap(constraint: Constraint): number {
    const found = this.#tree.best(constraint)
    return found === undefined ? Number.POSITIVE_INFINITY : strictnessGap(found.point, constraint)
  }

  /** Any trajectory, each bucket being as likely: what to mutate. */
  sample(random: Random): Trajectory | undefined {
    this.#listed ??= [...this.#buckets.values()]
    const bucket = this.#listed[below(random, Math.max(1, this.#listed.length))]
    return bucket?.trajectories[below(random, Math.max(1, bucket.trajectories.length))]
  }
  /** The buckets by number; made anew when one was opened or dropped. */
  #listed: ReadonlyArray<Bucket> | undefined

  trajectories(): ReadonlyArray<Trajectory> {
    return [...this.#buckets.values()].flatMap((b) => b.trajectories)
  }
}

/** Last grid point that is at least as strict: the bucket whose trajectories all satisfy a continuous constraint. */
const gridDown = (constraint: Constraint, settings: ReplaySettings): Constraint =>
  constraint.map((ease, d) => {
    const steps = (d === 0 ? settings.sloPoints : settings.points) - 1
    return ease <= absent ? absent : Math.floor(ease * steps + 1e-9) / steps
  })
