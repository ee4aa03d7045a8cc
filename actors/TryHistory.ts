/** A request's history: what was tried, and who was given up. */
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { Done } from "./Job.ts"

export interface History {
  /** Of the try that runs; the first is 0. */
  number: number
  planMs: number
  hedged: boolean
  readonly lost: Set<DeviceId>
  /** Of those: who was only late, as far as is known. */
  readonly overdue: Set<DeviceId>
}

export const newHistory = (): History => ({
  number: 0,
  planMs: 0,
  hedged: false,
  lost: new Set(),
  overdue: new Set(),
})

export const giveUp = (
  { lost, overdue }: History,
  devices: ReadonlyArray<DeviceId>,
  isLate: boolean,
): void => {
  for (const device of devices) {
    lost.add(device)
    if (isLate) overdue.add(device)
    else overdue.delete(device)
  }
}

/** For the reply; nothing where the first try answered. `predictedMs`: of the first try. */
export const recoveryOf = (
  { number, hedged, lost, overdue }: History,
  predictedMs: number,
): Done["recovery"] =>
  number === 0 ? undefined : { lost: [...lost], overdue: [...overdue], hedged, predictedMs }
