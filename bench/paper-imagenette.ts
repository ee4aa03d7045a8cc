/**
 * The paper's comparison with the supernet that comes with the project, run for real: links and SLOs spread over the scenarios
 * `swarm` and `augmented`, real weights, test images, a swarm in a box in slow motion. Ours beside fixed submodels at their best
 * cut: who is in time, and whose answers are right.
 */
import { Effect, Layer } from "effect"
import { Experience } from "../actors/Experience.ts"
import { type DemoImage, demoImages } from "../cli/DemoImages.ts"
import type { SwarmBox } from "../deploy/SwarmBox.ts"
import type { Condition, Slo, SloKind } from "../policies/Condition.ts"
import { decodeGenome } from "../policies/Genome.ts"
import { conditionOf, sloAtEase } from "../policies/Scenario.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import { validationConstraints } from "../policies/Validation.ts"
import { Bus } from "../subjects/Bus.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { type BenchModule, type BenchOptions, type BenchResult, mean, median, type Row } from "./Bench.ts"
import { barChart, besides, type Figure, svgDocument } from "./Charts.ts"
import { oursName, type ShippedMethod, shippedMethods } from "./paper/ShippedMethods.ts"
import { runSlowly, slowBox, slowModelMs, warmUps } from "./paper/SlowMotion.ts"

/** How many times slower than life, for the GPU of the desktop is much faster than one core of this machine; and points per kind of SLO. */
const scenarios = [
  ["swarm", 1, 10],
  ["augmented", 4, 5],
] as const
const kinds: ReadonlyArray<SloKind> = ["latency", "accuracy"]

interface Point {
  readonly scenario: string
  readonly condition: Condition
  readonly slo: Slo
}

interface Measured {
  readonly point: Point
  readonly method: string
  readonly plannedMs: number
  readonly plannedAccuracy: number
  /** As in life: what the model says that slow motion hides of the bus and the actors is added again. */
  readonly latenciesMs: ReadonlyArray<number>
  readonly gap: number
  readonly right: ReadonlyArray<boolean>
}

const pointsOf = (name: string, setting: Setting, count: number): ReadonlyArray<Point> =>
  kinds.flatMap((kind) =>
    validationConstraints(setting.scenario, { count, grid: false, subsets: 0 }).map((constraint) => ({
      scenario: name,
      condition: conditionOf(setting.scenario, constraint),
      slo: sloAtEase(setting.scenario, kind, constraint[0] ?? 0),
    })),
  )

interface Run {
  /** Of ours: how late its answers were, as a running planner knows it (half of those that are planned to the last moment are). */
  readonly experience: Experience
  readonly slow: number
  readonly setting: Setting
  readonly images: ReadonlyArray<DemoImage>
}

const measure = Effect.fnUntraced(function* (box: SwarmBox, point: Point, method: ShippedMethod, run: Run) {
  const { condition, slo } = point
  const { slow, images, experience } = run
  const isOurs = method.name === oursName
  const { space } = run.setting.world
  const chosen = method.choose(condition, isOurs ? experience.aim(slo) : slo)
  const ids = condition.devices.map((d) => d.id)
  const strategy = decodeGenome(space, chosen.genome, ids)
  const replies = yield* runSlowly(box, { slow, condition, strategy, images: images.map((i) => i.bytes) })
  const predictedMs = slowModelMs(space.spec, slow, condition, strategy)
  const hiddenMs = chosen.latencyMs - predictedMs
  const latenciesMs = replies.map((r) => r.latencyMs + hiddenMs)
  if (isOurs) for (const ms of latenciesMs) experience.observe(chosen.latencyMs, ms)
  const measured: Measured = {
    point,
    method: method.name,
    plannedMs: chosen.latencyMs,
    plannedAccuracy: chosen.accuracy,
    latenciesMs,
    gap: median(replies.map((r) => r.latencyMs)) / predictedMs - 1,
    right: replies.map((r, i) => r.answer === images[i]?.label),
  }
  console.log(told(measured))
  return measured
})

const sloText = (slo: Slo): string =>
  slo.kind === "latency" ? `${slo.latencyMs.toFixed(0)} ms` : `${(100 * slo.accuracy).toFixed(1)} %`

