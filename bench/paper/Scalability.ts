/**
 * Figure 17: latency of ours with 1 to 9 Raspberry Pi 4 (1 Gbit/s, 2 ms) under accuracy SLOs, as a speed-up over one
 * device, and what the critical path is made of: why it stops where it stops. Slower devices for comparison: the paper's
 * Pi 4 ran another framework, and the slower the devices, the less the rest weighs.
 */
import { besides, type Figure, xyChart } from "../Charts.ts"
import type { Row } from "../Bench.ts"
import { criticalPath, type CriticalStep } from "../../devices/latency/Explain.ts"
import { timeline, type Timeline } from "../../devices/latency/Timeline.ts"
import { type DeviceProfile, opsMs } from "../../devices/profiles/DeviceProfile.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { blockMs } from "../../devices/profiles/BlockTime.ts"
import { noOps, submodelOps, taskTile } from "../../supernet/Cost.ts"
import type { Condition } from "../../policies/Condition.ts"
import { decodeGenome, submodelOf } from "../../policies/Genome.ts"
import { latencyCondition } from "../../policies/ModelWorld.ts"
import type { Case } from "./Comparison.ts"
import type { Scale } from "./LatencySlo.ts"
import { bestOffer, type Found, offers, OurPlanner, spec, swarm, world } from "./Methods.ts"

const link = { bandwidthMbps: 1000, delayMs: 2 }
const accuracySlos = [0.74, 0.76, 0.78, 0.79]
/** Compared at the strictest SLO only. */
const slowerTypes = ["raspberry-pi-3", "raspberry-pi-zero-2-w"] as const
type DeviceType = "raspberry-pi-4" | (typeof slowerTypes)[number]
const deviceCounts: ReadonlyArray<number> = [1, 2, 3, 4, 5, 6, 7, 8, 9]

/** What the way from the request to the reply that decides the latency is made of, ms. */
interface PathParts {
  /** Decoding, request and reply. */
  readonly fixedMs: number
  /** The head, which runs on one device, and everything else that is computed. */
  readonly headMs: number
  readonly computeMs: number
  readonly transferMs: number
}

/** The head alone, without the blocks before it in the same task, ms. */
const headBlockMs = (t: Timeline, profile: DeviceProfile): number => {
  const [head, last] = [t.graph.blocks.at(-1), t.graph.tasks.at(-1)]
  if (head === undefined || last === undefined) return 0
  const [height, width] = taskTile(t.graph, last, last.last)
  return blockMs(profile, spec, head, height, width)
}

const pathParts = (t: Timeline, profile: DeviceProfile): PathParts => {
  const path = criticalPath(t)
  const sum = (...kinds: ReadonlyArray<CriticalStep["kind"]>) =>
    path.filter((s) => kinds.includes(s.kind)).reduce((ms, s) => ms + s.endMs - s.startMs, 0)
  const headMs = headBlockMs(t, profile)
  return {
    fixedMs: sum("image", "reply"),
    headMs,
    computeMs: sum("compute") - headMs,
    transferMs: sum("transfer"),
  }
}

const explain = (found: Found, condition: Condition, profile: DeviceProfile): PathParts =>
  pathParts(
    timeline({
      spec,
      strategy: decodeGenome(
        world.space,
        found.genome,
        condition.devices.map((d) => d.id),
      ),
      condition: latencyCondition(condition),
      profileOf: () => profile,
    }),
    profile,
  )

export interface ScalePoint {
  readonly type: DeviceType
  readonly accuracySlo: number
  readonly devices: number
  readonly oursMs: number
  readonly speedup: number
  /** ADCNN with the best network and depth that are accurate enough: its latency on one device (nothing in tiles) over that here. */
  readonly adcnnSpeedup: number | undefined
  readonly path: PathParts
  /** Of the chosen submodel's work, what takes as long for a tile as for a whole map: launches, reading weights. ms */
  readonly indivisibleMs: number
}

const indivisibleMs = (found: Found, profile: DeviceProfile): number => {
  const { parameters, layers } = submodelOps(spec, submodelOf(world.space, found.genome))
  return opsMs(profile, { ...noOps, parameters, layers })
}

const swarmOf = (type: DeviceType, devices: number): Condition =>
  swarm(
    Array.from({ length: devices - 1 }, () => link),
    type,
  )

