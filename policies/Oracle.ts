/**
 * The reference that policies are held against: for each validation constraint the best strategy of very long searches.
 * Three rounds: a search from scratch per constraint; then every constraint is offered the strategies found for the others
 * (a strategy for a stricter constraint serves a more relaxed one); then more local search from the best so far.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { seededRandom } from "../supernet/Random.ts"
import { devicesOfSlots, type Environment, toDevices } from "./Environment.ts"
import { confine, type Genome } from "./Genome.ts"
import { conditionOf, type Constraint, sloAtEase } from "./Scenario.ts"
import { improve, search } from "./Search.ts"
import { scoreStrategies } from "./Validation.ts"
import { type Judge, judge } from "./World.ts"

export interface OracleOptions {
  /** Evaluations per constraint in the first round, and in the last. */
  readonly searchEvaluations: number
  readonly polishEvaluations: number
  readonly seed: number
  readonly onProgress?: (done: number, of: number) => void
}

export const defaultOracle: OracleOptions = { searchEvaluations: 12_000, polishEvaluations: 8_000, seed: 1 }

/** Searches work on the condition's devices, strategies are kept by slot: the way back. */
export const toSlots = (
  environment: Environment,
  genome: Genome,
  deviceOfSlot: ReadonlyArray<number>,
): Genome => {
  const slotOfDevice: Array<number> = []
  for (const [slot, device] of deviceOfSlot.entries()) if (device >= 0) slotOfDevice[device] = slot
  return toDevices(environment.world, genome, slotOfDevice)
}

interface Case {
  readonly constraint: Constraint
  readonly judge: Judge
  readonly devices: ReadonlyArray<number>
  readonly usable: ReadonlyArray<number>
  best: Genome
  score: number
}

/** Best known strategies, one per constraint, device genes as slots. */
export const oracle = (
  environment: Environment,
  constraints: ReadonlyArray<Constraint>,
  options: OracleOptions = defaultOracle,
): ReadonlyArray<Genome> => {
  const { world, scenario, kind } = environment
  const random = seededRandom(options.seed)
  const cases = constraints.map((constraint, i): Case => {
    const devices = devicesOfSlots(constraint, scenario.remotes.length)
    const slo = sloAtEase(scenario, kind, constraint[0] ?? 0)
    const judged = judge(world, conditionOf(scenario, constraint), slo)
    const found = search(judged, { evaluations: options.searchEvaluations }, random)
    options.onProgress?.(i, 2 * constraints.length)
    const best = toSlots(environment, found.genome, devices)
    return {
      constraint,
      judge: judged,
      devices,
      usable: environment.usable(constraint),
      best,
      score: found.score,
    }
  })
  const known = [...new Map(cases.map((c) => [Buffer.from(c.best).toString("latin1"), c.best])).values()]
  for (const [i, c] of cases.entries()) {
    const starts = known.map((genome) => {
      const slots = confine(world.space, genome, c.usable)
      const placed = toDevices(world, slots, c.devices)
      return { genome: placed, score: c.judge.score(placed) }
    })
    starts.push({ genome: toDevices(world, c.best, c.devices), score: c.score })
    const better = improve(c.judge, starts, { evaluations: options.polishEvaluations }, random, 12)
    if (better.score > c.score) {
      c.best = toSlots(environment, better.genome, c.devices)
      c.score = better.score
    }
    options.onProgress?.(constraints.length + i, 2 * constraints.length)
  }
  return cases.map((c) => c.best)
}

/**
 * The oracle with its result kept in a file. The file is used again only for the same constraints, settings, and models:
 * `models` names them (supernet version, profiles, accuracy model).
 */
export const cachedOracle = (
  environment: Environment,
  constraints: ReadonlyArray<Constraint>,
  cacheFile: (hash: string) => string,
  models: string,
  options: OracleOptions = defaultOracle,
) => {
  const { searchEvaluations, polishEvaluations, seed } = options
  const key = JSON.stringify([
    environment.scenario,
    environment.kind,
    models,
    [searchEvaluations, polishEvaluations, seed],
    constraints.map((c) => [...c]),
  ])
  const file = cacheFile(createHash("sha256").update(key).digest("hex").slice(0, 16))
  const read = (): ReadonlyArray<Genome> | undefined => {
    try {
      const rows = JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<string>
      return rows.map((row) => Uint8Array.from(Buffer.from(row, "base64")))
    } catch {
      return undefined
    }
  }
  const known = read()
  const genomes = known ?? oracle(environment, constraints, options)
  if (known === undefined) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify(genomes.map((g) => Buffer.from(g).toString("base64"))))
  }
  return { genomes, score: scoreStrategies(environment, constraints, genomes) }
}