const told = (m: Measured): string =>
  `${m.point.scenario}, ${sloText(m.point.slo)}, ${m.method}: planned ${m.plannedMs.toFixed(1)} ms, run ${median(m.latenciesMs).toFixed(1)} ms, ${m.right.filter(Boolean).length} of ${m.right.length} right`

const runScenario = Effect.fnUntraced(function* (
  [name, slow]: (typeof scenarios)[number],
  count: number,
  images: ReadonlyArray<DemoImage>,
  seed: number,
) {
  const setting = loadSetting(name)
  const points = pointsOf(name, setting, count)
  const [first] = points
  if (first === undefined) return []
  const box = yield* slowBox(slow, first.condition)
  const perPoint = images.length / points.length
  const methods = shippedMethods(setting.world, seed)
  const experience = new Experience()
  const runs = points.flatMap((point, i) =>
    methods.map((method) =>
      measure(box, point, method, {
        experience,
        slow,
        setting,
        images: images.slice(i * perPoint, (i + 1) * perPoint),
      }),
    ),
  )
  // While sessions are still being built, the first answers take longer: these do not count, and ours learns nothing from them.
  const thrownAway = shippedMethods(setting.world, seed).map((method) =>
    measure(box, first, method, {
      experience: new Experience(),
      slow,
      setting,
      images: images.slice(0, perPoint),
    }),
  )
  const started = Effect.andThen(Effect.sleep("8 seconds"), Effect.all(thrownAway)).pipe(
    Effect.tap(() => Effect.sync(() => console.log("the answers above do not count"))),
  )
  return yield* Effect.andThen(started, Effect.all(runs)).pipe(
    Effect.provide(Layer.fresh(Bus.layer(box.device(DeviceId.make("local")).client))),
  )
}, Effect.scoped)

const share = (cells: ReadonlyArray<boolean>): number =>
  cells.filter(Boolean).length / Math.max(1, cells.length)

/** Of one method: its replies, and whether each is in time (all of them, where the SLO is an accuracy). */
const repliesOf = (some: ReadonlyArray<Measured>) =>
  some.flatMap(({ point, right, latenciesMs }) =>
    right.map((ok, i) => {
      const ms = latenciesMs[i] ?? Number.POSITIVE_INFINITY
      return { ok, inTime: point.slo.kind === "accuracy" || ms <= point.slo.latencyMs, ms }
    }),
  )

const summaryOf = (some: ReadonlyArray<Measured>) => {
  const replies = repliesOf(some)
  return {
    inTime: share(replies.map((r) => r.inTime)),
    right: share(replies.map((r) => r.ok)),
    rightInTime: share(replies.map((r) => r.ok && r.inTime)),
    accurateEnough: share(
      some.map((m) => m.point.slo.kind === "latency" || m.plannedAccuracy >= m.point.slo.accuracy),
    ),
    plannedAccuracy: mean(some.map((m) => m.plannedAccuracy)),
    meanMs: mean(replies.map((r) => r.ms)),
  }
}

type Summary = ReturnType<typeof summaryOf>

interface Group {
  readonly scenario: string
  readonly kind: SloKind
  readonly method: string
  readonly summary: Summary
}

const groupsOf = (all: ReadonlyArray<Measured>): ReadonlyArray<Group> =>
  scenarios.flatMap(([scenario]) =>
    kinds.flatMap((kind) =>
      [...new Set(all.map((m) => m.method))].map((method) => {
        const some = all.filter(
          (m) => m.point.scenario === scenario && m.point.slo.kind === kind && m.method === method,
        )
        return { scenario, kind, method, summary: summaryOf(some) }
      }),
    ),
  )

const percent = (value: number): number => Number((100 * value).toFixed(1))

const rowOf = ({ scenario, kind, method, summary: s }: Group): Row => ({
  scenario,
  slo: kind,
  method,
  ...(kind === "latency"
    ? { "in time %": percent(s.inTime), "right and in time %": percent(s.rightInTime) }
    : { "accurate enough %": percent(s.accurateEnough), "mean ms": Number(s.meanMs.toFixed(1)) }),
  "right %": percent(s.right),
  "predicted %": percent(s.plannedAccuracy),
})

