/**
 * How long a decision takes and how good it is (figure 18): the shipped policy alone, with check and repair, and
 * evolutionary search (once-for-all's settings) until it has found something as good as either, on the same conditions in one run.
 */
import { join } from "node:path"
import { Effect } from "effect"
import type { SloKind } from "../policies/Condition.ts"
import { makeDecider } from "../policies/Decision.ts"
import { type Environment, makeEnvironment, toDevices } from "../policies/Environment.ts"
import { evolve } from "../policies/Evolution.ts"
import { canonicalize, encodeStrategy, type Genome } from "../policies/Genome.ts"
import { cachedOracle, toSlots } from "../policies/Oracle.ts"
import { readPolicy } from "../policies/PolicyArtifact.ts"
import { loadPolicy, policyProposer, shapeFor } from "../policies/PolicyRuntime.ts"
import { conditionOf, type Constraint, fitCondition, sloAtEase } from "../policies/Scenario.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import { type Score, scoreStrategies, validationConstraints } from "../policies/Validation.ts"
import { judge } from "../policies/World.ts"
import { seededRandom } from "../supernet/Random.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  mean,
  median,
  projectRoot,
  quantile,
  type Row,
} from "./Bench.ts"
import { barChart, svgDocument } from "./Charts.ts"
import * as Flags from "./Flags.ts"

/** Time for a decision with check and repair, ms. */
const budgetMs = 10
/** Evolution gives up after this; the ratio is then a lower bound. */
const evolutionLimitMs = 10_000

const load = async (setting: Setting, kind: SloKind, folder: string) => {
  const artifact = await Effect.runPromise(readPolicy(join(folder, `${setting.scenario.name}-${kind}`)))
  const { space } = setting.world
  const runtime = await loadPolicy(
    artifact.onnx,
    shapeFor(artifact.scenario, space, artifact.manifest.hidden),
  )
  const identity = { name: artifact.manifest.name, kind, scenario: artifact.scenario }
  return { runtime, proposer: policyProposer(runtime, setting.world, identity), manifest: artifact.manifest }
}
type Loaded = Awaited<ReturnType<typeof load>>

const timed = async <A>(run: () => Promise<A>) => {
  const start = performance.now()
  const result = await run()
  return { result, ms: performance.now() - start }
}

const decideAll = async (
  environment: Environment,
  policy: Loaded,
  constraints: ReadonlyArray<Constraint>,
) => {
  const { scenario, kind, world } = environment
  const decider = makeDecider(world, [policy.proposer])
  const policyMs: Array<number> = []
  const decideMs: Array<number> = []
  const evaluations: Array<number> = []
  const sources = new Map<string, number>()
  const alone: Array<Genome> = []
  const repaired: Array<Genome> = []
  for (const constraint of constraints) {
    const condition = conditionOf(scenario, constraint)
    const slo = sloAtEase(scenario, kind, constraint[0] ?? 0)
    const decoded = await timed(() => policy.runtime.decode([constraint]))
    policyMs.push(decoded.ms)
    alone.push(canonicalize(world.space, decoded.result[0] ?? new Uint8Array(world.space.length)))
    const { result: decision, ms } = await timed(() => decider.decide(condition, slo, budgetMs))
    decideMs.push(ms)
    sources.set(decision.source, (sources.get(decision.source) ?? 0) + 1)
    evaluations.push(decision.evaluations)
    const ids = condition.devices.map((d) => d.id)
    const fitted = fitCondition(scenario, condition, slo)
    const genome = encodeStrategy(world.space, decision.strategy, ids)
    repaired.push(toSlots(environment, genome, fitted?.deviceOfSlot ?? []))
  }
  return { policyMs, decideMs, alone, repaired, evaluations, sources }
}

