/**
 * The flags of a bench. Some benches run for half an hour and write their results at the end, so a flag that is misspelt is
 * refused before anything begins.
 */
import { parseArgs } from "node:util"
import type { BenchFlags, BenchModule } from "./Bench.ts"

const everyBench: BenchFlags = {
  quick: "a small version, under a minute; nothing is written",
  seed: "N: seed of all random choices (default: 1)",
}

/** Of the benches that train policies. */
export const trainingFlags: BenchFlags = {
  scenarios: "A,B: names of scenarios",
  slo: "latency|accuracy, or both with a comma",
  seeds: "N: trainings of each kind",
  iterations: "N: length of a training",
  workers: "N: trainings at the same time",
}

const flagsOf = (bench: Pick<BenchModule, "flags">): BenchFlags => ({ ...bench.flags, ...everyBench })

/** What `npm run bench -- NAME --help` prints. */
export const helpText = (bench: Pick<BenchModule, "name" | "proves" | "takes" | "flags">): string => {
  const flags = Object.entries(flagsOf(bench))
  const width = Math.max(...flags.map(([name]) => name.length))
  return [
    `npm run bench -- ${bench.name} [flags]`,
    `proves: ${bench.proves}`,
    `takes:  ${bench.takes}`,
    "",
    ...flags.map(([name, says]) => `  --${name.padEnd(width)}  ${says}`),
  ].join("\n")
}

/** Flags by name; one without a value is "true". Also what is neither a flag nor the value of one. */
export const parsedFlags = (args: ReadonlyArray<string>) => {
  const { tokens } = parseArgs({ args: [...args], strict: false, tokens: true })
  const given = new Map<string, string>()
  const strays: Array<string> = []
  let awaited: string | undefined
  for (const token of tokens) {
    if (token.kind === "positional" && awaited !== undefined) given.set(awaited, token.value)
    else if (token.kind === "positional") strays.push(token.value)
    awaited = token.kind === "option" && token.value === undefined ? token.name : undefined
    if (token.kind === "option") given.set(token.name, token.value ?? "true")
  }
  return { given, strays }
}

/** Why a bench cannot be run like this; undefined where it can. */
export const flagProblem = (
  bench: Pick<BenchModule, "name" | "flags">,
  { given, strays }: ReturnType<typeof parsedFlags>,
): string | undefined => {
  const known = flagsOf(bench)
  const has = `it has ${Object.keys(known)
    .map((f) => `--${f}`)
    .join(", ")}`
  const unknown = [...given.keys()].filter((name) => !Object.hasOwn(known, name))
  if (unknown.length > 0)
    return `${bench.name} has no flag ${unknown.map((f) => (f.length === 1 ? `-${f}` : `--${f}`)).join(", ")}; ${has}`
  if (strays.length > 0) return `${bench.name} takes no '${strays.join(" ")}'; ${has}`
  if (!Number.isFinite(Number(given.get("seed") ?? 1))) return `--seed ${given.get("seed")} is not a number`
  const quick = given.get("quick") ?? "true"
  return quick === "true" ? undefined : `--quick takes no value, and got '${quick}'`
}
