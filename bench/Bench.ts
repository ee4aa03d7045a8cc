/**
 * One form for every number: a bench returns rows and named checks, and this file prints them for people and writes
 * `docs/results/NAME.json` (and the bench's own figures) for everyone else.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export interface BenchOptions {
  /** A small version, under a minute. Its results are printed, not written to docs/results. */
  readonly quick: boolean
  readonly seed: number
  /** Everything else given on the command line, e.g. `--devices 5`. */
  readonly arguments: ReadonlyMap<string, string>
}

export type Row = Readonly<Record<string, string | number | boolean>>

export interface Check {
  readonly name: string
  readonly value: number
  readonly op: "<=" | ">=" | "=" | "within" | ">"
  readonly bound: number | readonly [number, number]
}

export interface BenchResult {
  /** measured: real processes. modelled: latency model. */
  readonly kind: "measured" | "modelled" | "both"
  readonly checks: ReadonlyArray<Check>
  readonly rows: ReadonlyArray<Row>
  /** What is emulated, synthetic, sampled, or was running beside. */
  readonly notes: ReadonlyArray<string>
  /** File name -> SVG text. */
  readonly figures?: ReadonlyMap<string, string>
}

/** A flag of a bench; `Flags.ts` has the kinds. */
export interface BenchFlag {
  /** For people. */
  readonly says: string
  /** What a value must be, of one that is not; undefined where it is. */
  readonly demand: (value: string) => string | undefined
}

export type BenchFlags = Readonly<Record<string, BenchFlag>>

export interface BenchModule {
  readonly name: string
  /** One line: what it proves. */
  readonly proves: string
  /** Roughly how long, for people. */
  readonly takes: string
  /** Its own flags beside --quick and --seed. Others are refused, and so are values that a flag does not take. */
  readonly flags?: BenchFlags
  /** It has no random choices, or those that no flag changes: `--seed` is refused and none is recorded. */
  readonly unseeded?: true
  /** It computes itself what a device's process computes, so it asks for memory as one does (decision 26). */
  readonly asDevice?: boolean
  readonly run: (options: BenchOptions) => Promise<BenchResult>
}

export const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)))

/** Every `bench/<name>.ts` in lower case exports `bench: BenchModule`. */
export const benchNames = (): ReadonlyArray<string> =>
  readdirSync(join(projectRoot, "bench")).flatMap((file) => {
    const name = /^([a-z][a-z0-9-]*)\.ts$/.exec(file)?.[1]
    return name === undefined || name === "main" ? [] : [name]
  })

/** What is no finite number has met nothing: there was nothing to measure. */
export const passes = (check: Check): boolean => {
  if (![check.value, check.bound].flat().every(Number.isFinite)) return false
  if (typeof check.bound !== "number") return check.value >= check.bound[0] && check.value <= check.bound[1]
  if (check.op === "<=") return check.value <= check.bound
  if (check.op === ">=") return check.value >= check.bound
  if (check.op === ">") return check.value > check.bound
  return check.value === check.bound
}

export { mean, median, quantile } from "../supernet/Statistics.ts"

const cell = (value: string | number | boolean | undefined): string =>
  typeof value === "number" && !Number.isInteger(value)
    ? String(Number(value.toPrecision(4)))
    : String(value ?? "")

/** Aligned text table; columns in the order in which they first appear. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const columns = [...new Set(rows.flatMap((r) => Object.keys(r)))]
  const lines = [columns, ...rows.map((r) => columns.map((c) => cell(r[c])))]
  const widths = columns.map((_, i) => Math.max(...lines.map((l) => (l[i] ?? "").length)))
  const isNumber = columns.map((c) => rows.every((r) => r[c] === undefined || typeof r[c] === "number"))
  const pad = (text: string, i: number) =>
    isNumber[i] === true ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)
  return lines.map((l) => l.map(pad).join("  ").trimEnd()).join("\n")
}

const git = (...args: ReadonlyArray<string>): string =>
  execFileSync("git", args, {
    cwd: projectRoot,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim()

/** What earlier benches of a session write, and documentation: it changes no number. */
const withoutCode = [":(exclude)docs", ":(exclude)README.md"]

/** The commit that runs, with `-dirty` where tracked files differ from it. */
export const commitNow = (): string => {
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ...withoutCode)
    return `${git("rev-parse", "--short", "HEAD")}${changed === "" ? "" : "-dirty"}`
  } catch {
    return "unknown"
  }
}

/** Versions of what the numbers depend on most. */
const libraries = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ["onnxruntime-node", "nats", "effect", "cbor-x"].map((name) => {
      const path = join(projectRoot, "node_modules", name, "package.json")
      return [name, (JSON.parse(readFileSync(path, "utf8")) as { readonly version: string }).version]
    }),
  )

/** Load average of the last minute: what else was running. */
export const loadNow = (): number => Number((loadavg()[0] ?? 0).toFixed(2))

const print = (result: BenchResult) => {
  if (result.rows.length > 0) console.log(`${table(result.rows)}\n`)
  for (const c of result.checks) {
    const bound = typeof c.bound === "number" ? `${c.op} ${c.bound}` : `within ${c.bound.join(" .. ")}`
    console.log(`${passes(c) ? "ok    " : "MISSED"} ${c.name} = ${cell(c.value)} (${bound})`)
  }
  for (const note of result.notes) console.log(`note: ${note}`)
}

/** Nothing may take the place of a good result on disk that has found nothing out. */
const assertFound = (name: string, { checks, rows }: BenchResult) => {
  const missing = checks.length === 0 ? "checks" : rows.length === 0 ? "rows" : undefined
  if (missing !== undefined) throw new RangeError(`${name} ended without ${missing}: nothing is written`)
}

/** Prints the result; with `write`, also writes it under docs/results. Returns the paths written. */
export const report = (
  bench: BenchModule,
  result: BenchResult,
  how: {
    readonly command: string
    /** None where the bench is unseeded. */
    readonly seed: number | undefined
    readonly write: boolean
    /** The commit that ran, and the load average before it did. */
    readonly commit: string
    readonly loadBefore: number
  },
): ReadonlyArray<string> => {
  print(result)
  if (!how.write) return []
  assertFound(bench.name, result)
  const directory = join(projectRoot, "docs", "results")
  mkdirSync(directory, { recursive: true })
  const host = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    node: process.version,
    libraries: libraries(),
    load: [how.loadBefore, loadNow()],
  }
  const { figures, ...data } = result
  const made = {
    command: how.command,
    commit: how.commit,
    date: new Date().toISOString(),
    host,
    seed: how.seed,
  }
  const json = JSON.stringify({ bench: bench.name, ...made, ...data }, null, 1)
  const files: ReadonlyArray<readonly [string, string]> = [
    [`${bench.name}.json`, `${json}\n`],
    ...(figures ?? []),
  ]
  return files.map(([name, text]) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  })
}