/** Time until evolution has what `goal` has, on a few conditions; censored at the limit. */
const evolutionTimes = (
  environment: Environment,
  constraints: ReadonlyArray<Constraint>,
  goal: ReadonlyArray<Genome>,
  seed: number,
) => {
  const { scenario, kind, world } = environment
  const random = seededRandom(seed)
  return constraints.map((constraint, i) => {
    const condition = conditionOf(scenario, constraint)
    const judged = judge(world, condition, sloAtEase(scenario, kind, constraint[0] ?? 0))
    const fitted = fitCondition(scenario, condition, judged.slo)
    const placed = toDevices(world, goal[i] ?? new Uint8Array(world.space.length), fitted?.deviceOfSlot ?? [])
    // As good: within half a percent of what is left free, accuracy or latency, or of the miss.
    const wanted = judged.score(placed)
    const goodEnough = wanted - 0.005 * Math.abs(wanted)
    const start = performance.now()
    const found = evolve(judged, random, { milliseconds: evolutionLimitMs }, goodEnough)
    return {
      ms: performance.now() - start,
      reached: found.score >= goodEnough,
      generations: found.generations,
    }
  })
}

const share = (score: Score, oracle: Score) => ({
  reward: score.reward / oracle.reward,
  compliance: score.compliance / oracle.compliance,
})

/** Figure 18 of the paper: the time for a decision. */
const figure18 = (
  policyMs: ReadonlyArray<number>,
  decideMs: ReadonlyArray<number>,
  { alone, repaired }: Evolved,
) => {
  const methods = {
    policy: policyMs,
    "evolution, as good": alone.map((e) => e.ms),
    "policy, check, repair": decideMs,
    "evolution, as good as that": repaired.map((e) => e.ms),
  }
  const labels = {
    title: "Figure 18: time for a decision",
    subtitle: "measured on one core; evolutionary search until it is as good as the method on its left",
    x: "",
    y: "ms (log)",
  }
  const of = (at: (ms: ReadonlyArray<number>) => number) => Object.values(methods).map(at)
  return svgDocument(
    barChart(
      labels,
      Object.keys(methods),
      [
        { name: "median", values: of(median) },
        { name: "90th percentile", values: of((ms) => quantile(ms, 0.9)) },
      ],
      { log: true, min: 0.5 },
    ),
  )
}

/** What evolution took for what the policy reaches alone, and for what the decision reaches, beside their own times, ms. */
interface Evolved {
  readonly alone: ReturnType<typeof evolutionTimes>
  readonly repaired: ReturnType<typeof evolutionTimes>
  readonly policyMs: ReadonlyArray<number>
  readonly decideMs: ReadonlyArray<number>
}

/** On `count` of the conditions, evenly spread. */
const evolved = (
  environment: Environment,
  constraints: ReadonlyArray<Constraint>,
  done: Awaited<ReturnType<typeof decideAll>>,
  count: number,
  seed: number,
): Evolved => {
  const every = Math.ceil(constraints.length / count)
  const some = <A>(all: ReadonlyArray<A>) => all.filter((_, i) => i % every === 0)
  const times = (goals: ReadonlyArray<Genome>) =>
    evolutionTimes(environment, some(constraints), some(goals), seed)
  return {
    alone: times(done.alone),
    repaired: times(done.repaired),
    policyMs: some(done.policyMs),
    decideMs: some(done.decideMs),
  }
}

const evolutionRow = (conditions: string, times: ReturnType<typeof evolutionTimes>): Row => ({
  conditions,
  evolution_p50_ms: median(times.map((e) => e.ms)),
  evolution_p90_ms: quantile(
    times.map((e) => e.ms),
    0.9,
  ),
  evolution_reached: mean(times.map((e) => (e.reached ? 1 : 0))),
})

