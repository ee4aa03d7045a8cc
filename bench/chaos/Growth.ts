/** Whether something grows: slopes of what was seen over time. */
import { mean } from "../Bench.ts"

export interface Sample {
  /** Since the beginning. */
  readonly atMs: number
  readonly rssMb: number
}

/**
 * Under load garbage goes in waves of some ten MB, up to two minutes long: what stays is the lowest of each of so many parts of the
 * time, which are longer than a wave.
 */
export const floorCount = 12

/** The lowest sample of each part of the time. */
export const floors = (samples: ReadonlyArray<Sample>, parts = floorCount): ReadonlyArray<Sample> => {
  const [first, last] = [samples[0]?.atMs ?? 0, samples.at(-1)?.atMs ?? 0]
  const part = (x: Sample) => Math.min(parts - 1, Math.floor(((x.atMs - first) / (last - first)) * parts))
  const lowest = (of: ReadonlyArray<Sample>) => of.reduce((a, b) => (b.rssMb < a.rssMb ? b : a))
  return [...Map.groupBy(samples, part).values()].map(lowest)
}

/** Change per hour by least squares, and its standard error. */
export const slopePerHour = (points: ReadonlyArray<readonly [atMs: number, value: number]>) => {
  const n = points.length
  if (n < 3) return { slope: Number.NaN, error: Number.NaN }
  const [mt, mv] = [mean(points.map(([t]) => t)), mean(points.map(([, v]) => v))]
  const spread = points.reduce((s, [t]) => s + (t - mt) ** 2, 0)
  const slope = points.reduce((s, [t, v]) => s + (t - mt) * (v - mv), 0) / spread
  const rest = points.reduce((s, [t, v]) => s + (v - mv - slope * (t - mt)) ** 2, 0)
  const hourMs = 3_600_000
  return { slope: slope * hourMs, error: Math.sqrt(rest / (n - 2) / spread) * hourMs }
}

export const growth = (samples: ReadonlyArray<Sample>) =>
  slopePerHour(samples.map((x) => [x.atMs, x.rssMb] as const))
