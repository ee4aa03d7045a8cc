/**
 * `npm run bench`: lists the benches. `npm run bench -- NAME [--quick] [--seed N]`: runs one, and writes its result and the tables
 * of all results; with `--help`, says what it takes instead. `npm run bench -- --tables`: only the tables.
 */
import { spawnSync } from "node:child_process"
import { relative } from "node:path"
import { hasMemoryEnvironment, memoryEnvironment } from "../deploy/Allocator.ts"
import { type BenchModule, benchNames, commitNow, loadNow, projectRoot, report, table } from "./Bench.ts"
import { flagProblem, helpText, parsedFlags } from "./Flags.ts"
import { writeNumbers } from "./Numbers.ts"

const load = async (name: string): Promise<BenchModule> => {
  const module: { bench: BenchModule } = await import(`./${name}.ts`)
  return module.bench
}

const list = async () => {
  const benches = await Promise.all(benchNames().map(load))
  console.log(
    "npm run bench -- NAME [--quick] [--seed N]; a bench's own flags: npm run bench -- NAME --help\n",
  )
  console.log(table(benches.map(({ name, takes, proves }) => ({ name, takes, proves }))))
}

const refuse = (problem: string) => {
  console.error(problem)
  process.exitCode = 1
}

/** The same command in a process with a device's environment. */
const runAsDevice = (): void => {
  const env = { ...process.env, ...memoryEnvironment() }
  const again = spawnSync(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env,
  })
  process.exitCode = again.status ?? 1
}

const runOne = async (name: string, rest: ReadonlyArray<string>) => {
  const bench = await load(name)
  const flags = parsedFlags(rest)
  const { given } = flags
  if (given.has("help") || given.has("h")) return console.log(helpText(bench))
  const problem = flagProblem(bench, flags)
  if (problem !== undefined) return refuse(problem)
  if (bench.asDevice === true && !hasMemoryEnvironment()) return runAsDevice()
  const quick = given.has("quick")
  const seed = Number(given.get("seed") ?? 1)
  console.log(`${bench.name}: ${bench.proves} (${quick ? "quick" : bench.takes})\n`)
  const command = ["npm run bench --", name, ...rest].join(" ")
  // Before it runs: in an hour somebody may commit.
  const [commit, loadBefore] = [commitNow(), loadNow()]
  const result = await bench.run({ quick, seed, arguments: given })
  const recorded = bench.unseeded === true ? undefined : seed
  const made = { command, seed: recorded, write: !quick, commit, loadBefore }
  for (const path of report(bench, result, made)) {
    console.log(`wrote ${relative(projectRoot, path)}`)
  }
  if (!quick) writeNumbers()
}

const [name, ...rest] = process.argv.slice(2)
if (name === undefined || name === "--help" || name === "-h") await list()
else if (name === "--tables") writeNumbers()
else if (benchNames().includes(name)) await runOne(name, rest)
else refuse(`There is no bench '${name}'. The benches are: ${benchNames().join(", ")}`)
