/**
 * Looks a little ahead: keeps the recent past of every path and publishes what it expects at several horizons on
 * `forecast.<device>`, with a band. The Planner thinks about those conditions before they come (paper, section 5).
 */
import { Effect, Layer, Schedule } from "effect"
import { adaptiveAll, forecastHorizonsMs, type Observation } from "../devices/links/Forecaster.ts"
import { Bus } from "../subjects/Bus.ts"
import { forecastReport } from "../subjects/Codecs.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ForecastReport, LinkForecast } from "../subjects/LinkMessages.ts"
import { lasting } from "../subjects/Lasting.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { LinkTable } from "./LinkTable.ts"
import { Self, type SelfShape } from "./Self.ts"

export interface PredictorOptions {
  readonly everyMs: number
  readonly horizonsMs: ReadonlyArray<number>
  /** Observations per path that forecasts are made from. */
  readonly window: number
  /** After so long without a client's request only one forecast in `idleEvery` is made: nobody plans by them. */
  readonly idleAfterMs: number
  readonly idleEvery: number
}

export const defaultPredictorOptions: PredictorOptions = {
  everyMs: 500,
  horizonsMs: forecastHorizonsMs,
  window: 60,
  idleAfterMs: 30_000,
  idleEvery: 10,
}

/** Whether a client has asked this device for something lately. */
const askedLately = ({ counters }: SelfShape, idleAfterMs: number) => {
  let [seen, atMs] = [-1, 0]
  return (nowMs: number): boolean => {
    const count = counters.answered + counters.refused
    if (counters.requests > 0 || count !== seen) [seen, atMs] = [count, nowMs]
    return nowMs - atMs <= idleAfterMs
  }
}

interface Past {
  delay: ReadonlyArray<Observation>
  bandwidth: ReadonlyArray<Observation>
}

/** What is expected of a path at each horizon. */
const expected = (
  peer: DeviceId,
  past: Past,
  horizonsMs: ReadonlyArray<number>,
): ReadonlyArray<LinkForecast | undefined> => {
  const delays = adaptiveAll(past.delay, horizonsMs)
  const bandwidths = adaptiveAll(past.bandwidth, horizonsMs)
  return horizonsMs.map((_, i) => {
    const [delay, bandwidth] = [delays?.[i], bandwidths?.[i]]
    if (delay === undefined || bandwidth === undefined) return undefined
    const { value, low, high } = bandwidth
    return { peer, delayMs: delay.value, bandwidthMbps: value, lowMbps: low, highMbps: high }
  })
}

const make = (options: PredictorOptions) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const self = yield* Self
    const table = yield* LinkTable
    const pasts = new Map<DeviceId, Past>()
    let [seq, round] = [0, 0]
    const isAsked = askedLately(self, options.idleAfterMs)

    const remember = () => {
      const atMs = performance.now()
      const states = table.all()
      for (const peer of pasts.keys()) if (!states.some((s) => s.peer === peer)) pasts.delete(peer)
      for (const { peer, delayMs, bandwidthMbps, source } of states) {
        if (source === "assumed") continue
        const past = pasts.get(peer) ?? { delay: [], bandwidth: [] }
        pasts.set(peer, {
          delay: [...past.delay, { atMs, value: delayMs }].slice(-options.window),
          bandwidth: [...past.bandwidth, { atMs, value: bandwidthMbps }].slice(-options.window),
        })
      }
    }
    const report = (): ForecastReport => {
      const links = [...pasts].map(([peer, past]) => expected(peer, past, options.horizonsMs))
      const horizons = options.horizonsMs.map((inMs, i) => ({
        inMs,
        links: links.flatMap((of) => of[i] ?? []),
      }))
      return { device: self.device, seq: seq++, horizons }
    }
    const step = Effect.suspend(() => {
      remember()
      const isDue = isAsked(performance.now()) || round++ % options.idleEvery === 0
      if (pasts.size === 0 || !isDue) return Effect.void
      return bus.publish(Subjects.forecast(self.device), forecastReport.encode(report()))
    })
    yield* Effect.forkScoped(lasting("forecasts", step).pipe(Effect.repeat(Schedule.spaced(options.everyMs))))
  })

/** Of a device's layers: nobody asks it for anything. */
export const predictorLayer = (options: PredictorOptions = defaultPredictorOptions) =>
  Layer.effectDiscard(make(options))
