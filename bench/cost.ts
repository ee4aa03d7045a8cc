/** Speed of the latency model: strategy evaluations a second on one core, and that it equals the explained timeline. */
import { type Condition, idealLink, symmetricLink } from "../devices/latency/Condition.ts"
import { FastLatency } from "../devices/latency/FastLatency.ts"
import { timeline } from "../devices/latency/Timeline.ts"
import { shippedProfile } from "../devices/profiles/Shipped.ts"
import { encodeStrategy, spaceOf } from "../policies/Genome.ts"
import { type Random, seededRandom } from "../supernet/Random.ts"
import { ofaMobileNetV3 } from "../supernet/Spec.ts"
import { sampleStrategy, type Strategy } from "../supernet/Strategy.ts"
import { maxSubmodel } from "../supernet/Submodel.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile } from "./Bench.ts"

const classes = Array.from({ length: 1000 }, (_, i) => `${i}`)
const spec = ofaMobileNetV3({ name: "ofa", version: "1", widthMultiplier: 1, classes })
const space = spaceOf(spec)
const ids = ["a", "b", "c", "d", "e"]
const condition: Condition = {
  devices: ids.map((id, i) => ({
    id,
    profile: "raspberry-pi-4",
    link: i === 0 ? idealLink : symmetricLink(40 + 20 * i, 4 + 3 * i),
  })),
}

interface Load {
  readonly name: string
  readonly sample: (random: Random) => Strategy
}

const fullDepth = (locality: number) => (random: Random) =>
  sampleStrategy(spec, ids, random, { locality, submodel: maxSubmodel(spec, 224) })

/** 23 blocks at full depth: the 22 of the body and the head. */
const loads: ReadonlyArray<Load> = [
  {
    name: "random submodel, long segments (locality 0.9)",
    sample: (r) => sampleStrategy(spec, ids, r, { locality: 0.9 }),
  },
  { name: "random submodel, default sampling (locality 0.6)", sample: (r) => sampleStrategy(spec, ids, r) },
  { name: "full depth, long segments (locality 0.9)", sample: fullDepth(0.9) },
  { name: "full depth, default sampling (locality 0.6)", sample: fullDepth(0.6) },
  { name: "full depth, every block moves (locality 0)", sample: fullDepth(0) },
]

const measure = (load: Load, repeats: number, seed: number) => {
  const random = seededRandom(seed)
  const fast = new FastLatency(spec, [shippedProfile("raspberry-pi-4")])
  const strategies = Array.from({ length: 2000 }, () => load.sample(random))
  const encoded = strategies.map((s) => encodeStrategy(space, s, ids))
  fast.setCondition(condition)
  const rates = Array.from({ length: repeats + 2 }, () => {
    const rounds = 10
    const start = process.cpuUsage()
    const wall = performance.now()
    for (let r = 0; r < rounds; r++) {
      for (const e of encoded) fast.latencyMs(e)
    }
    const used = process.cpuUsage(start)
    const count = rounds * strategies.length
    return {
      cpu: count / ((used.user + used.system) / 1e6),
      wall: count / ((performance.now() - wall) / 1e3),
    }
  }).slice(2)
  const graphs = strategies
    .slice(0, 200)
    .map((strategy) =>
      timeline({ spec, strategy, condition, profileOf: () => shippedProfile("raspberry-pi-4") }),
    )
  const differences = encoded
    .slice(0, graphs.length)
    .map((e, i) => Math.abs(fast.latencyMs(e) / (graphs[i]?.latencyMs ?? Number.NaN) - 1))
  const worst = Math.max(...differences)
  const cpu = rates.map((r) => r.cpu)
  return {
    load: load.name,
    evals_per_s: Math.round(median(cpu)),
    slowest: Math.round(quantile(cpu, 0)),
    fastest: Math.round(quantile(cpu, 1)),
    per_wall_s: Math.round(median(rates.map((r) => r.wall))),
    tasks: graphs.reduce((s, t) => s + t.tasks.length, 0) / graphs.length,
    messages: graphs.reduce((s, t) => s + t.transfers.length, 0) / graphs.length,
    max_rel_diff_to_timeline: worst,
  }
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const rows = loads.map((load) => measure(load, quick ? 5 : 21, seed))
  const headline = rows.find((r) => r.load.startsWith("random submodel, default"))
  return {
    kind: "modelled",
    checks: [
      { name: "evals_per_s", value: headline?.evals_per_s ?? 0, op: ">=", bound: 200_000 },
      {
        name: "max_rel_diff_to_timeline",
        value: Math.max(...rows.map((r) => r.max_rel_diff_to_timeline)),
        op: "<=",
        bound: 1e-9,
      },
    ],
    rows,
    notes: [
      "5 devices; evaluations per second of CPU time of one thread (per_wall_s: of wall time, with whatever else ran).",
      "evals_per_s is the row 'random submodel, default sampling'.",
    ],
  }
}

export const bench: BenchModule = {
  name: "cost",
  proves:
    "the latency model evaluates hundreds of thousands of strategies a second, and equals the explained timeline",
  takes: "20 s",
  run,
}
