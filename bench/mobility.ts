/**
 * Ten minutes on the move, by the latency model: a Raspberry Pi 4 that answers within 80 ms, with a GTX 1080 desktop behind
 * a link that follows real traces: Wi-Fi near, Wi-Fi far, 5G walking, 5G driving. Ours decides on the worst link states of
 * the seconds before and is judged by those of the moment. The baselines (every method of the zoo, each with its best network)
 * know the moment: they cannot be late where anything of theirs is in time.
 */
import type { Trace } from "../devices/links/Traces.ts"
import type { Condition } from "../policies/Condition.ts"
import { decodeGenome, type Genome } from "../policies/Genome.ts"
import { judge } from "../policies/World.ts"
import { type BenchModule, type BenchOptions, type BenchResult, mean } from "./Bench.ts"
import { svgDocument } from "./Charts.ts"
import { mobilityFigure } from "./MobilityChart.ts"
import {
  checksOf,
  knowing,
  type Moment,
  oneStrategy,
  ours,
  rowOf,
  scoreOf,
  slo,
  thresholds,
  worth,
} from "./MobilityScore.ts"
import { augmented, bestOffer, methods, offers, OurPlanner, world } from "./paper/Methods.ts"
import { realTraces } from "./RealTraces.ts"

const stepS = 2
/** Link states that ours decides on: the worst of this time, which ends before the moment itself. */
const memoryS = 6
/** Held against what may come: links are taken for this much worse than the worst of that time. */
const caution = 1.5

interface Phase {
  readonly name: string
  readonly mbps: ReadonlyArray<number>
  readonly delayMs: ReadonlyArray<number>
}

/** Values each second, from traces of a class one after the other until there are enough. */
const perSecond = (traces: ReadonlyArray<Trace>, kind: string, seconds: number): ReadonlyArray<number> => {
  const out: Array<number> = []
  const some = traces.filter((t) => t.class === kind)
  for (let i = 0; out.length < seconds && some.length > 0; i = (i + 1) % some.length) {
    const { stepMs = 1000, values = [] } = some[i] ?? {}
    for (let at = 0; at < values.length; at += 1000 / stepMs) out.push(values[Math.floor(at)] ?? 0)
  }
  return out.slice(0, seconds)
}

/** Phases of equal length, one after the other. */
const phasesOf = (traces: ReadonlyArray<Trace>, seconds: number): ReadonlyArray<Phase> => {
  const length = Math.ceil(seconds / 4)
  const of = (kind: string) => perSecond(traces, kind, length)
  const constant = (value: number) => Array.from({ length }, () => value)
  // Pings are there and back, a delay is one way.
  const halved = (kind: string) => of(kind).map((v) => v / 2)
  return [
    { name: "Wi-Fi 5 GHz, near", mbps: of("wifi-5GHz strong"), delayMs: constant(2) },
    { name: "Wi-Fi 2.4 GHz, far", mbps: of("wifi-2.4GHz medium"), delayMs: constant(5) },
    { name: "5G, walking", mbps: of("uplink 5g walking"), delayMs: halved("ping 5g walking") },
    { name: "5G, driving", mbps: of("uplink 5g driving"), delayMs: halved("ping 5g driving") },
  ]
}

interface Journey {
  readonly mbps: ReadonlyArray<number>
  readonly delayMs: ReadonlyArray<number>
}

/** A link without any throughput is as good as one that nobody would use. */
const leastMbps = 0.05

const conditionAt = (journey: Journey, from: number, to: number, worse = 1): Condition =>
  augmented({
    bandwidthMbps: Math.max(leastMbps, Math.min(...journey.mbps.slice(from, to)) / worse),
    delayMs: Math.max(...journey.delayMs.slice(from, to)) * worse,
  })

/** With what ours decided for it. */
interface Lived extends Moment {
  readonly genome: Genome
}

const baselines = methods.map((m) => m.name)

