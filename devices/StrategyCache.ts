/**
 * Strategies found before, for conditions like those they were found for.
 *
 * Conditions are bucketed: a bucket is known by its *hard corner*, the slowest links and the strictest objective in it. A
 * strategy planned for that corner keeps its promise everywhere in the bucket, and in every easier condition: links at
 * least as fast, delays no longer, an objective no stricter, and at least the devices that it uses. So a look-up first
 * takes the bucket itself, then the best strategy of a harder condition that is not too far away.
 *
 * Pure bookkeeping with a bound: the least recently used entry goes first.
 */

export interface CacheDevice {
  readonly id: string
  /** Its profile: another type is another device. */
  readonly type: string
  readonly mbps: number
  /** One way. */
  readonly delayMs: number
}

/** latency: ms to stay under. accuracy: top-1 to reach, 0..1. */
export interface CacheObjective {
  readonly kind: "latency" | "accuracy"
  readonly value: number
}

/** The local device comes first; its own link is ideal and does not count. */
export interface CacheCondition {
  readonly devices: ReadonlyArray<CacheDevice>
  readonly objective: CacheObjective
}

export interface CachedPlan {
  /** Ids of the devices that run something, the local one included. */
  readonly uses: ReadonlyArray<string>
  /** Predicted under the condition that it was planned for. */
  readonly latencyMs: number
  readonly top1: number
}

export interface CacheSettings {
  readonly capacity: number
  /** Buckets per decade of bandwidth, and width of a delay bucket (ms, or a share of the delay where that is more). */
  readonly bucketsPerDecade: number
  readonly delayBucketMs: number
  readonly delayBucketShare: number
  /** Buckets of objectives: share of a latency, points of an accuracy. Clients repeat objectives, so these are fine. */
  readonly latencyBucketShare: number
  readonly accuracyBucket: number
  /** A harder condition still serves up to this many bandwidth or delay buckets away, per device. */
  readonly reachBuckets: number
}

export const defaultCacheSettings: CacheSettings = {
  capacity: 512,
  bucketsPerDecade: 8,
  delayBucketMs: 2,
  delayBucketShare: 0.15,
  latencyBucketShare: 0.05,
  accuracyBucket: 0.0025,
  reachBuckets: 3,
}

// 100.00000000000001 belongs to the bucket that starts at 100.
const slack = 1e-9

const rateBucket = (mbps: number, s: CacheSettings): number =>
  Math.floor(Math.log10(Math.max(1e-3, mbps)) * s.bucketsPerDecade + slack)

/** Delay buckets are even up to where a share of the delay is wider, then grow with it. */
const delayBucket = (delayMs: number, s: CacheSettings): number => {
  const knee = s.delayBucketMs / s.delayBucketShare
  if (delayMs <= knee) return Math.ceil(delayMs / s.delayBucketMs - slack)
  return Math.ceil(knee / s.delayBucketMs + Math.log(delayMs / knee) / Math.log1p(s.delayBucketShare) - slack)
}

const delayOf = (bucket: number, s: CacheSettings): number => {
  const knee = s.delayBucketMs / s.delayBucketShare
  const buckets = knee / s.delayBucketMs
  return bucket <= buckets ? bucket * s.delayBucketMs : knee * (1 + s.delayBucketShare) ** (bucket - buckets)
}

const objectiveBucket = (o: CacheObjective, s: CacheSettings): number =>
  o.kind === "latency"
    ? Math.floor(Math.log(o.value) / Math.log1p(s.latencyBucketShare) + slack)
    : Math.ceil(o.value / s.accuracyBucket - slack)

const objectiveOf = (kind: CacheObjective["kind"], bucket: number, s: CacheSettings): CacheObjective => ({
  kind,
  value: kind === "latency" ? (1 + s.latencyBucketShare) ** bucket : Math.min(1, bucket * s.accuracyBucket),
})

/** The hardest condition of a condition's bucket: what to plan for, so that the plan holds for the whole bucket. */
export const hardCorner = (
  condition: CacheCondition,
  s: CacheSettings = defaultCacheSettings,
): CacheCondition => ({
  objective: objectiveOf(condition.objective.kind, objectiveBucket(condition.objective, s), s),
  devices: condition.devices.map((d, i) =>
    i === 0
      ? d
      : {
          ...d,
          mbps: 10 ** (rateBucket(d.mbps, s) / s.bucketsPerDecade),
          delayMs: delayOf(delayBucket(d.delayMs, s), s),
        },
  ),
})

const bucketKey = (condition: CacheCondition, s: CacheSettings): string => {
  const { kind } = condition.objective
  const devices = condition.devices.map((d, i) =>
    i === 0 ? `${d.id}:${d.type}` : `${d.id}:${d.type}:${rateBucket(d.mbps, s)}:${delayBucket(d.delayMs, s)}`,
  )
  return `${kind}:${objectiveBucket(condition.objective, s)}|${devices.join("|")}`
}