const draw = (groups: ReadonlyArray<Group>): Figure => {
  const panel = (scenario: string, kind: SloKind) => {
    const some = groups.filter((g) => g.scenario === scenario && g.kind === kind)
    const labels = {
      title: `${scenario}, ${kind} SLOs`,
      subtitle:
        "run on the emulated swarm: settings of links and SLO spread over the scenario, 20 test images each",
      x: "",
      y: kind === "latency" ? "% of replies" : "% / ms",
      width: 620,
      height: 300,
    }
    const bar = (name: string, of: (s: Summary) => number) => ({
      name,
      values: some.map((g) => of(g.summary)),
    })
    const series =
      kind === "latency"
        ? [bar("in time", (s) => 100 * s.inTime), bar("right and in time", (s) => 100 * s.rightInTime)]
        : [
            bar("settings in which it is accurate enough, %", (s) => 100 * s.accurateEnough),
            bar("mean latency, ms", (s) => s.meanMs),
          ]
    return barChart(
      labels,
      some.map((g) => g.method.replace(" submodel, best cut", "")),
      series,
    )
  }
  return besides(
    scenarios.flatMap(([scenario]) => kinds.map((kind) => panel(scenario, kind))),
    2,
  )
}

/** Of ours over the best of the fixed ones: answers that are right and in time, in points. */
const leads = (groups: ReadonlyArray<Group>): ReadonlyArray<number> =>
  scenarios.map(([scenario]) => {
    const some = groups.filter((g) => g.scenario === scenario && g.kind === "latency")
    const [ours, theirs] = [true, false].map((mine) =>
      Math.max(...some.filter((g) => (g.method === oursName) === mine).map((g) => g.summary.rightInTime)),
    )
    return 100 * ((ours ?? 0) - (theirs ?? 0))
  })

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const repeats = quick ? 3 : 20
  const counts = scenarios.map(([, , count]) => (quick ? 1 : count))
  const wanted = counts.map((count) => count * kinds.length * repeats)
  const total = wanted.reduce((a, b) => a + b, 0)
  const { images, description } = await Effect.runPromise(demoImages("", total, seed))
  if (images.length < total)
    throw new Error(`${description}: too few with a right answer; docs/data.md says where Imagenette is from`)
  const all: Array<Measured> = []
  for (const [i, scenario] of scenarios.entries()) {
    const from = wanted.slice(0, i).reduce((a, b) => a + b, 0)
    const own = images.slice(from, from + (wanted[i] ?? 0))
    all.push(...(await Effect.runPromise(runScenario(scenario, counts[i] ?? 0, own, seed))))
  }
  const groups = groupsOf(all)
  const ours = all.filter((m) => m.method === oursName)
  const summary = summaryOf(ours)
  const slow = scenarios.map(([name, times]) => `${times} times (${name})`).join(", ")
  return {
    kind: "both",
    checks: [
      { name: "points", value: ours.length, op: ">=", bound: 30 },
      { name: "median_abs_rel_gap", value: median(all.map((m) => Math.abs(m.gap))), op: "<=", bound: 0.08 },
      {
        name: "accuracy_gap_points",
        value: 100 * Math.abs(summary.right - summary.plannedAccuracy),
        op: "<=",
        bound: 3,
      },
      { name: "least_lead_right_in_time_points", value: Math.min(...leads(groups)), op: ">", bound: 0 },
    ],
    rows: groups.map(rowOf),
    notes: [
      `${ours.length} settings, ${repeats} inferences of each method after ${warmUps} warm-ups, each setting with images of its own (${description}); devices and links slowed ${slow}, times divided by that again, and what the model says that this hides of the bus and the actors added`,
      `ours: the planner's search for the latency SLO, less what its answers so far were late by (actors/Experience.ts, as in a running planner; the nearest miss, where nothing keeps that), or for the accuracy SLO; in each scenario it begins without any answers of its own, and one round of all methods before that does not count; the others: one submodel, cut between the serving device and the best remote where the model says that it is fastest (of the cuts and widths of values that are accurate enough, where the SLO is an accuracy)`,
      "right %: of the images; predicted %: what the accuracy predictor says of the strategies; accurate enough: settings in which that reaches the SLO",
      "accuracy_gap_points: the images are drawn from the folder (val) on which the predictor's table was measured, so this holds the strategies against the table, and says nothing of other images",
    ],
    figures: new Map([["paper-imagenette.svg", svgDocument(draw(groups))]]),
  }
}

export const bench: BenchModule = {
  name: "paper-imagenette",
  proves: "the shipped supernet, run: how often ours and fixed submodels are right and in time",
  takes: "9 minutes",
  run,
}