const live = (journey: Journey, seconds: number, evaluations: number, seed: number): ReadonlyArray<Lived> => {
  const planner = new OurPlanner(evaluations, seed)
  // What a policy or a cache would know beforehand: strategies for a dozen link states.
  const thorough = new OurPlanner(3 * evaluations, seed)
  for (const delayMs of [40, 15, 2])
    for (const bandwidthMbps of [1, 10, 40, 150])
      planner.learn(thorough.best(augmented({ bandwidthMbps, delayMs }), slo).genome)
  return Array.from({ length: Math.floor(seconds / stepS) }, (_, step): Lived => {
    const second = step * stepS
    const seen = conditionAt(journey, Math.max(0, second - memoryS), Math.max(1, second), caution)
    const condition = conditionAt(journey, second, second + 1)
    const { genome } = planner.best(seen, slo)
    const found = offers(condition).filter((o) => o.zoo)
    const bestOf = (method: string) =>
      bestOffer(
        found.filter((o) => o.method === method),
        slo,
      )
    const outcome = judge(world, condition, slo).outcome(genome)
    return {
      second,
      condition,
      genome,
      outcomes: new Map([
        [ours, outcome],
        [knowing, planner.best(condition, slo)],
        ...baselines.map((method) => [method, bestOf(method)] as const),
      ]),
    }
  })
}

interface Hindsight {
  readonly moments: ReadonlyArray<Moment>
  /** Where the one strategy runs. */
  readonly devices: ReadonlyArray<string>
}

/** Adds the strategy, of all that ours chose, that would have been best if kept all the time. */
const withOneStrategy = (moments: ReadonlyArray<Lived>): Hindsight => {
  const judges = moments.map((m) => judge(world, m.condition, slo))
  const unique = [...new Map(moments.map((m) => [m.genome.join(), m.genome])).values()]
  const value = (genome: Genome) => mean(judges.map((j) => worth(j.outcome(genome))))
  const ranked = unique.map((genome) => ({ genome, value: value(genome) })).sort((a, b) => b.value - a.value)
  const best = ranked[0]?.genome
  const ids = moments[0]?.condition.devices.map((d) => d.id) ?? []
  if (best === undefined) return { moments, devices: [] }
  return {
    moments: moments.map((m, i) => ({
      ...m,
      outcomes: new Map([...m.outcomes, [oneStrategy, judges[i]?.outcome(best)]]),
    })),
    devices: decodeGenome(world.space, best, ids).devices,
  }
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const seconds = quick ? 60 : 600
  const phases = phasesOf(realTraces(), seconds)
  const journey = { mbps: phases.flatMap((p) => p.mbps), delayMs: phases.flatMap((p) => p.delayMs) }
  const { moments, devices } = withOneStrategy(live(journey, seconds, quick ? 500 : 2000, seed))
  const scores = [ours, knowing, oneStrategy, ...baselines].map((method) => scoreOf(moments, method))
  const names = phases.map((p) => p.name)
  const phaseS = phases[0]?.mbps.length ?? 0
  const figure = mobilityFigure({ moments, scores, phases: names, phaseS, seed })
  return {
    kind: "modelled",
    checks: checksOf(scores, baselines),
    rows: scores.map(rowOf),
    notes: notes(devices, names),
    figures: new Map([["mobility.svg", svgDocument(figure)]]),
  }
}

const notes = (devices: ReadonlyArray<string>, phases: ReadonlyArray<string>): ReadonlyArray<string> => [
  `rightInTimePercent: the share of answers expected to be right and in time, inTimePercent times top1InTime; atLeast...Percent: in time and with at least so much top-1 (${thresholds.map((t) => `${100 * t} %`).join(", ")}: no single one of them decides)`,
  "lead_over_best_baseline_points: rightInTimePercent of ours less that of the best of all baselines (Neurosurgeon, also with 8 bits, ADCNN, the Pi alone, the desktop alone)",
  `lead_over_one_strategy_in_hindsight_points: what adapting is worth here, in the same points: ours less 'one strategy for all', which is the best of all strategies that ours chose, kept for the whole way and picked when it was over; it runs on: ${devices.join(", ")}`,
  "ours begins with strategies found for twelve link states, as a policy or a cache would give it",
  `each baseline has its best network of the zoo and decides on the link of the moment; ours decides on ${caution} times worse than the worst of the ${memoryS} seconds before; 'knowing the moment' decides on what the baselines decide on`,
  "top-1 is that of ImageNet: the zoo's as published, ours by OFA's predictor less what tiles and bits cost (bench paper)",
  `a quarter of the time each: ${phases.join(", ")}; throughput and ping of 5G are from the same data set, delays of Wi-Fi are assumed (2 and 5 ms)`,
]

export const bench: BenchModule = {
  name: "mobility",
  proves:
    "on links that follow real traces: answers right and in time of ours, of every baseline and of one strategy for all (modelled)",
  takes: "3 minutes",
  run,
}
