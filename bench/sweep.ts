/**
 * Whether SUPREME's rivals run in their best settings: each setting of GCSL and PPO varied alone, everything else as the
 * benches have it. What wins here becomes the algorithm's default; the table is in docs/policies.md.
 */
import { gcslDefaults, type GcslSettings } from "../policies/Gcsl.ts"
import { ppoDefaults, type PpoSettings } from "../policies/Ppo.ts"
import { type BenchModule, type BenchOptions, type BenchResult } from "./Bench.ts"
import * as Flags from "./Flags.ts"
import { compare, type Contestant } from "./PolicyCurves.ts"

/** Values to try for some settings. */
type Axes<S> = { readonly [K in keyof S]?: ReadonlyArray<S[K]> }

const gcslAxes: Axes<GcslSettings> = {
  rate: [0.0005, 0.002, 0.006, 0.015],
  batch: [32, 128],
  updates: [2, 8],
  epsilon: [0, 0.02, 0.1],
  warmUp: [0, 10],
  outside: [true, false],
}

const ppoAxes: Axes<PpoSettings> = {
  rate: [0.001, 0.003, 0.006, 0.012],
  batch: [32, 64],
  epochs: [3, 6, 10],
  entropy: [0, 0.003, 0.01, 0.03],
}

/** Each value of each axis alone, but those that the defaults have. */
const variants = <S extends object>(defaults: S, axes: Axes<S>) =>
  Object.entries<ReadonlyArray<S[keyof S]> | undefined>(axes).flatMap(([name, values = []]) =>
    values
      .filter((value) => value !== defaults[name as keyof S])
      .map((value) => ({ name: `${name} ${String(value)}`, change: { [name]: value } as Partial<S> })),
  )

const contestants: ReadonlyArray<Contestant> = [
  { name: "GCSL", algorithm: "gcsl" },
  ...variants(gcslDefaults, gcslAxes).map(({ name, change }): Contestant => ({
    name: `GCSL ${name}`,
    algorithm: "gcsl",
    gcsl: change,
  })),
  { name: "PPO", algorithm: "ppo" },
  ...variants(ppoDefaults, ppoAxes).map(({ name, change }): Contestant => ({
    name: `PPO ${name}`,
    algorithm: "ppo",
    ppo: change,
  })),
]

const run = async (options: BenchOptions): Promise<BenchResult> => {
  const defaults: ReadonlyArray<readonly [string, string]> = [
    ["scenarios", "augmented-imagenet"],
    ["slo", "latency"],
    ["seeds", "1"],
  ]
  const given = new Map([...defaults, ...options.arguments])
  const only = given.get("algorithm")
  const { rows, notes } = await compare(
    { ...options, arguments: given },
    contestants.filter((c) => only === undefined || c.algorithm === only),
    () => "",
  )
  const reward = (row: (typeof rows)[number] | undefined) => Number(row?.["reward_over_oracle"] ?? 0)
  const gain = (name: string) => {
    const own = reward(rows.find((r) => r["method"] === name))
    const others = rows.filter((r) => String(r["method"]).startsWith(`${name} `)).map(reward)
    return Math.max(0, ...others) - own
  }
  return {
    kind: "modelled",
    rows,
    // One seed is worth a few points either way.
    checks: ["GCSL", "PPO"].map((name) => ({
      name: `best other setting of ${name}, gain`,
      value: gain(name),
      op: "<=" as const,
      bound: 0.05,
    })),
    notes: ["Each setting alone differs from the defaults.", ...notes],
  }
}

export const bench: BenchModule = {
  name: "sweep",
  proves: "GCSL and PPO, which SUPREME is compared with, run in their best settings",
  takes: "half an hour",
  flags: { algorithm: Flags.oneOf("gcsl|ppo: only this one", ["gcsl", "ppo"]), ...Flags.trainingFlags },
  run,
}
