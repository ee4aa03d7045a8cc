/**
 * The tables of numbers that people read, made from docs/results alone: README's headlines and all misses, and
 * docs/results/README.md with every check of every bench. Written after each bench; a test holds them to the results.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type BenchResult, type Check, passes, projectRoot, type Row } from "./Bench.ts"

/** A file of docs/results, as far as the tables need it. */
export interface StoredResult extends Pick<BenchResult, "kind" | "checks"> {
  readonly bench: string
  readonly command: string
  readonly commit: string
  readonly date: string
  readonly host: { readonly load?: ReadonlyArray<number> }
  readonly rows?: ReadonlyArray<Row>
}

/** A number without a bound, from the rows of a result; undefined where they do not have it. */
type FromRows = (rows: ReadonlyArray<Row>) => number | undefined

interface Headline {
  readonly what: string
  readonly bench: string
  /** Names of checks, or numbers beside them. */
  readonly values: ReadonlyArray<string | FromRows>
  /** Value and bound as people say them: `x 100 %`, ` ms`. */
  readonly times?: number
  readonly unit: string
}

/** A column of all rows that have it. */
const column = (rows: ReadonlyArray<Row>, name: string): ReadonlyArray<number> =>
  rows.flatMap((row) => (typeof row[name] === "number" ? [row[name]] : []))

const sum = (values: ReadonlyArray<number>): number | undefined =>
  values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0)

/** The largest lead where fixed submodels of ours are among the rivals. */
const leadOverSubmodels =
  (...figures: ReadonlyArray<string>): FromRows =>
  (rows) => {
    const these = rows.filter(
      (row) => figures.includes(String(row["figure"])) && String(row["what"]).endsWith("fixed submodels too"),
    )
    const leads = column(these, "lead")
    return leads.length === 0 ? undefined : Math.max(...leads)
  }

/** Requests of `bench chaos` that ended with an error: neither with an answer nor in silence. */
const typedErrors: FromRows = (rows) => {
  const ends = rows.flatMap((row) => [...String(row["ends"] ?? "").matchAll(/(\w+) (\d+)/g)])
  const errors = ends.filter(([, name]) => name !== "answer" && name !== "silence")
  return ends.length === 0 ? undefined : (sum(errors.map(([, , count]) => Number(count))) ?? 0)
}

/** Of `bench paper-imagenette`, under latency SLOs: ours, or the best of the fixed submodels. Percent. */
const rightInTime =
  (scenario: string, mine: boolean): FromRows =>
  (rows) => {
    const these = rows.filter((r) => r["scenario"] === scenario && (r["method"] === "ours") === mine)
    const shares = column(these, "right and in time %")
    return shares.length === 0 ? undefined : Math.max(...shares)
  }

