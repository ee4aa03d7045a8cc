/**
 * `npm run bench`: lists the benches. `npm run bench -- NAME [--quick] [--seed N]`: runs one, and writes its result and the tables
 * of all results. `npm run bench -- --tables`: only the tables.
 */
import { readdirSync } from "node:fs"
import { join, relative } from "node:path"
import { parseArgs } from "node:util"
import { type BenchModule, loadNow, projectRoot, report, table } from "./Bench.ts"
import { writeNumbers } from "./Numbers.ts"

/** Every `bench/<name>.ts` in lower case exports `bench: BenchModule`. */
const benchNames = (): ReadonlyArray<string> =>
  readdirSync(join(projectRoot, "bench")).flatMap((file) => {
    const name = /^([a-z][a-z0-9-]*)\.ts$/.exec(file)?.[1]
    return name === undefined || name === "main" ? [] : [name]
  })

const load = async (name: string): Promise<BenchModule> => {
  const module: { bench: BenchModule } = await import(`./${name}.ts`)
  return module.bench
}

const list = async () => {
  const benches = await Promise.all(benchNames().map(load))
  console.log("npm run bench -- NAME [--quick] [--seed N]\n")
  console.log(table(benches.map(({ name, takes, proves }) => ({ name, takes, proves }))))
}

const runOne = async (name: string, rest: ReadonlyArray<string>) => {
  const { tokens } = parseArgs({ args: [...rest], strict: false, tokens: true })
  const given = new Map<string, string>()
  for (const [i, token] of tokens.entries()) {
    if (token.kind !== "option") continue
    const next = tokens[i + 1]
    given.set(token.name, token.value ?? (next?.kind === "positional" ? next.value : "true"))
  }
  const quick = given.get("quick") === "true"
  const seed = Number(given.get("seed") ?? 1)
  const bench = await load(name)
  console.log(`${bench.name}: ${bench.proves} (${quick ? "quick" : bench.takes})\n`)
  const command = ["npm run bench --", name, ...rest].join(" ")
  const loadBefore = loadNow()
  const result = await bench.run({ quick, seed, arguments: given })
  for (const path of report(bench, result, { command, seed, write: !quick, loadBefore })) {
    console.log(`wrote ${relative(projectRoot, path)}`)
  }
  if (!quick) writeNumbers()
}

const [name, ...rest] = process.argv.slice(2)
if (name === undefined || name === "--help") await list()
else if (name === "--tables") writeNumbers()
else if (benchNames().includes(name)) await runOne(name, rest)
else {
  console.error(`There is no bench '${name}'. The benches are: ${benchNames().join(", ")}`)
  process.exitCode = 1
}
