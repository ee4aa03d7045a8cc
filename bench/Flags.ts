/**
 * The flags of a bench. Some benches run for half an hour and write their results at the end, so a flag that is misspelt, or
 * a value that it does not take, is refused before anything begins.
 */
import { parseArgs } from "node:util"
import { scenarioNames } from "../policies/ScenarioFiles.ts"
import type { BenchFlag, BenchFlags, BenchModule } from "./Bench.ts"

const numeric =
  (demand: string, holds: (value: number) => boolean) =>
  (says: string): BenchFlag => ({
    says,
    demand: (value) => {
      const number = value.trim() === "" ? Number.NaN : Number(value)
      return Number.isFinite(number) && holds(number) ? undefined : demand
    },
  })

/** 1, 2, 3 ... */
export const count = numeric("a whole number from 1 on", (n) => Number.isSafeInteger(n) && n > 0)
/** 0, 1, 2 ... */
export const countOrNone = numeric("a whole number from 0 on", (n) => Number.isSafeInteger(n) && n >= 0)
export const positive = numeric("a number above 0", (n) => n > 0)
export const notNegative = numeric("a number from 0 on", (n) => n >= 0)
const whole = numeric("a whole number", Number.isSafeInteger)

const named = (says: string, demand: string, holds: (value: string) => boolean): BenchFlag => ({
  says,
  demand: (value) => (holds(value) ? undefined : demand),
})

const all = (holds: (value: string) => boolean) => (value: string) => value.split(",").every(holds)

export const oneOf = (says: string, names: ReadonlyArray<string>): BenchFlag =>
  named(says, `one of ${names.join(", ")}`, (value) => names.includes(value))

/** One or more of them, with commas. */
export const someOf = (says: string, names: ReadonlyArray<string>): BenchFlag =>
  named(
    says,
    `one or more of ${names.join(", ")} (with commas)`,
    all((value) => names.includes(value)),
  )

/** The name of a file or folder: whoever opens it says whether it is there. */
export const path = (says: string): BenchFlag => named(says, "a path", (value) => value !== "")

/** Given or not. */
export const toggle = (says: string): BenchFlag => named(says, "without a value", (value) => value === "true")

const isScenario = (value: string) => scenarioNames.some((name) => name === value) || value.endsWith(".json")
const scenarioText = `${scenarioNames.join(", ")}, or a path that ends in .json`

export const scenario = (says: string): BenchFlag => named(says, `one of ${scenarioText}`, isScenario)
export const scenarios = (says: string): BenchFlag =>
  named(says, `one or more (with commas) of ${scenarioText}`, all(isScenario))

const everyBench: BenchFlags = { quick: toggle("a small version, under a minute; nothing is written") }

const seededBenches: BenchFlags = { seed: whole("N: seed of all random choices (default: 1)") }

/** Of the benches that train policies. */
export const trainingFlags: BenchFlags = {
  scenarios: scenarios("A,B: names of scenarios"),
  slo: someOf("latency|accuracy, or both with a comma", ["latency", "accuracy"]),
  seeds: count("N: trainings of each kind"),
  iterations: count("N: length of a training"),
  workers: count("N: trainings at the same time"),
  anew: toggle("train again what is known from an earlier run"),
}

/** What its flags depend on. */
type Flagged = Pick<BenchModule, "flags" | "unseeded">

const flagsOf = (bench: Flagged): BenchFlags => ({
  ...bench.flags,
  ...everyBench,
  ...(bench.unseeded === true ? {} : seededBenches),
})

/** What `npm run bench -- NAME --help` prints. */
export const helpText = (bench: Flagged & Pick<BenchModule, "name" | "proves" | "takes">): string => {
  const flags = Object.entries(flagsOf(bench))
  const width = Math.max(...flags.map(([name]) => name.length))
  return [
    `npm run bench -- ${bench.name} [flags]`,
    `proves: ${bench.proves}`,
    `takes:  ${bench.takes}`,
    "",
    ...flags.map(([name, { says }]) => `  --${name.padEnd(width)}  ${says}`),
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
  bench: Flagged & Pick<BenchModule, "name">,
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
  const wrong = [...given].flatMap(([name, value]) => {
    const demand = known[name]?.demand(value)
    return demand === undefined ? [] : [`--${name} must be ${demand}, and got '${value}'`]
  })
  return wrong.length === 0 ? undefined : wrong.join("; ")
}
