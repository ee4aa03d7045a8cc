/**
 * One step of the LSTM per block, its heads decoded in order, against one step per decision as in the paper: SUPREME trained
 * with both for the same iterations, the speed of an update, the time to decode a strategy.
 */
import { type Environment, makeEnvironment } from "../policies/Environment.ts"
import { imitate } from "../policies/Learner.ts"
import { mutate } from "../policies/Moves.ts"
import { PolicyNetwork } from "../policies/PolicyNetwork.ts"
import { policyModel } from "../policies/PolicyOnnx.ts"
import { loadPolicy } from "../policies/PolicyRuntime.ts"
import { parameterCount, policyShape, type StepUnit } from "../policies/PolicyShape.ts"
import { loadSetting } from "../policies/Setting.ts"
import { makeUpdater } from "../policies/Shards.ts"
import { supremeDefaults } from "../policies/Supreme.ts"
import { trainDefaults } from "../policies/Train.ts"
import { below, seededRandom } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"
import { trainingFlags } from "./Flags.ts"
import { compare, type Contestant, problemsOf } from "./PolicyCurves.ts"

/** The lower rate for the longer chain of steps too: whichever is better counts. */
const contestants: ReadonlyArray<Contestant & { readonly stepPer: StepUnit }> = [
  { name: "a step per block", algorithm: "supreme", stepPer: "block" },
  { name: "a step per decision", algorithm: "supreme", stepPer: "decision" },
  {
    name: "a step per decision, rate 0.006",
    algorithm: "supreme",
    stepPer: "decision",
    supreme: { rate: 0.006 },
  },
]

/** Where nothing else is said: one problem. */
const defaults = { scenarios: "swarm-imagenet", slo: "latency" }

/** What a buffer holds: mostly whole runs on one device, some cut. */
const examplesOf = (environment: Environment, count: number, seed: number) => {
  const random = seededRandom(seed)
  const { bootstrap, world } = environment
  return Array.from({ length: count }, (_, i) => {
    const constraint = environment.draw(random, { grid: true })
    const parent = bootstrap[i % bootstrap.length] ?? new Uint8Array(world.space.length)
    const moves = 1 + below(random, 12)
    return { constraint, genome: mutate(world.space, parent, environment.usable(constraint), random, moves) }
  })
}

/** Times of updates and of decoding one strategy, ms. They do not depend on what the weights are. */
const timing = async (environment: Environment, stepPer: StepUnit) => {
  const { world, scenario } = environment
  const shape = policyShape(world.space, scenario.remotes.length, trainDefaults.hidden, stepPer)
  const network = await PolicyNetwork.make(shape, seededRandom(1))
  const onnx = policyModel(network)
  const runtime = await loadPolicy(onnx, shape)
  const learn = makeUpdater(network)
  const examples = examplesOf(environment, supremeDefaults.batch, 2)
  const [updateMs, decideMs]: [Array<number>, Array<number>] = [[], []]
  return {
    facts: { parameters: parameterCount(shape), onnx_bytes: onnx.length },
    updateMs,
    decideMs,
    round: async () => {
      for (let n = 0; n < 10; n++) {
        const start = performance.now()
        await imitate(learn, examples, 1e-4)
        updateMs.push(performance.now() - start)
      }
      for (const { constraint } of examples) {
        const start = performance.now()
        await runtime.decode([constraint])
        decideMs.push(performance.now() - start)
      }
    },
  }
}

/** Both in turn, so that whatever else runs on the machine meets both. */
const timings = async (environment: Environment, rounds: number) => {
  const [block, decision] = [await timing(environment, "block"), await timing(environment, "decision")]
  for (const { round } of [block, decision]) await round()
  for (const times of [block.updateMs, block.decideMs, decision.updateMs, decision.decideMs]) times.length = 0
  for (let n = 0; n < rounds; n++) for (const { round } of [block, decision]) await round()
  const row = ({ facts, updateMs, decideMs }: typeof block) => ({
    updates_per_s: 1000 / median(updateMs),
    decide_p50_ms: median(decideMs),
    decide_p90_ms: quantile(decideMs, 0.9),
    ...facts,
  })
  return { block: row(block), decision: row(decision) }
}

const run = async (given: BenchOptions): Promise<BenchResult> => {
  const options = {
    ...given,
    arguments: new Map([
      ...Object.entries({ ...defaults, seeds: given.quick ? "1" : "2" }),
      ...given.arguments,
    ]),
  }
  const { rows, figures, notes } = await compare(
    options,
    contestants,
    ({ scenario, slo }) => `policy-steps-${scenario}-${slo}.svg`,
  )
  const [first] = problemsOf(options)
  const { world, scenario } = loadSetting(first?.scenario ?? defaults.scenarios)
  const speed = await timings(makeEnvironment(world, scenario, first?.slo ?? "latency"), given.quick ? 3 : 20)
  const unitOf = (row: Row) => contestants.find(({ name }) => name === row["method"])?.stepPer ?? "block"
  const best = (unit: StepUnit, column: string) =>
    Math.max(...rows.filter((row) => unitOf(row) === unit).map((row) => Number(row[column])))
  const ahead = (column: string) => best("block", column) - best("decision", column)
  return {
    kind: "both",
    rows: rows.map((row): Row => ({ ...row, ...speed[unitOf(row)] })),
    figures,
    checks: [
      { name: "reward_of_block_minus_decision", value: ahead("reward_over_oracle"), op: ">=", bound: -0.01 },
      {
        name: "compliance_of_block_minus_decision",
        value: ahead("compliance_over_oracle"),
        op: ">=",
        bound: -0.01,
      },
      {
        name: "updates_per_s_ratio",
        value: speed.block.updates_per_s / speed.decision.updates_per_s,
        op: ">",
        bound: 1,
      },
      {
        name: "decide_time_ratio",
        value: speed.decision.decide_p50_ms / speed.block.decide_p50_ms,
        op: ">",
        bound: 1,
      },
    ],
    notes: [
      "A difference is the mean over the seeds at the end of training, of a step per decision the better of its rates.",
      "Updates a second and decide times: one network of each kind in turn, one thread; decoding one strategy, without check or repair.",
      ...notes,
    ],
  }
}

export const bench: BenchModule = {
  name: "policy-steps",
  proves: "a step of the LSTM per block is as good as one per decision, and faster",
  takes: "a quarter of an hour",
  flags: trainingFlags,
  run,
}
