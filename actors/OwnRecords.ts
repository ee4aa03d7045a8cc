/**
 * Records of this device in a bucket whose records expire: which are there, as far as this device knows, which have to be
 * written again before they are gone, and which have to be removed. Plain bookkeeping; a record is forgotten when it was
 * removed, not when it should be, so that what failed is tried again.
 */

interface Own {
  readonly policies: string
  readonly writtenMs: number
}

export class OwnRecords {
  private readonly most: number
  private readonly freshMs: number
  /** Written longest ago first. */
  private readonly records = new Map<string, Own>()
  private useless = new Set<string>()

  /** So many at most; one counts as being in the bucket for `freshMs` after it was written. */
  constructor(most: number, freshMs: number) {
    this.most = most
    this.freshMs = freshMs
  }

  /** Written at that time of this device's clock, in use with these policies. */
  written(id: string, policies: string, writtenMs: number): void {
    this.gone(id)
    this.records.set(id, { policies, writtenMs })
  }

  gone(id: string): void {
    this.records.delete(id)
    this.useless.delete(id)
  }

  /** Is in the bucket, and stays there for a while. */
  isFresh(id: string, nowMs: number): boolean {
    const own = this.records.get(id)
    return own !== undefined && nowMs - own.writtenMs < this.freshMs
  }

  /** Those found with other policies than these are of no more use. */
  policiesChanged(policies: string): void {
    this.useless = new Set([...this.records].flatMap(([id, own]) => (own.policies === policies ? [] : [id])))
  }

  /** Those of no more use, and of the others the oldest beyond the bound. */
  toRemove(): ReadonlyArray<string> {
    const useful = [...this.records.keys()].filter((id) => !this.useless.has(id))
    return [...this.useless, ...useful.slice(0, Math.max(0, useful.length - this.most))]
  }
}