/** How many times as long evolution takes: the median of the conditions. */
const ratio = (times: ReturnType<typeof evolutionTimes>, own: ReadonlyArray<number>) =>
  median(times.map((e, i) => e.ms / (own[i] ?? Number.NaN)))

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const name = options.arguments.get("scenario") ?? "swarm"
  const kind: SloKind = options.arguments.get("slo") === "accuracy" ? "accuracy" : "latency"
  const folder = options.arguments.get("policies") ?? join(projectRoot, "policies", "artifacts")
  const setting = loadSetting(name)
  const environment = makeEnvironment(setting.world, setting.scenario, kind)
  const policy = await load(setting, kind, folder)
  const count = options.quick ? 24 : 60
  const oracleOptions = {
    searchEvaluations: options.quick ? 1500 : 3000,
    polishEvaluations: options.quick ? 1000 : 2000,
    seed: 1,
  }
  const sets = {
    "training grid, all remotes": validationConstraints(setting.scenario, { count, grid: true, subsets: 0 }),
    "continuous, all remotes": validationConstraints(setting.scenario, { count, grid: false, subsets: 0 }),
    "continuous, subsets": validationConstraints(setting.scenario, { count, grid: false, subsets: 1 }),
  }
  const rows: Array<Row> = []
  const times: { policy: Array<number>; decide: Array<number> } = { policy: [], decide: [] }
  const compliances: Array<number> = []
  let evolution: Evolved | undefined
  for (const [title, constraints] of Object.entries(sets)) {
    const cache = (hash: string) => join(projectRoot, ".cache", "policies", `oracle-${hash}.json`)
    const oracle = cachedOracle(environment, constraints, cache, setting.models, oracleOptions).score
    await decideAll(environment, policy, constraints.slice(0, 8))
    const done = await decideAll(environment, policy, constraints)
    times.policy.push(...done.policyMs)
    times.decide.push(...done.decideMs)
    const [alone, repaired] = [
      share(scoreStrategies(environment, constraints, done.alone), oracle),
      share(scoreStrategies(environment, constraints, done.repaired), oracle),
    ]
    compliances.push(repaired.compliance)
    rows.push({
      conditions: title,
      policy_compliance: alone.compliance,
      policy_reward: alone.reward,
      repaired_compliance: repaired.compliance,
      repaired_reward: repaired.reward,
      policy_p50_ms: median(done.policyMs),
      repaired_p50_ms: median(done.decideMs),
      evaluations_p50: median(done.evaluations),
      as_proposed: (done.sources.get("policy") ?? 0) / count,
    })
    evolution ??= evolved(environment, constraints, done, options.quick ? 3 : count, options.seed)
  }
  if (evolution === undefined) throw new RangeError("no conditions")
  rows.push(
    evolutionRow("evolution to the policy's quality", evolution.alone),
    evolutionRow("evolution to the repaired decision's quality", evolution.repaired),
  )
  return {
    kind: "both",
    rows,
    ...(options.quick
      ? {}
      : { figures: new Map([["paper-18.svg", figure18(times.policy, times.decide, evolution)]]) }),
    checks: [
      { name: "p50_ms", value: median(times.policy), op: "<=", bound: 2 },
      { name: "repaired_p50_ms", value: median(times.decide), op: "<=", bound: 10 },
      { name: "evolution_ratio", value: ratio(evolution.alone, evolution.policyMs), op: ">=", bound: 500 },
      {
        name: "evolution_over_repaired_decision",
        value: ratio(evolution.repaired, evolution.decideMs),
        op: ">=",
        bound: 10,
      },
      { name: "repaired_compliance_over_oracle", value: Math.min(...compliances), op: ">=", bound: 0.99 },
    ],
    notes: [
      `${policy.manifest.name} ${policy.manifest.version} (LSTM of ${policy.manifest.hidden}) on supernet ${policy.manifest.supernet.name} ${policy.manifest.supernet.version}; accuracy: ${setting.accuracyName}.`,
      `Times of single runs on one core, after a warm-up. Quality by the models. Repair has ${budgetMs} ms in all, policy included.`,
      `Evolution: the last rows give its median, its 90th percentile and the share of conditions where it got there within its 500 generations (and ${evolutionLimitMs / 1000} s); the ratios count the others with the time until it gave up.`,
      "evolution_ratio: until it is as good as the policy alone, over the policy's own time; evolution_over_repaired_decision: as good as the repaired decision, over that decision's time. Medians over the same conditions: single runs of a fraction of a millisecond are sometimes held up.",
    ],
  }
}

export const bench: BenchModule = {
  name: "decide",
  proves: "a policy decides in milliseconds what evolutionary search needs far longer for (figure 18)",
  takes: "half a minute; ten minutes where the oracle is not cached",
  flags: {
    scenario: Flags.scenario("NAME, such as swarm, augmented, team, fleet (default: swarm)"),
    slo: Flags.oneOf("latency|accuracy (default: latency)", ["latency", "accuracy"]),
    policies: Flags.path("FOLDER with the policies (default: the shipped ones)"),
  },
  run,
}
