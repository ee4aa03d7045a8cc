/**
 * Who is served next when many ask: clients take turns, whoever asks much waits behind itself. Bounded: where there is no
 * room, the newest request of the client with the longest queue has to go, be it the newcomer.
 */
import { Effect } from "effect"

/** Queues by client; `shift` takes from them in turn. */
export class FairQueue<A> {
  private readonly queues = new Map<string, Array<A>>()
  private readonly capacity: number
  private count = 0

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get size(): number {
    return this.count
  }

  /** Gives the item that has to go, if one has to. */
  push(client: string, item: A): A | undefined {
    const queue = this.queues.get(client) ?? []
    this.queues.set(client, queue)
    queue.push(item)
    this.count++
    if (this.count <= this.capacity) return undefined
    const longest = [...this.queues].reduce((a, b) => (b[1].length > a[1].length ? b : a))
    const [loser, items] = queue.length >= longest[1].length ? ([client, queue] as const) : longest
    const out = items.pop()
    this.count--
    if (items.length === 0) this.queues.delete(loser)
    return out
  }

  /** The oldest item of the client whose turn it is. */
  shift(): A | undefined {
    const [client, items] = this.queues.entries().next().value ?? []
    if (client === undefined || items === undefined) return undefined
    const item = items.shift()
    this.count--
    this.queues.delete(client)
    if (items.length > 0) this.queues.set(client, items)
    return item
  }

  remove(client: string, item: A): void {
    const items = this.queues.get(client) ?? []
    const at = items.indexOf(item)
    if (at < 0) return
    items.splice(at, 1)
    this.count--
    if (items.length === 0) this.queues.delete(client)
  }

  /** Items that come before a new one of this client. */
  ahead(client: string): number {
    const own = this.queues.get(client)?.length ?? 0
    let ahead = 0
    for (const [other, items] of this.queues)
      ahead += other === client ? items.length : Math.min(items.length, own + 1)
    return ahead
  }
}

export interface Gate {
  /** Runs the effect when it is the client's turn; `full` instead when there is no room to wait. */
  readonly run: <A, E, R, E2>(
    client: string,
    full: E2,
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | E2, R>
  /** Requests that would be served before a new one of this client. */
  readonly ahead: (client: string) => number
}

interface Waiter {
  readonly go: (admitted: boolean) => void
}

/** Lets `limit()` requests run at once; the others wait in a fair queue. */
export const gate = (limit: () => number, capacity: number): Gate => {
  const waiting = new FairQueue<Waiter>(capacity)
  let running = 0
  const enter = (client: string) =>
    Effect.callback<boolean>((resume) => {
      const waiter: Waiter = { go: (admitted) => resume(Effect.succeed(admitted)) }
      if (running < limit() && waiting.size === 0) {
        running++
        return waiter.go(true)
      }
      waiting.push(client, waiter)?.go(false)
      return Effect.sync(() => waiting.remove(client, waiter))
    })
  const leave = Effect.sync(() => {
    running--
    while (running < limit()) {
      const next = waiting.shift()
      if (next === undefined) return
      running++
      next.go(true)
    }
  })
  return {
    ahead: (client) => running + waiting.ahead(client),
    run: <A, E, R, E2>(client: string, full: E2, effect: Effect.Effect<A, E, R>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(enter(client)), (admitted): Effect.Effect<A, E | E2, R> =>
          admitted ? Effect.ensuring(restore(effect), leave) : Effect.fail(full),
        ),
      ),
  }
}
