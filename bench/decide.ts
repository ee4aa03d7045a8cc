/**
 * How long a decision takes and how good it is (figure 18): the shipped policy alone, with check and repair, and
 * evolutionary search (once-for-all's settings) until it has found something as good as either, on the same conditions in one run.
 */
import { join } from "node:path"
import { Effect } from "effect"
import type { SloKind } from "../policies/Condition.ts"
import { makeDecider } from "../policies/Decision.ts"
import { type Environment, makeEnvironment } from "../policies/Environment.ts"
import { canonicalize, encodeStrategy, type Genome } from "../policies/Genome.ts"
import { meetsSlo } from "../policies/Objective.ts"
import { cachedOracle, defaultOracle, type OracleOptions, toSlots } from "../policies/Oracle.ts"
import { readPolicy } from "../policies/PolicyArtifact.ts"
import { loadPolicy, policyProposer, shapeFor } from "../policies/PolicyRuntime.ts"
import { conditionOf, type Constraint, fitCondition, sloAtEase } from "../policies/Scenario.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import { type Score, scoreStrategies, validationConstraints } from "../policies/Validation.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  type Check,
  median,
  projectRoot,
} from "./Bench.ts"
import {
  type Decided,
  evolutionLimitMs,
  evolutionRow,
  type Evolved,
  evolved,
  figure18,
  timesAsLong,
} from "./EvolutionTimes.ts"
import * as Flags from "./Flags.ts"

/** Time for a decision with check and repair, ms. */
const budgetMs = 10

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
): Promise<ReadonlyArray<Decided>> => {
  const { scenario, kind, world } = environment
  const decider = makeDecider(world, [policy.proposer])
  const all: Array<Decided> = []
  for (const constraint of constraints) {
    const condition = conditionOf(scenario, constraint)
    const slo = sloAtEase(scenario, kind, constraint[0] ?? 0)
    const decoded = await timed(() => policy.runtime.decode([constraint]))
    const { result: decision, ms } = await timed(() => decider.decide(condition, slo, budgetMs))
    const ids = condition.devices.map((d) => d.id)
    const fitted = fitCondition(scenario, condition, slo)
    const genome = encodeStrategy(world.space, decision.strategy, ids)
    all.push({
      constraint,
      alone: canonicalize(world.space, decoded.result[0] ?? new Uint8Array(world.space.length)),
      repaired: toSlots(environment, genome, fitted?.deviceOfSlot ?? []),
      policyMs: decoded.ms,
      decideMs: ms,
      evaluations: decision.evaluations,
      source: decision.source,
    })
  }
  return all
}

/** The best that is known for each condition: the oracle's strategy, or what was decided where that is better. */
const bestKnown = (
  environment: Environment,
  decided: ReadonlyArray<Decided>,
  oracle: ReadonlyArray<Genome>,
): ReadonlyArray<Genome> =>
  decided.map(({ constraint, alone, repaired }, i) => {
    const slo = sloAtEase(environment.scenario, environment.kind, constraint[0] ?? 0)
    const judged = [oracle[i] ?? alone, alone, repaired].map((genome) => {
      const result = environment.peek(constraint, canonicalize(environment.world.space, genome.slice()))
      return { genome, reward: result.reward, meets: meetsSlo(slo, result) }
    })
    const isBetter = (a: (typeof judged)[number], b: typeof a) =>
      a.reward > b.reward || (a.reward === b.reward && a.meets && !b.meets)
    return judged.reduce((best, one) => (isBetter(one, best) ? one : best)).genome
  })

const share = (score: Score, best: Score) => ({
  reward: score.reward / best.reward,
  compliance: score.compliance / best.compliance,
})

const rowOf = (
  environment: Environment,
  conditions: string,
  decided: ReadonlyArray<Decided>,
  oracle: ReadonlyArray<Genome>,
) => {
  const constraints = decided.map((d) => d.constraint)
  const score = (genomes: ReadonlyArray<Genome>) => scoreStrategies(environment, constraints, genomes)
  const best = score(bestKnown(environment, decided, oracle))
  const alone = share(score(decided.map((d) => d.alone)), best)
  const repaired = share(score(decided.map((d) => d.repaired)), best)
  return {
    conditions,
    policy_compliance: alone.compliance,
    policy_reward: alone.reward,
    repaired_compliance: repaired.compliance,
    repaired_reward: repaired.reward,
    oracle_reward: share(score(oracle), best).reward,
    policy_p50_ms: median(decided.map((d) => d.policyMs)),
    repaired_p50_ms: median(decided.map((d) => d.decideMs)),
    evaluations_p50: median(decided.map((d) => d.evaluations)),
    as_proposed: decided.filter((d) => d.source === "policy").length / decided.length,
  }
}

/** `count` of them, evenly spread. */
const spread = <A>(all: ReadonlyArray<A>, count: number): ReadonlyArray<A> => {
  const every = Math.ceil(all.length / count)
  return all.filter((_, i) => i % every === 0)
}

const cacheFile = (hash: string) => join(projectRoot, ".cache", "policies", `oracle-${hash}.json`)

