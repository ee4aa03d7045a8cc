/** How much a strategy asks of each device: what is booked when it is planned, and what its price is reckoned from. */
import { defaultOverheads } from "../devices/latency/Overheads.ts"
import { taskMs, taskTime } from "../devices/profiles/BlockTime.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { normalizeStrategy, type Strategy } from "../supernet/Strategy.ts"
import { taskGraph } from "../supernet/TaskGraph.ts"
import type { Item } from "./Ledger.ts"

/** Work of a strategy by device id, ms: computation alone, without waiting and transfers. */
export type WorkByDevice = ReadonlyMap<string, number>

export interface Work {
  /** One per task, on the account of its device. */
  readonly items: ReadonlyArray<Item>
  readonly byDevice: WorkByDevice
  readonly totalMs: number
}

export const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const v of values) total += v
  return total
}

/** What was reckoned, and with which profiles of the strategy's devices. */
interface Reckoned {
  readonly work: Work
  readonly profiles: ReadonlyArray<DeviceProfile | undefined>
}

/**
 * Work of any strategy; remembered per strategy object, which plans share, for as long as its devices have the same profiles.
 * Devices of unknown profile count nothing.
 */
export const makeWorkOf = (
  spec: SupernetSpec,
  profileOf: (device: string) => DeviceProfile | undefined,
): ((strategy: Strategy) => Work) => {
  const known = new WeakMap<Strategy, Reckoned>()
  return (strategy) => {
    const found = known.get(strategy)
    const isSame = found?.profiles.every((p, i) => p === profileOf(strategy.devices[i] ?? ""))
    if (found !== undefined && isSame === true) return found.work
    const normal = normalizeStrategy(spec, strategy)
    const graph = taskGraph(spec, normal)
    const items = graph.tasks.map((task): Item => {
      const account = normal.devices[task.device] ?? ""
      const profile = profileOf(account)
      if (profile === undefined) return { task: task.index, account, ms: 0 }
      const ms = defaultOverheads.taskMs + taskMs(taskTime(profile, spec, graph, task))
      return { task: task.index, account, ms }
    })
    const byDevice = new Map<string, number>()
    for (const { account, ms } of items) byDevice.set(account, (byDevice.get(account) ?? 0) + ms)
    const work = { items, byDevice, totalMs: sum(byDevice.values()) }
    known.set(strategy, { work, profiles: strategy.devices.map(profileOf) })
    return work
  }
}
