/**
 * Planning while devices have something to do: work has its price (`Congestion.ts`), whole requests may be handed over to
 * other devices, and nobody waits for thinking. Now and then the part of the swarm that is idle is thought about, and what
 * would be better than what is ready is made ready, one strategy at a time.
 */
import { Effect } from "effect"
import type { Condition, Slo } from "../policies/Condition.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { idlePart } from "./Congestion.ts"
import { knownPlan } from "./Plan.ts"
import type { Load, Portfolio } from "./Portfolio.ts"
import type { Thoughts } from "./Thoughts.ts"

/** Thinking, and making ready what was found, takes computation from the requests under way: not more often than this. */
const busyThinkEveryMs = 1000
/** Devices that whole requests are handed to: more would crowd out what was found by thinking. */
const maxHandOvers = 12

/** Whole networks on each of the other devices: what one entry device needs to use all of a busy swarm. */
class HandOvers {
  private readonly local: DeviceId
  private readonly known: Portfolio
  private readonly devices = new Set<string>()

  constructor(local: DeviceId, known: Portfolio) {
    this.local = local
    this.known = known
  }

  /** To those who are there now, the first of them. */
  update({ devices }: Condition): void {
    const first = devices.slice(1, 1 + maxHandOvers)
    for (const { id } of first) {
      if (!this.devices.has(id)) this.known.addHandOvers(this.local, id)
      this.devices.add(id)
    }
    for (const id of this.devices) {
      if (first.some((d) => d.id === id)) continue
      this.devices.delete(id)
      this.known.unpin(id)
    }
  }
}

/** Gives no plan where nothing that is known can be run. */
export const makePlanBusy = (
  local: DeviceId,
  known: Portfolio,
  thoughts: Thoughts,
  loadOf: (now: Condition) => Load,
) => {
  const handOvers = new HandOvers(local, known)
  let thinkAfterMs = 0
  return Effect.fnUntraced(function* (now: Condition, slo: Slo) {
    handOvers.update(now)
    const { best, better } = known.bestUnderLoad(now, slo, loadOf(now))
    if (best === undefined) return undefined
    if (better !== undefined) yield* thoughts.makeReady(better.strategy)
    const nowMs = performance.now()
    if (nowMs > thinkAfterMs && thoughts.isIdle()) {
      thinkAfterMs = nowMs + busyThinkEveryMs
      const topic = thoughts.topic(idlePart(now), slo)
      const isNew = thoughts.decided(topic) === undefined
      if (isNew && thoughts.isWorthIt(topic, known.best(topic.now, slo)))
        yield* thoughts.think(topic, "search")
    }
    return knownPlan(best)
  })
}