const checksOf = (
  all: ReadonlyArray<Decided>,
  { decided, alone, repaired }: Evolved,
  compliance: ReadonlyArray<number>,
): ReadonlyArray<Check> => {
  const ratios = {
    alone: timesAsLong(
      alone,
      decided.map((d) => d.policyMs),
    ),
    repaired: timesAsLong(
      repaired,
      decided.map((d) => d.decideMs),
    ),
  }
  return [
    { name: "p50_ms", value: median(all.map((d) => d.policyMs)), op: "<=", bound: 2 },
    { name: "repaired_p50_ms", value: median(all.map((d) => d.decideMs)), op: "<=", bound: 10 },
    { name: "evolution_ratio", value: ratios.alone, op: ">=", bound: 500 },
    { name: "evolution_over_repaired_decision", value: ratios.repaired, op: ">=", bound: 10 },
    { name: "repaired_compliance_over_oracle", value: Math.min(...compliance), op: ">=", bound: 0.99 },
  ]
}

const notesOf = (
  { manifest: { name, version, hidden, supernet } }: Loaded,
  { accuracyName }: Setting,
  { searchEvaluations, polishEvaluations }: OracleOptions,
  conditions: number,
): ReadonlyArray<string> => [
  `${name} ${version} (LSTM of ${hidden}) on supernet ${supernet.name} ${supernet.version}; accuracy: ${accuracyName}.`,
  `Compliance and reward are by the models, and shares of the best that is known: for each condition the best of the oracle's strategy (${searchEvaluations} evaluations, then ${polishEvaluations} more from what was found for all conditions) and the two that were decided; oracle_reward is the oracle's own share.`,
  `Times of single runs on one core, after a warm-up. Repair has ${budgetMs} ms in all, policy included.`,
  `Evolution ran on ${conditions} conditions, evenly from all three sets: the last rows give its median, its 90th percentile and the share of conditions where it got there within its 500 generations (and ${evolutionLimitMs / 1000} s). Where it did not, the time until it gave up counts: the ratios, and the bars of figure 18, are lower bounds.`,
  "evolution_ratio: until it is as good (within half a percent) as the policy alone, over the policy's own time; evolution_over_repaired_decision: as good as the repaired decision, over that decision's time. Medians over the same conditions: single runs of a fraction of a millisecond are sometimes held up.",
]

/** Validation constraints of three kinds, so many of each. */
const setsOf = (
  { scenario }: Setting,
  count: number,
): Readonly<Record<string, ReadonlyArray<Constraint>>> => ({
  "training grid, all remotes": validationConstraints(scenario, { count, grid: true, subsets: 0 }),
  "continuous, all remotes": validationConstraints(scenario, { count, grid: false, subsets: 0 }),
  "continuous, subsets": validationConstraints(scenario, { count, grid: false, subsets: 1 }),
})

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const name = options.arguments.get("scenario") ?? "swarm"
  const kind: SloKind = options.arguments.get("slo") === "accuracy" ? "accuracy" : "latency"
  const folder = options.arguments.get("policies") ?? join(projectRoot, "policies", "artifacts")
  const setting = loadSetting(name)
  const environment = makeEnvironment(setting.world, setting.scenario, kind)
  const policy = await load(setting, kind, folder)
  const count = options.quick ? 24 : 60
  const quickOracle = { searchEvaluations: 1500, polishEvaluations: 1000, seed: 1 }
  const effort = options.quick ? quickOracle : defaultOracle
  const rows: Array<ReturnType<typeof rowOf>> = []
  const all: Array<Decided> = []
  const some: Array<Decided> = []
  for (const [title, constraints] of Object.entries(setsOf(setting, count))) {
    const { genomes } = cachedOracle(environment, constraints, cacheFile, setting.models, effort)
    await decideAll(environment, policy, constraints.slice(0, 8))
    const decided = await decideAll(environment, policy, constraints)
    rows.push(rowOf(environment, title, decided, genomes))
    all.push(...decided)
    some.push(...spread(decided, options.quick ? 1 : count / 3))
  }
  const evolution = evolved(environment, some, options.seed)
  const compliance = rows.map((r) => r.repaired_compliance)
  return {
    kind: "both",
    rows: [
      ...rows,
      evolutionRow("evolution to the policy's quality", evolution.alone),
      evolutionRow("evolution to the repaired decision's quality", evolution.repaired),
    ],
    ...(options.quick ? {} : { figures: new Map([["paper-18.svg", figure18(evolution)]]) }),
    checks: checksOf(all, evolution, compliance),
    notes: notesOf(policy, setting, effort, some.length),
  }
}

export const bench: BenchModule = {
  name: "decide",
  proves: "a policy decides in milliseconds what evolutionary search needs far longer for (figure 18)",
  takes: "half a minute; a minute where the oracle is not cached",
  flags: {
    scenario: Flags.scenario("NAME, such as swarm, augmented, team, fleet (default: swarm)"),
    slo: Flags.oneOf("latency|accuracy (default: latency)", ["latency", "accuracy"]),
    policies: Flags.path("FOLDER with the policies (default: the shipped ones)"),
  },
  run,
}
