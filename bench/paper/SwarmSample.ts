/** Which points of figures 13 to 17 are run on an emulated swarm, and what the swarms are made of. */
import type { Condition } from "../../policies/Condition.ts"
import { seededRandom, shuffled } from "../../supernet/Random.ts"
import { figure15Cases } from "./AccuracySlo.ts"
import type { Case } from "./Comparison.ts"
import { figure16Cases } from "./Compliance.ts"
import { figure13Cases, figure13SlosMs, figure14Cases } from "./LatencySlo.ts"
import { figure17Cases } from "./Scalability.ts"

export interface SamplePoint extends Case {
  readonly figure: string
}

export const sampledFigures = ["13", "14", "15", "16", "17"] as const

/** As many along each axis as `npm run bench -- paper` computes. */
const pointsPerAxis = 8

const casesOf: Readonly<Record<(typeof sampledFigures)[number], ReadonlyArray<Case>>> = {
  "13": figure13SlosMs.flatMap((ms) => figure13Cases(pointsPerAxis, ms)),
  "14": figure14Cases(pointsPerAxis),
  "15": figure15Cases(pointsPerAxis),
  "16": figure16Cases(pointsPerAxis),
  "17": figure17Cases,
}

/** A random part of each figure's own points, in the figure's order. */
export const samplePoints = (perFigure: number, seed: number): ReadonlyArray<SamplePoint> =>
  sampledFigures.flatMap((figure) => {
    const cases = casesOf[figure]
    const chosen = shuffled(seededRandom(seed), [...cases.keys()]).slice(0, perFigure)
    return chosen.sort((a, b) => a - b).map((i) => ({ figure, ...cases[i]! }))
  })

/** A swarm in a box for all points of one kind of swarm. */
export interface Stage {
  readonly name: string
  /** How many times slower than life it runs, so that this machine can compute what all of its devices do at once. */
  readonly slow: number
  /** The most devices that any of its points has. */
  readonly condition: Condition
  readonly points: ReadonlyArray<SamplePoint>
}

/** By the type of the remotes. The GPU of the desktop is some ten times faster than one core of this machine. */
const slowdowns: ReadonlyMap<string, number> = new Map([
  ["gtx-1080-desktop", 16],
  ["raspberry-pi-4", 6],
  ["raspberry-pi-3", 4],
  ["raspberry-pi-zero-2-w", 3],
])

const remoteType = ({ devices }: Condition): string => (devices[1] ?? devices[0])?.type ?? ""

export const stagesOf = (points: ReadonlyArray<SamplePoint>): ReadonlyArray<Stage> =>
  [...slowdowns].flatMap(([type, slow]) => {
    const some = points.filter((p) => remoteType(p.condition) === type)
    if (some.length === 0) return []
    const largest = some.reduce((a, b) => (b.condition.devices.length > a.condition.devices.length ? b : a))
    return [{ name: type, slow, condition: largest.condition, points: some }]
  })
