/**
 * The paper's figures 11 and 12: average reward and normalised compliance against environment steps, for SUPREME, GCSL and
 * PPO, same environment, network, steps and seeds; and, with `--ablation`, SUPREME without each of its parts. Validation
 * constraints are spread evenly over the space; shares are of an oracle's (long searches on each of them).
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Result, Schema } from "effect"
import { scenarioNames } from "../policies/Scenario.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import type { SupremeSettings } from "../policies/Supreme.ts"
import {
  type Algorithm,
  train,
  trainDefaults,
  type TrainOptions,
  type ValidationReport,
} from "../policies/Train.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  mean,
  projectRoot,
  type Row,
} from "./Bench.ts"
import { learningCurves } from "./LearningCurves.ts"

interface Contestant {
  readonly name: string
  readonly algorithm: Algorithm
  readonly supreme?: Partial<SupremeSettings>
}

const rivals: ReadonlyArray<Contestant> = [
  { name: "SUPREME", algorithm: "supreme" },
  { name: "GCSL", algorithm: "gcsl" },
  { name: "PPO", algorithm: "ppo" },
]

const ablations: ReadonlyArray<Contestant> = [
  { name: "SUPREME", algorithm: "supreme" },
  { name: "no sharing", algorithm: "supreme", supreme: { replay: { share: false, prune: false } } },
  { name: "no pruning", algorithm: "supreme", supreme: { replay: { prune: false } } },
  { name: "no mutation", algorithm: "supreme", supreme: { rollouts: 128, mutations: 0 } },
  { name: "no curriculum", algorithm: "supreme", supreme: { curriculum: 0 } },
  { name: "no bootstrap", algorithm: "supreme", supreme: { bootstrap: false } },
]

/** A quarter of the steps are roll-outs, the rest mutations, which cost no network time. */
const budget = { stepsPerIteration: 128, batch: 64, hidden: 64 }
const supremeShare = { rollouts: 32, mutations: 96, explore: 1 }

const Kinds = Schema.Literals(["latency", "accuracy"])

const optionsOf = (bench: BenchOptions, contestant: Contestant, seed: number): TrainOptions => {
  const iterations = Number(bench.arguments.get("iterations") ?? (bench.quick ? 60 : 200))
  const kind = Schema.decodeUnknownResult(Kinds)(bench.arguments.get("slo") ?? "latency")
  return {
    ...trainDefaults,
    ...budget,
    algorithm: contestant.algorithm,
    kind: Result.getOrElse(kind, () => "latency" as const),
    seed,
    iterations,
    validateEvery: Math.max(10, Math.round(iterations / 15)),
    validationCount: bench.quick ? 32 : 128,
    oracle: {
      searchEvaluations: bench.quick ? 1000 : 6000,
      polishEvaluations: bench.quick ? 1000 : 4000,
      seed: 1,
    },
    supreme: { ...supremeShare, ...contestant.supreme },
  }
}

const summary = (
  curves: ReadonlyArray<ReadonlyArray<ValidationReport>>,
  at: (r: ValidationReport) => number,
) => {
  const last = curves.flatMap((c) => c.slice(-1).map(at))
  return { mean: mean(last), spread: Math.max(...last) - Math.min(...last) }
}

/** Mean over the whole curve: who is ahead from early on, not only at the end. */
const area = (curves: ReadonlyArray<ReadonlyArray<ValidationReport>>): number =>
  mean(curves.map((c) => mean(c.map((r) => r.overOracle.reward))))

