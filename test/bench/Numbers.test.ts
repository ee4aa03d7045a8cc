import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import {
  headlineTable,
  missesText,
  overview,
  storedResults,
  type StoredResult,
  withHeadlines,
} from "../../bench/Numbers.ts"

const result = (value: number): StoredResult => ({
  bench: "overhead",
  command: "npm run bench -- overhead",
  commit: "abc",
  date: "2026-01-02T03:04:05Z",
  kind: "measured",
  host: { load: [0.5, 1.25] },
  checks: [
    { name: "p50_ms", value, op: "<=", bound: 4 },
    { name: "p99_ms", value: 2 * value, op: "<=", bound: 10 },
  ],
})

describe("the tables of numbers", () => {
  it("in README and docs/results are those of the results", () => {
    const results = storedResults()
    const readme = readFileSync(join(projectRoot, "README.md"), "utf8")
    expect(readme).toContain(`\n${headlineTable(results)}\n\n${missesText(results)}\n`)
    expect(readFileSync(join(projectRoot, "docs/results/README.md"), "utf8")).toBe(overview(results))
  })

  it("say what was missed", () => {
    const good = headlineTable(new Map([["overhead", result(3)]]))
    expect(good).toContain("| 3 / 6 ms | ≤ 4 / ≤ 10 |")
    const bad = headlineTable(new Map([["overhead", result(5.44)]]))
    expect(bad).toContain("| 5.44 / 10.9 ms | ≤ 4 missed / ≤ 10 missed |")
    expect(headlineTable(new Map([["overhead", result(4.5)]]))).toContain("| ≤ 4 missed / ≤ 10 |")
    expect(overview(new Map([["overhead", result(5.44)]]))).toContain("0 of 2 checks met")
  })

  it("have numbers beside the checks, from the rows, without a bound", () => {
    const names = ["requests", "lost", "doubled", "wrong"]
    const checks = names.map((name) => ({ name, value: 0, op: "=", bound: 0 }) as const)
    const rows = [
      { answered: 8, ends: "answer 8, BusDown 1, silence 1" },
      { answered: 2, ends: "answer 2, NobodyListens 3" },
    ]
    const chaos = { ...result(3), bench: "chaos", checks }
    expect(headlineTable(new Map([["chaos", { ...chaos, rows }]]))).toContain(
      "| 0 / 10 / 1 / 3 / 0 / 0 / 0 | = 0 / - / - / - / = 0 / = 0 / = 0 |",
    )
    expect(headlineTable(new Map([["chaos", chaos]]))).not.toContain("chaos")
  })

  it("count all checks, and name each one that was missed, headline or not", () => {
    const hidden = { name: "worst", value: 0.783_7, op: "within", bound: [0, 0.15] } as const
    const bad = { ...result(5), bench: "monitor", checks: [...result(3).checks, hidden] }
    const results = new Map([
      ["monitor", bad],
      ["overhead", result(4.5)],
    ])
    expect(missesText(results).split("\n")).toEqual([
      "3 of 5 checks are met. Missed:",
      "",
      "- `monitor`: `worst` 0.784 (0 to 0.15)",
      "- `overhead`: `p50_ms` 4.5 (≤ 4)",
    ])
    expect(missesText(new Map([["overhead", result(3)]]))).toBe("2 of 2 checks are met.")
  })

  it("have as many digits as tell a value from its bound", () => {
    const text = (value: number, op: "<=" | ">", bound: number) => {
      const checks = [{ name: "c", value, op, bound }] as const
      return overview(new Map([["overhead", { ...result(3), checks }]]), []).split(" | c | ")[1] ?? ""
    }
    expect(text(1.000_67, "<=", 1.005)).toContain("1.001 | ≤ 1.005 | met")
    expect(text(1.0051, "<=", 1.005)).toContain("1.01 | ≤ 1.005 | **missed**")
    expect(text(0.99996, "<=", 1)).toContain("0.99996 | ≤ 1 | met")
    expect(text(1, "<=", 1)).toContain("1 | ≤ 1 | met")
    expect(text(1.04e-4, "<=", 1e-4)).toContain("1.04e-4 | ≤ 1e-4 | **missed**")
    expect(text(200_000.4, ">", 200_000)).toContain("200000.4 | > 200000 | met")
    expect(text(0.009_06, ">", 0.033_037)).toContain("0.00906 | > 0.03304 | **missed**")
    // As JSON gives back what is no number.
    const none = JSON.parse("null") as number
    expect(text(none, "<=", 1)).toContain("none | ≤ 1 | **missed**")
    expect(text(0, ">", none)).toContain("0 | > none | **missed**")
  })

  it("say which benches have no stored result", () => {
    const results = new Map([["overhead", result(3)]])
    expect(overview(results, ["overhead", "profiles", "sweep"])).toContain(
      "2 of 2 checks met. Not among them, for no result of theirs is stored: `profiles`, `sweep`.",
    )
    expect(overview(results, ["overhead"])).toContain("2 of 2 checks met.\n")
  })

  it("replace only their own part of a page", () => {
    const page = "before\n<!-- numbers: written by npm run bench -->\nold\n<!-- end of numbers -->\nafter\n"
    const made = withHeadlines(page, new Map([["overhead", result(3)]]))
    expect(made.startsWith("before\n")).toBe(true)
    expect(made.endsWith("<!-- end of numbers -->\nafter\n")).toBe(true)
    expect(made).not.toContain("old")
    expect(withHeadlines("no marks", new Map())).toBe("no marks")
  })
})
