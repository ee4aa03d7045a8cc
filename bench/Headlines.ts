/** README's numbers: what each is called, and in which bench's checks or rows it is. */
import type { Row } from "./Bench.ts"

/** A number without a bound, from the rows of a result; undefined where they do not have it. */
type FromRows = (rows: ReadonlyArray<Row>) => number | undefined

export interface Headline {
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

/** Requests of `bench chaos` that ended so, by the names that its rows have for ends. */
const endedAs =
  (is: (name: string) => boolean): FromRows =>
  (rows) => {
    const ends = rows.flatMap((row) => [...String(row["ends"] ?? "").matchAll(/(\w+) (\d+)/g)])
    const these = ends.filter(([, name = ""]) => is(name))
    return ends.length === 0 ? undefined : (sum(these.map(([, , count]) => Number(count))) ?? 0)
  }

/** The client's own error, made without the swarm: it had no connection to its leaf. */
const ownLeafDown = endedAs((name) => name === "BusDown")
const otherErrors = endedAs((name) => !["answer", "silence", "BusDown"].includes(name))

/** Of `bench paper-imagenette`, under latency SLOs: ours, or the best of the fixed submodels. Percent. */
const rightInTime =
  (scenario: string, mine: boolean): FromRows =>
  (rows) => {
    const these = rows.filter((r) => r["scenario"] === scenario && (r["method"] === "ours") === mine)
    const shares = column(these, "right and in time %")
    return shares.length === 0 ? undefined : Math.max(...shares)
  }

export const headlines: ReadonlyArray<Headline> = [
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
    what: "from a new strategy to running, p50: all blocks resident / on demand, with none of its sessions there",
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
    what: "requests, most of them under faults / answered / given up by the client, whose own leaf was down / other typed errors / lost / doubled / wrong",
    bench: "chaos",
    values: [
      "requests",
      (rows) => sum(column(rows, "answered")),
      ownLeafDown,
      otherErrors,
      "lost",
      "doubled",
      "wrong",
    ],
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