const series = (scale: Scale, type: DeviceType, accuracy: number): ReadonlyArray<ScalePoint> => {
  const planner = new OurPlanner(scale.evaluations, scale.seed)
  const slo = { kind: "accuracy", accuracy } as const
  const adcnnMs = (condition: Condition) =>
    bestOffer(
      offers(condition).filter((o) => o.zoo && o.method === "ADCNN"),
      slo,
    )?.latencyMs
  let [aloneMs, adcnnAloneMs]: [number, number | undefined] = [0, undefined]
  return deviceCounts.map((devices) => {
    const condition = swarmOf(type, devices)
    const found = planner.best(condition, slo)
    const adcnn = adcnnMs(condition)
    if (devices === 1) [aloneMs, adcnnAloneMs] = [found.latencyMs, adcnn]
    return {
      type,
      accuracySlo: accuracy,
      devices,
      oursMs: found.latencyMs,
      speedup: aloneMs / found.latencyMs,
      adcnnSpeedup: adcnn === undefined || adcnnAloneMs === undefined ? undefined : adcnnAloneMs / adcnn,
      path: explain(found, condition, shippedProfile(type)),
      indivisibleMs: indivisibleMs(found, shippedProfile(type)),
    }
  })
}

/** Device type and accuracy SLO of each line. */
const lines: ReadonlyArray<readonly [DeviceType, number]> = [
  ...accuracySlos.map((accuracy) => ["raspberry-pi-4", accuracy] as const),
  ...slowerTypes.map((type) => [type, accuracySlos.at(-1) ?? 0] as const),
]

export const figure17 = (scale: Scale): ReadonlyArray<ScalePoint> =>
  lines.flatMap(([type, accuracy]) => series(scale, type, accuracy))

export const figure17Cases: ReadonlyArray<Case> = lines.flatMap(([type, accuracy]) =>
  deviceCounts.map((devices) => ({
    at: { devices, accuracySlo: accuracy },
    condition: swarmOf(type, devices),
    slo: { kind: "accuracy", accuracy },
  })),
)

const round = (value: number): number => Number(value.toFixed(2))

export const scaleRow = (p: ScalePoint): Row => ({
  figure: "17",
  deviceType: p.type,
  accuracySlo: p.accuracySlo,
  devices: p.devices,
  oursMs: round(p.oursMs),
  speedup: round(p.speedup),
  ...(p.adcnnSpeedup === undefined ? {} : { adcnnSpeedup: round(p.adcnnSpeedup) }),
  pathFixedMs: round(p.path.fixedMs),
  pathHeadMs: round(p.path.headMs),
  pathComputeMs: round(p.path.computeMs),
  pathTransferMs: round(p.path.transferMs),
  indivisibleMs: round(p.indivisibleMs),
})

const labels = { subtitle: "", x: "Raspberry Pi 4 devices", width: 440, height: 320 }

export const drawFigure17 = (all: ReadonlyArray<ScalePoint>, note: string): Figure => {
  const points = all.filter((p) => p.type === "raspberry-pi-4")
  const curves = (value: (p: ScalePoint) => number) =>
    accuracySlos.map((accuracy) => ({
      name: `accuracy SLO ${100 * accuracy} %`,
      style: "both" as const,
      points: points.filter((p) => p.accuracySlo === accuracy).map((p) => ({ x: p.devices, y: value(p) })),
    }))
  const subtitle = `1 Gbit/s, 2 ms; ${note}`
  const strictest = points.filter((p) => p.accuracySlo === accuracySlos.at(-1))
  const part = (name: string, of: (p: PathParts) => number) => ({
    name,
    style: "both" as const,
    points: strictest.map((p) => ({ x: p.devices, y: of(p.path) })),
  })
  return besides(
    [
      xyChart(
        { ...labels, title: "17. Latency of ours", subtitle, y: "latency, ms" },
        curves((p) => p.oursMs),
        { y: { min: 0 } },
      ),
      xyChart(
        { ...labels, title: "17. Speed-up over one device", subtitle, y: "times" },
        curves((p) => p.speedup),
        { y: { min: 0 } },
      ),
      xyChart(
        { ...labels, title: "17. Critical path at 79 %", subtitle, y: "ms" },
        [
          part("tiles and blocks", (p) => p.computeMs),
          part("head (one device)", (p) => p.headMs),
          part("transfer", (p) => p.transferMs),
          part("decode, request, reply", (p) => p.fixedMs),
        ],
        { y: { min: 0 } },
      ),
      xyChart(
        {
          ...labels,
          title: "17. Speed-up at 79 %, slower devices",
          subtitle,
          x: "devices of one type",
          y: "times",
        },
        ["raspberry-pi-4", ...slowerTypes].map((type) => ({
          name: type,
          style: "both" as const,
          points: all
            .filter((p) => p.type === type && p.accuracySlo === accuracySlos.at(-1))
            .map((p) => ({ x: p.devices, y: p.speedup })),
        })),
        { y: { min: 0 } },
      ),
    ],
    2,
  )
}
