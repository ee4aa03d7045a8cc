/**
 * The tables of numbers that people read, made from docs/results alone: README's headlines and all misses, and
 * docs/results/README.md with every check of every stored result. Written after each bench; a test holds them to the results.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { benchNames, type BenchResult, type Check, passes, projectRoot, type Row } from "./Bench.ts"
import { type Headline, headlines } from "./Headlines.ts"

/** A file of docs/results, as far as the tables need it. */
export interface StoredResult extends Pick<BenchResult, "kind" | "checks"> {
  readonly bench: string
  readonly command: string
  readonly commit: string
  readonly date: string
  readonly host: { readonly load?: ReadonlyArray<number> }
  readonly rows?: ReadonlyArray<Row>
}

/** JSON has no NaN: what could not be measured is null there. */
const number = (value: number, digits = 3): string => {
  if (!Number.isFinite(value)) return "none"
  if (value === 0) return "0"
  if (Math.abs(value) < 1e-3) return value.toExponential(digits - 3).replace(/\.?0+e/, "e")
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1
  return String(Number(value.toPrecision(Math.max(digits, whole))))
}

/** As many digits as a number has. */
const most = 15

/** As few digits as tell a value from what it is held to: 1.001 is not 1.005, and 1.0004 is not 1. */
const digitsOf = (value: number, bounds: ReadonlyArray<number>): number => {
  const seen = (of: number, digits: number) => Number(number(of, digits))
  const alike = (digits: number) =>
    bounds.some((bound) => bound !== value && seen(bound, digits) === seen(value, digits))
  let digits = 3
  while (digits < most && alike(digits)) digits++
  return digits
}

/** A check's value and bound, both times so much, as a table has them. */
const checkText = (check: Check, times = 1) => {
  const scaled = (of: number) => (Number.isFinite(of) ? of * times : Number.NaN)
  const value = scaled(check.value)
  const bounds = [check.bound].flat().map(scaled)
  const digits = digitsOf(value, bounds)
  const sign = { "<=": "≤ ", ">=": "≥ ", "=": "= ", ">": "> ", within: "" }[check.op]
  // Most bounds are numbers that somebody wrote: one digit more has all of them.
  const bound = bounds.map((b) => number(b, Math.max(digits, 4))).join(" to ")
  return { value: number(value, digits), bound: `${sign}${bound}` }
}

/** A value and its bound as the table has them; undefined where the result lacks it. */
const cells = (value: Headline["values"][number], result: StoredResult, times: number) => {
  if (typeof value !== "string") {
    const found = value(result.rows ?? [])
    return found === undefined ? undefined : { value: number(found * times), bound: "-" }
  }
  const check = result.checks.find((c) => c.name === value)
  if (check === undefined) return undefined
  const text = checkText(check, times)
  return passes(check) ? text : { ...text, bound: `${text.bound} missed` }
}

const headlineRow = (h: Headline, results: ReadonlyMap<string, StoredResult>): ReadonlyArray<string> => {
  const result = results.get(h.bench)
  if (result === undefined) return []
  const found = h.values.flatMap((value) => cells(value, result, h.times ?? 1) ?? [])
  if (found.length < h.values.length) return []
  const values = found.map((f) => f.value).join(" / ")
  const bounds = found.map((f) => f.bound).join(" / ")
  const kind = result.kind === "modelled" ? ", modelled" : ""
  return [`| ${h.what} (\`${h.bench}\`${kind}) | ${values}${h.unit} | ${bounds} |`]
}

export const headlineTable = (results: ReadonlyMap<string, StoredResult>): string =>
  [
    "| what | measured | bound |",
    "| --- | --- | --- |",
    ...headlines.flatMap((h) => headlineRow(h, results)),
  ].join("\n")

const withBench = (results: ReadonlyMap<string, StoredResult>) =>
  [...results.values()].flatMap(({ bench, checks }) => checks.map((check) => ({ bench, check })))

/** How many checks are met, and each one that is missed, whether or not it is among the headlines. */
export const missesText = (results: ReadonlyMap<string, StoredResult>): string => {
  const all = withBench(results)
  const missed = all.filter(({ check }) => !passes(check))
  const counted = `${all.length - missed.length} of ${all.length} checks are met`
  if (missed.length === 0) return `${counted}.`
  const lines = missed.map(({ bench, check }) => {
    const { value, bound } = checkText(check)
    return `- \`${bench}\`: \`${check.name}\` ${value} (${bound})`
  })
  return [`${counted}. Missed:`, "", ...lines].join("\n")
}

/** Every check of every stored result; `benches`: all that there are. */
export const overview = (
  results: ReadonlyMap<string, StoredResult>,
  benches: ReadonlyArray<string> = benchNames(),
): string => {
  const rows = [...results.values()].flatMap((r) =>
    r.checks.map((c) => {
      const load = r.host.load?.map((l) => l.toFixed(1)).join(" → ") ?? ""
      const when = r.date.slice(0, 10)
      const { value, bound } = checkText(c)
      const cells = [c.name, value, bound, passes(c) ? "met" : "**missed**"]
      return `| [${r.bench}](${r.bench}.json) | ${[...cells, r.kind, `${when}, ${r.commit}`, load].join(" | ")} |`
    }),
  )
  const met = withBench(results).filter(({ check }) => passes(check)).length
  const without = benches.filter((name) => !results.has(name)).map((name) => `\`${name}\``)
  const also =
    without.length === 0 ? "" : ` Not among them, for no result of theirs is stored: ${without.join(", ")}.`
  return `${[
    "# Results",
    "",
    "Every check of every bench whose result lies beside this page, from those JSON files; written by `npm run bench`. The last",
    "column is the machine's load average (1 minute) before and after the run, where it was recorded.",
    "",
    `${met} of ${rows.length} checks met.${also}`,
    "",
    "| bench | check | value | bound | | kind | date, commit | load |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n")}\n`
}

const folder = join(projectRoot, "docs", "results")

export const storedResults = (): ReadonlyMap<string, StoredResult> =>
  new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .toSorted()
      .flatMap((name) => {
        const result = JSON.parse(readFileSync(join(folder, name), "utf8")) as Partial<StoredResult>
        return result.bench === undefined ? [] : [[result.bench, result as StoredResult] as const]
      }),
  )

const [begin, end] = ["<!-- numbers: written by npm run bench -->", "<!-- end of numbers -->"]

/** README with its table of numbers, and what was missed, made anew. */
export const withHeadlines = (readme: string, results: ReadonlyMap<string, StoredResult>): string => {
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)]
  if (from < 0 || to < from) return readme
  const written = `${headlineTable(results)}\n\n${missesText(results)}`
  return `${readme.slice(0, from + begin.length)}\n${written}\n${readme.slice(to)}`
}

/** Both tables, written. */
export const writeNumbers = (): void => {
  const results = storedResults()
  const readme = join(projectRoot, "README.md")
  if (existsSync(readme)) writeFileSync(readme, withHeadlines(readFileSync(readme, "utf8"), results))
  writeFileSync(join(folder, "README.md"), overview(results))
}