/** A training takes minutes: its curve is kept, so that an interrupted bench goes on where it was. */
const curveOf = async (setting: Setting, options: TrainOptions): Promise<ReadonlyArray<ValidationReport>> => {
  const key = JSON.stringify([setting.scenario, setting.models, options])
  const file = join(
    projectRoot,
    ".cache",
    "policies",
    `curve-${createHash("sha256").update(key).digest("hex").slice(0, 16)}.json`,
  )
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<ValidationReport>
  const { curve } = await train(setting, options)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify(curve))
  return curve
}

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const scenarios = (
    options.arguments.get("scenarios") ??
    (options.quick ? "augmented-imagenet" : "augmented-imagenet,swarm-imagenet")
  ).split(",")
  const seeds = Array.from(
    { length: Number(options.arguments.get("seeds") ?? (options.quick ? 1 : 3)) },
    (_, i) => i + options.seed,
  )
  const contestants = options.arguments.has("ablation") ? ablations : rivals
  const rows: Array<Row> = []
  const figures = new Map<string, string>()
  const slo = options.arguments.get("slo") ?? "latency"
  for (const scenario of scenarios) {
    const setting = loadSetting(scenario)
    const all: Array<{
      readonly name: string
      readonly curves: ReadonlyArray<ReadonlyArray<ValidationReport>>
    }> = []
    for (const contestant of contestants) {
      const curves: Array<ReadonlyArray<ValidationReport>> = []
      for (const seed of seeds) curves.push(await curveOf(setting, optionsOf(options, contestant, seed)))
      const [reward, compliance] = [
        summary(curves, (r) => r.overOracle.reward),
        summary(curves, (r) => r.overOracle.compliance),
      ]
      const last = curves[0]?.at(-1)
      rows.push({
        scenario,
        slo,
        method: contestant.name,
        reward_over_oracle: reward.mean,
        reward_spread: reward.spread,
        compliance_over_oracle: compliance.mean,
        compliance_spread: compliance.spread,
        reward_mean_of_curve: area(curves),
        environment_steps: last?.steps ?? 0,
        seconds: mean(curves.map((c) => c.at(-1)?.seconds ?? 0)),
      })
      console.log(JSON.stringify(rows.at(-1)))
      all.push({ name: contestant.name, curves })
    }
    const suffix = options.arguments.has("ablation") ? "-ablation" : ""
    figures.set(
      `supreme-${scenario}-${slo}${suffix}.svg`,
      learningCurves(`${scenario}, ${slo} SLO`, `mean and range of ${seeds.length} seeds, modelled`, all),
    )
  }
  const value = (method: string, column: string) =>
    rows.filter((r) => r["method"] === method).map((r) => Number(r[column]))
  const lead = (other: string) =>
    Math.min(
      ...value("SUPREME", "reward_over_oracle").map(
        (r, i) => r - (value(other, "reward_over_oracle")[i] ?? 0),
      ),
    )
  return {
    kind: "modelled",
    rows,
    figures,
    checks: [
      {
        name: "compliance_over_oracle",
        value: Math.min(...value("SUPREME", "compliance_over_oracle")),
        op: ">=",
        bound: 0.97,
      },
      {
        name: "reward_over_oracle",
        value: Math.min(...value("SUPREME", "reward_over_oracle")),
        op: ">=",
        bound: 0.97,
      },
      ...(options.arguments.has("ablation")
        ? []
        : [
            { name: "lead_over_gcsl", value: lead("GCSL"), op: ">" as const, bound: 0 },
            { name: "lead_over_ppo", value: lead("PPO"), op: ">" as const, bound: 0 },
          ]),
      { name: "seeds", value: seeds.length, op: ">=", bound: 3 },
    ],
    notes: [
      `Scenarios ${scenarioNames.filter((n) => scenarios.includes(n)).join(", ")}; latency by the model in devices/latency, ImageNet accuracy by the regression of OFA's predictor.`,
      `LSTM of ${budget.hidden} units for all methods, ${budget.batch} trajectories per update, ${budget.stepsPerIteration} environment steps per iteration (SUPREME: 32 roll-outs, 96 mutations). Greedy decoding of averaged weights, no repair.`,
      "The machine was shared: seconds are no speed measurement.",
    ],
  }
}

export const bench: BenchModule = {
  name: "supreme",
  proves: "SUPREME learns better policies than GCSL and PPO from the same environment steps (figures 11, 12)",
  takes: "half an hour; --slo accuracy, --ablation, --seeds N, --iterations N, --scenarios A,B",
  run,
}
