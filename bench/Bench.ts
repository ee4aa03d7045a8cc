/**
 * One form for every number: a bench returns rows and named checks, and this file prints them for people and writes
 * `docs/results/NAME.json` (and the bench's own figures) for everyone else.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
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

export type BenchFlags = Readonly<Record<string, string>>

export interface BenchModule {
  readonly name: string
  /** One line: what it proves. */
  readonly proves: string
  /** Roughly how long, for people. */
  readonly takes: string
  /** Its own flags beside --quick and --seed: name -> what it says, for people. Others are refused. */
  readonly flags?: BenchFlags
  /** It computes itself what a device's process computes, so it asks for memory as one does (decision 26). */
  readonly asDevice?: boolean
  readonly run: (options: BenchOptions) => Promise<BenchResult>
}

export const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)))

export const passes = (check: Check): boolean => {
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

const commit = (): string => {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      cwd: projectRoot,
      encoding: "utf8",
    }).trim()
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

/** Prints the result; with `write`, also writes it under docs/results. Returns the paths written. */
export const report = (
  bench: BenchModule,
  result: BenchResult,
  how: {
    readonly command: string
    readonly seed: number
    readonly write: boolean
    /** Load average before the run. */
    readonly loadBefore: number
  },
): ReadonlyArray<string> => {
  print(result)
  if (!how.write) return []
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
    commit: commit(),
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
