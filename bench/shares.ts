/**
 * Of what kinds the best known strategies of each scenario are: a scenario in which the best is always to stay at home proves
 * nothing. Long searches on constraints spread evenly over the space (a quarter with remotes missing).
 */
import { join } from "node:path"
import type { SloKind } from "../policies/Condition.ts"
import { makeEnvironment } from "../policies/Environment.ts"
import { cachedOracle } from "../policies/Oracle.ts"
import { scenarioNames } from "../policies/ScenarioFiles.ts"
import { loadSetting } from "../policies/Setting.ts"
import { strategyShares } from "../policies/Shares.ts"
import { validationConstraints } from "../policies/Validation.ts"
import { type BenchModule, type BenchOptions, type BenchResult, projectRoot, type Row } from "./Bench.ts"
import * as Flags from "./Flags.ts"

const kinds: ReadonlyArray<SloKind> = ["latency", "accuracy"]

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const evaluations = options.quick ? 1000 : 6000
  const rows = (options.arguments.get("scenarios") ?? scenarioNames.join()).split(",").flatMap((name) => {
    const setting = loadSetting(name)
    return kinds.map((kind): Row => {
      const environment = makeEnvironment(setting.world, setting.scenario, kind)
      const constraints = validationConstraints(setting.scenario, {
        count: options.quick ? 32 : 128,
        grid: true,
      })
      const { genomes, score } = cachedOracle(
        environment,
        constraints,
        (hash) => join(projectRoot, ".cache", "policies", `oracle-${hash}.json`),
        setting.models,
        { searchEvaluations: evaluations, polishEvaluations: Math.round(evaluations / 1.5), seed: 1 },
      )
      return {
        scenario: name,
        slo: kind,
        can_be_met: score.compliance,
        ...strategyShares(environment, constraints, genomes),
      }
    })
  })
  const shares = rows.flatMap((r) =>
    ["local", "offloaded", "layer-split", "tiled"].map((kind) => Number(r[kind])),
  )
  return {
    kind: "modelled",
    rows,
    checks: [{ name: "smallest_share", value: Math.min(...shares), op: ">=", bound: 0.03 }],
    notes: [
      `Shares among the constraints that can be met. layer-split: several devices, one after the other; tiled: some block on several at once. ${evaluations} evaluations per search, and more from the others' results.`,
    ],
  }
}

export const bench: BenchModule = {
  name: "shares",
  proves: "the scenarios ask for all kinds of strategies: local, offloaded, split by layers, tiled",
  takes: "five minutes",
  unseeded: true,
  flags: { scenarios: Flags.scenarios("A,B: names of scenarios (default: all)") },
  run,
}
