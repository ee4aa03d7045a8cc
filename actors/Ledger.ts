/**
 * Work that was promised and is not done yet, in milliseconds, added up by who has to do it (or by whom it is for). Plain
 * bookkeeping: a key is booked with its tasks, tasks are crossed off, and closing a key crosses off the rest.
 */

/** One task's work, and the account that it burdens. */
export interface Item {
  readonly task: number
  readonly account: string
  readonly ms: number
}

export class Ledger {
  private readonly open = new Map<string, Map<number, Item>>()
  private readonly totals = new Map<string, number>()

  /** Books what is not booked yet under this key. */
  book(key: string, items: ReadonlyArray<Item>): void {
    if (this.open.has(key)) return
    this.open.set(key, new Map(items.map((i) => [i.task, i])))
    for (const { account, ms } of items) this.add(account, ms)
  }

  done(key: string, task: number): void {
    const items = this.open.get(key)
    const item = items?.get(task)
    if (items === undefined || item === undefined) return
    items.delete(task)
    this.add(item.account, -item.ms)
  }

  close(key: string): void {
    for (const { account, ms } of this.open.get(key)?.values() ?? []) this.add(account, -ms)
    this.open.delete(key)
  }

  ms(account: string): number {
    return this.totals.get(account) ?? 0
  }

  /** Accounts with work, and how much. */
  all(): ReadonlyMap<string, number> {
    return this.totals
  }

  private add(account: string, ms: number): void {
    const sum = (this.totals.get(account) ?? 0) + ms
    // What is left of a sum of parts when all parts are gone is rounding.
    if (sum > 1e-6) this.totals.set(account, sum)
    else this.totals.delete(account)
  }
}