const headlines: ReadonlyArray<Headline> = [
  {
    what: "top-1 of the largest / smallest submodel on held-out images of Imagenette, each at its best resolution",
    bench: "supernet",
    values: ["top1_max", "top1_min"],
    times: 100,
    unit: " %",
  },
  {
    what: "what 2x2 tiles in the first half / 8-bit values everywhere cost in top-1",
    bench: "supernet",
    values: ["fdsp_cost", "u8_cost"],
    times: 100,
    unit: " points",
  },
  {
    what: "the demo's answers within their objective (an accuracy: as predicted) / right, of test images of Imagenette",
    bench: "demo",
    values: ["within_objective", "right"],
    times: 100,
    unit: " %",
  },
  {
    what: "swarm against one session, same strategy, float32: largest relative difference of logits",
    bench: "equivalence",
    values: ["max_rel_diff_f32"],
    unit: "",
  },
  {
    what: "added to an inference by actors and bus, p50 / p99",
    bench: "overhead",
    values: ["p50_ms", "p99_ms"],
    unit: " ms",
  },
  {
    what: "from a new strategy to running: blocks resident / on demand, p50",
    bench: "switch",
    values: ["resident_p50_ms", "ondemand_p50_ms"],
    unit: " ms",
  },
  {
    what: "requests per second of five devices against one, each asked device answering alone",
    bench: "throughput",
    values: ["rps_gain_5_devices"],
    unit: " x",
  },
  { what: "requests lost in overload", bench: "throughput", values: ["overload_lost"], unit: "" },
  {
    what: "bad inputs tried / crashes / left without a typed error or a count",
    bench: "badinput",
    values: ["cases", "crashes", "silent"],
    unit: "",
  },
  {
    what: "requests, most of them under faults / answered / typed errors / lost / doubled / wrong",
    bench: "chaos",
    values: ["requests", (rows) => sum(column(rows, "answered")), typedErrors, "lost", "doubled", "wrong"],
    unit: "",
  },
  {
    what: "latency model against the running swarm, median / p95 error",
    bench: "latency-model",
    values: ["median_abs_rel_err", "p95_abs_rel_err"],
    times: 100,
    unit: " %",
  },
  {
    what: "forecasts against repeating the last value, worst class of traces: error ratio",
    bench: "predictor",
    values: ["ratio_to_last_value_worst"],
    unit: "",
  },
  {
    what: "decision by policy, p50 / with check and repair",
    bench: "decide",
    values: ["p50_ms", "repaired_p50_ms"],
    unit: " ms",
  },
  {
    what: "evolutionary search until as good as the policy alone / with check and repair, times as long",
    bench: "decide",
    values: ["evolution_ratio", "evolution_over_repaired_decision"],
    unit: " x",
  },
  {
    what: "conditions in which that search got there before it gave up; the others count with the time until then",
    bench: "decide",
    values: [(rows) => column(rows, "evolution_reached")[0], (rows) => column(rows, "evolution_reached")[1]],
    times: 100,
    unit: " %",
  },
  {
    what: "SUPREME against the oracle: compliance / reward",
    bench: "supreme",
    values: ["compliance_over_oracle", "reward_over_oracle"],
    times: 100,
    unit: " %",
  },
  { what: "policy pushed to active on 5 devices, p95", bench: "hotswap", values: ["p95_ms"], unit: " ms" },
  {
    what: "imported PyTorch networks (tiny ones with random weights): logits differ by at most",
    bench: "import",
    values: ["max_abs_diff"],
    unit: "",
  },
  {
    what: "accuracy lead under a latency SLO, up to: over the paper's baselines / over those and fixed submodels of ours",
    bench: "paper",
    values: ["accuracy_lead_points", leadOverSubmodels("13", "14")],
    unit: " points",
  },
  {
    what: "times lower latency under an accuracy SLO, up to: than the paper's baselines / than those and fixed submodels of ours",
    bench: "paper",
    values: ["latency_ratio", leadOverSubmodels("15")],
    unit: " x",
  },
  {
    what: "answers right and in time, run with the shipped supernet: ours / best fixed submodel at its best cut, in `swarm` / the same in `augmented`",
    bench: "paper-imagenette",
    values: ["swarm", "augmented"].flatMap((s) => [rightInTime(s, true), rightInTime(s, false)]),
    unit: " %",
  },
  {
    what: "speed-up over one Pi 4, the largest of all swarms of one to nine and all accuracy SLOs of figure 17",
    bench: "paper",
    values: ["scalability"],
    unit: " x",
  },
]

const number = (value: number): string => {
  if (value === 0) return "0"
  if (Math.abs(value) < 1e-3) return value.toExponential(0)
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
}

const boundText = (check: Check, times: number): string => {
  if (typeof check.bound !== "number") return check.bound.map((b) => number(b * times)).join(" to ")
  const sign = { "<=": "≤", ">=": "≥", "=": "=", ">": ">", within: "" }[check.op]
  return `${sign} ${number(check.bound * times)}`
}

/** A value and its bound as the table has them; undefined where the result lacks it. */
const cells = (value: Headline["values"][number], result: StoredResult, times: number) => {
  if (typeof value !== "string") {
    const found = value(result.rows ?? [])
    return found === undefined ? undefined : { value: number(found * times), bound: "-" }
  }
  const check = result.checks.find((c) => c.name === value)
  if (check === undefined) return undefined
  return {
    value: number(check.value * times),
    bound: `${boundText(check, times)}${passes(check) ? "" : " missed"}`,
  }
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
  const lines = missed.map(
    ({ bench, check }) => `- \`${bench}\`: \`${check.name}\` ${number(check.value)} (${boundText(check, 1)})`,
  )
  return [`${counted}. Missed:`, "", ...lines].join("\n")
}

export const overview = (results: ReadonlyMap<string, StoredResult>): string => {
  const rows = [...results.values()].flatMap((r) =>
    r.checks.map((c) => {
      const load = r.host.load?.map((l) => l.toFixed(1)).join(" → ") ?? ""
      const when = r.date.slice(0, 10)
      const cells = [c.name, number(c.value), boundText(c, 1), passes(c) ? "met" : "**missed**"]
      return `| [${r.bench}](${r.bench}.json) | ${[...cells, r.kind, `${when}, ${r.commit}`, load].join(" | ")} |`
    }),
  )
  const met = withBench(results).filter(({ check }) => passes(check)).length
  return `${[
    "# Results",
    "",
    "Every check of every bench, from the JSON files beside this page; written by `npm run bench`. The last column is the",
    "machine's load average (1 minute) before and after the run, where it was recorded.",
    "",
    `${met} of ${rows.length} checks met.`,
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
