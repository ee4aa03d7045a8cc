/** Random points for `latency-model`: devices, links and a strategy, with what the model says about them. */
import { type Condition, idealLink, symmetricLink } from "../devices/latency/Condition.ts"
import { criticalPath } from "../devices/latency/Explain.ts"
import type { Overheads } from "../devices/latency/Overheads.ts"
import { type Timeline, timeline } from "../devices/latency/Timeline.ts"
import { nonNegativeLeastSquares } from "../devices/profiles/LeastSquares.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import { below, pick, type Random, shuffled } from "../supernet/Random.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { sampleStrategy, type Strategy } from "../supernet/Strategy.ts"

export interface PointWorld {
  readonly spec: SupernetSpec
  readonly profile: DeviceProfile
  /** The serving device first. */
  readonly devices: ReadonlyArray<string>
}

export interface Point {
  readonly strategy: Strategy
  /** Of every device in the swarm, used or not. */
  readonly links: ReadonlyMap<string, { readonly mbps: number; readonly delayMs: number }>
}

export const predict = (world: PointWorld, point: Point, overheads?: Overheads): Timeline => {
  const condition: Condition = {
    devices: world.devices.map((id, i) => {
      const link = point.links.get(id)
      const own = i === 0 || link === undefined ? idealLink : symmetricLink(link.mbps, link.delayMs)
      return { id, profile: world.profile.name, link: own }
    }),
  }
  const input = { spec: world.spec, strategy: point.strategy, condition, profileOf: () => world.profile }
  return timeline(overheads === undefined ? input : { ...input, overheads })
}

/** 5 to 500 Mbps (even in the logarithm) and 0 to 100 ms, per remote device. */
const sampleLink = (random: Random) => ({
  mbps: Math.round(5 * 100 ** random.next()),
  delayMs: random.next() < 0.2 ? 0 : Math.round(100 * random.next() ** 2),
})

/** A random strategy on 2 to 5 devices over random links, not slower than the limit and with something on the bus. */
export const samplePoint = (world: PointWorld, random: Random, limitMs: number): Point => {
  const [local = "", ...remotes] = world.devices
  for (;;) {
    const used = shuffled(random, remotes).slice(0, 1 + below(random, remotes.length))
    const links = new Map(remotes.map((id) => [id, sampleLink(random)]))
    const locality = pick(random, [0.6, 0.75, 0.9])
    const strategy = sampleStrategy(world.spec, [local, ...used], random, { locality })
    const t = predict(world, { strategy, links })
    if (t.transfers.length > 0 && t.latencyMs <= limitMs) return { strategy, links }
  }
}

/** What the critical path is made of: tasks, messages, MB. */
const criticalCounts = (t: Timeline) => {
  const path = criticalPath(t)
  const arrivals = new Map(t.transfers.map((x) => [x.arriveMs, x]))
  const sent = path.flatMap((s) => (s.kind === "transfer" ? [arrivals.get(s.endMs)?.bytes ?? 0] : []))
  return {
    tasks: path.filter((s) => s.kind === "compute").length,
    messages: sent.length,
    megabytes: sent.reduce((a, b) => a + b, 0) / 1e6,
  }
}

/** Overheads that explain what a model without any leaves over; the fixed part stands for request and reply together. */
export const fitOverheads = (
  points: ReadonlyArray<{ readonly bare: Timeline; readonly measuredMs: number }>,
): {
  readonly fixedMs: number
  readonly taskMs: number
  readonly messageMs: number
  readonly messageMsPerMb: number
} => {
  // Large latencies are uncertain in proportion, so they weigh less.
  const rows = points.map(({ bare, measuredMs }) => {
    const c = criticalCounts(bare)
    const weight = 1 / measuredMs
    return {
      row: [1, c.tasks, c.messages, c.megabytes].map((f) => f * weight),
      target: (measuredMs - bare.latencyMs) * weight,
    }
  })
  const [fixedMs = 0, taskMs = 0, messageMs = 0, messageMsPerMb = 0] = nonNegativeLeastSquares(
    rows.map((r) => r.row),
    rows.map((r) => r.target),
  )
  return { fixedMs, taskMs, messageMs, messageMsPerMb }
}
