/**
 * What `npm run demo` shows, counted: the same swarm and script, some times over, each time with a new swarm and other pictures
 * from the same set. Real processes and real inference; devices are emulated and links shaped. `--runs N`, `--seconds N`.
 */
import { Effect } from "effect"
import { demoImages } from "../cli/DemoImages.ts"
import {
  type DemoAnswer,
  foundByShare,
  overranShare,
  overrunMs,
  placeOf,
  places,
  repliesOf,
  rightShare,
  unanswered,
  waitedShare,
  withinObjective,
} from "../cli/DemoMeasures.ts"
import { demoDefaults, demoImageCount, profilesOf, startBox, stream } from "../cli/DemoRun.ts"
import { demoPhases, demoSlos } from "../cli/DemoScript.ts"
import { Finder, type InferReply } from "../subjects/InferMessages.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  type Check,
  median,
  quantile,
  type Row,
} from "./Bench.ts"
import { svgDocument } from "./Charts.ts"
import { cpuMeter } from "./chaos/Machine.ts"
import { demoChart } from "./DemoChart.ts"
import * as Flags from "./Flags.ts"

interface Settings {
  readonly runs: number
  /** Of all phases of a run together. */
  readonly seconds: number
  readonly seed: number
}

const settingsOf = ({ quick, seed, arguments: given }: BenchOptions): Settings => ({
  runs: Number(given.get("runs") ?? (quick ? 1 : 3)),
  seconds: Number(given.get("seconds") ?? (quick ? 12 : demoDefaults.seconds)),
  seed,
})

const drawnText = "drawn images, synthetic: they have no right answer, so that right is left out"

/** A swarm of its own, from the start to the end of the script. */
const one = (s: Settings, run: number) =>
  Effect.gen(function* () {
    const { description, images } = yield* demoImages("", demoImageCount, s.seed + run)
    const options = { ...demoDefaults, seconds: s.seconds }
    const box = yield* startBox(options)
    const cores = cpuMeter()
    const quiet = { phase: () => Effect.void, answer: () => Effect.void }
    const answers = yield* stream(box, images, options, quiet)
    console.log(`run ${run + 1} of ${s.runs}: ${answers.length} requests`)
    const pictures = images.some((i) => i.label !== undefined) ? description : drawnText
    return { answers, pictures, cores: cores() }
  }).pipe(Effect.scoped)

/** By name. A latency that nothing was answered with, and right answers that are not known, are left out. */
type Numbers = Readonly<Record<string, number>>

const latencies = (kind: string, replies: ReadonlyArray<InferReply>): Numbers => {
  const ms = replies.map((r) => r.latencyMs)
  return ms.length === 0
    ? {}
    : { [`${kind} p50 ms`]: quantile(ms, 0.5), [`${kind} p95 ms`]: quantile(ms, 0.95) }
}

const countsOf = (answers: ReadonlyArray<DemoAnswer>) => ({
  requests: answers.length,
  unanswered: unanswered(answers),
})

/** Shares (0..1) and times. */
const numbersOf = (answers: ReadonlyArray<DemoAnswer>): Numbers => {
  const replies = repliesOf(answers)
  const found = replies.map(placeOf)
  const right = rightShare(answers)
  const shareAt = (place: string) => found.filter((p) => p === place).length / Math.max(1, found.length)
  return {
    "within objective": withinObjective(answers),
    ...(right === undefined ? {} : { right }),
    ...latencies(
      "latency SLO",
      replies.filter((r) => r.slo.latencyMs !== undefined),
    ),
    ...latencies(
      "accuracy SLO",
      replies.filter((r) => r.slo.accuracy !== undefined),
    ),
    ...Object.fromEntries(Finder.literals.map((finder) => [finder, foundByShare(replies, finder)])),
    waited: waitedShare(replies),
    ...Object.fromEntries(places.map((place) => [place, shareAt(place)])),
    overran: overranShare(replies),
  }
}

/** Counts are those of all runs; shares and times are medians of the runs. */
const rowOf = (links: string, runs: ReadonlyArray<ReadonlyArray<DemoAnswer>>): Row => {
  const each = runs.map(numbersOf)
  const names = [...new Set(each.flatMap((n) => Object.keys(n)))]
  const medians = names.map((name) => [name, median(each.flatMap((n) => n[name] ?? []))])
  return { links, ...countsOf(runs.flat()), ...Object.fromEntries(medians) }
}

const rowsOf = (runs: ReadonlyArray<ReadonlyArray<DemoAnswer>>): ReadonlyArray<Row> => [
  ...demoPhases.map(({ title }) =>
    rowOf(
      title,
      runs.map((answers) => answers.filter((a) => a.phase === title)),
    ),
  ),
  rowOf("all", runs),
  ...(runs.length < 2 ? [] : runs.map((answers, i) => rowOf(`all, run ${i + 1}`, [answers]))),
]

const checksOf = (all: Row | undefined): ReadonlyArray<Check> => {
  const value = (name: string) => Number(all?.[name] ?? Number.NaN)
  const right: Check = { name: "right", value: value("right"), op: ">=", bound: 0.83 }
  return [
    { name: "within_objective", value: value("within objective"), op: ">=", bound: 0.9 },
    ...(all?.["right"] === undefined ? [] : [right]),
    { name: "unanswered", value: value("unanswered"), op: "=", bound: 0 },
  ]
}

const notesOf = (s: Settings, pictures: string, cores: ReadonlyArray<number>): ReadonlyArray<string> => [
  `${s.runs} runs of ${s.seconds} s, after at most 8 s of warm-up each; counts are those of all runs, shares and times are medians of the runs`,
  `emulated devices: ${profilesOf(demoDefaults).join(", ")}; the first one serves, one client asks it without a pause, for ${JSON.stringify(demoSlos)} in turn`,
  `images: ${pictures}; up to ${demoImageCount} of them a run, chosen anew each time`,
  "within objective: of a latency, measured at the serving device; of an accuracy, what the predictor says of the submodel. right: the first class is the image's. Both are shares of all requests",
  "policy, repair, search, shared, built-in: who found the strategy first; waited: the answer waited for a decision; local, offloaded, split, tiled: where it was computed; shares of the answers",
  `overran: share of the answers with a task that this machine computed more than ${overrunMs} ms more slowly than the device that it emulates; this machine's cores were ${cores.map((c) => (100 * c).toFixed(0)).join(", ")} % busy, by whomever`,
]

const chartText = "the first of the runs; emulated Zero 2 W that serves, Pi 4 and Pi 5; shaped links"

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const s = settingsOf(options)
  const order = Array.from({ length: s.runs }, (_, i) => i)
  const seen = await Effect.runPromise(Effect.forEach(order, (i) => one(s, i)))
  const rows = rowsOf(seen.map((r) => r.answers))
  const all = rows.find((r) => r["links"] === "all")
  const cores = seen.map((r) => r.cores)
  return {
    kind: "measured",
    checks: checksOf(all),
    rows,
    notes: notesOf(s, seen[0]?.pictures ?? "", cores),
    figures: new Map([["demo.svg", svgDocument(demoChart(seen[0]?.answers ?? [], s.seconds, chartText))]]),
  }
}

export const bench: BenchModule = {
  name: "demo",
  proves: "how many of the demo's answers are within their objective, and how many are right",
  takes: "3 minutes",
  flags: {
    runs: Flags.count("N: each with a new swarm (default: 3)"),
    seconds: Flags.positive("N: of a run, all phases together (default: 30, as the demo)"),
  },
  run,
}