interface Entry<P extends CachedPlan> {
  readonly plan: P
  /** The condition that the plan was made for. */
  readonly condition: CacheCondition
}

/** Whether a plan made for `made` keeps its promise under `now`; `undefined` when it does not, else how far away it is. */
const distance = (entry: Entry<CachedPlan>, now: CacheCondition, s: CacheSettings): number | undefined => {
  const { condition: made, plan } = entry
  const [local, nowLocal] = [made.devices[0], now.devices[0]]
  if (
    made.objective.kind !== now.objective.kind ||
    local?.id !== nowLocal?.id ||
    local?.type !== nowLocal?.type
  ) {
    return undefined
  }
  const kept =
    now.objective.kind === "latency"
      ? plan.latencyMs <= now.objective.value
      : plan.top1 >= now.objective.value
  if (!kept) return undefined
  let far = 0
  for (const was of made.devices.slice(1)) {
    if (!plan.uses.includes(was.id)) continue
    const is = now.devices.find((d) => d.id === was.id)
    if (is === undefined || is.type !== was.type) return undefined
    if (is.mbps < was.mbps * (1 - slack) || is.delayMs > was.delayMs * (1 + slack) + slack) return undefined
    const rate = rateBucket(is.mbps, s) - rateBucket(was.mbps, s)
    const delay = delayBucket(was.delayMs, s) - delayBucket(is.delayMs, s)
    far = Math.max(far, rate, delay)
  }
  return far
}

export interface CacheHit<P extends CachedPlan> {
  readonly plan: P
  /** bucket: found for this very bucket. dominance: found for a harder condition, so there may be a better one. */
  readonly how: "bucket" | "dominance"
}

export interface CacheStats {
  readonly entries: number
  readonly bucketHits: number
  readonly dominanceHits: number
  readonly misses: number
}

export class StrategyCache<P extends CachedPlan> {
  readonly settings: CacheSettings
  /** In order of use, oldest first. */
  private readonly entries = new Map<string, Entry<P>>()
  private bucketHits = 0
  private dominanceHits = 0
  private misses = 0

  constructor(settings: Partial<CacheSettings> = {}) {
    this.settings = { ...defaultCacheSettings, ...settings }
  }

  /** The plan of this bucket, else the best plan of a harder condition within reach; undefined when there is none. */
  lookUp(condition: CacheCondition): CacheHit<P> | undefined {
    const key = bucketKey(condition, this.settings)
    const exact = this.entries.get(key)
    // A plan that was stored for a measured condition, not for the corner, may not hold everywhere in the bucket.
    if (exact !== undefined && distance(exact, condition, this.settings) !== undefined) {
      this.touch(key, exact)
      this.bucketHits++
      return { plan: exact.plan, how: "bucket" }
    }
    const [bestKey, best] = this.dominating(condition)
    if (bestKey === undefined || best === undefined) {
      this.misses++
      return undefined
    }
    this.touch(bestKey, best)
    this.dominanceHits++
    return { plan: best.plan, how: "dominance" }
  }

  /** Remembers a plan for the bucket of the condition that it was made for; replaces a plan that was there. */
  store(condition: CacheCondition, plan: P): void {
    const key = bucketKey(condition, this.settings)
    this.entries.delete(key)
    this.entries.set(key, { plan, condition })
    if (this.entries.size > this.settings.capacity)
      this.entries.delete(this.entries.keys().next().value ?? "")
  }

  /** Drops plans that use a device: it left, or came back as another type. */
  forgetDevice(id: string): void {
    for (const [key, { plan }] of this.entries) if (plan.uses.includes(id)) this.entries.delete(key)
  }

  /** Drops everything: another supernet, another policy, other profiles. */
  clear(): void {
    this.entries.clear()
  }

  stats(): CacheStats {
    const { bucketHits, dominanceHits, misses } = this
    return { entries: this.entries.size, bucketHits, dominanceHits, misses }
  }

  private touch(key: string, entry: Entry<P>) {
    this.entries.delete(key)
    this.entries.set(key, entry)
  }

  private dominating(condition: CacheCondition): readonly [string?, Entry<P>?] {
    let found: readonly [string?, Entry<P>?] = []
    for (const [key, entry] of this.entries) {
      const far = distance(entry, condition, this.settings)
      if (far === undefined || far > this.settings.reachBuckets) continue
      const best = found[1]?.plan
      const isBetter =
        best === undefined ||
        (condition.objective.kind === "latency"
          ? entry.plan.top1 > best.top1
          : entry.plan.latencyMs < best.latencyMs)
      if (isBetter) found = [key, entry]
    }
    return found
  }
}
