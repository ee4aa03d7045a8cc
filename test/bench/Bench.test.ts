import { describe, expect, it } from "vitest"
import { type BenchResult, benchNames, type Check, commitNow, passes, report } from "../../bench/Bench.ts"

const check = (value: number, op: Check["op"], bound: Check["bound"]): Check => ({
  name: "c",
  value,
  op,
  bound,
})

describe("a check", () => {
  it("is met by a number within its bound", () => {
    expect(passes(check(4, "<=", 4))).toBe(true)
    expect(passes(check(4.1, "<=", 4))).toBe(false)
    expect(passes(check(4, ">", 4))).toBe(false)
    expect(passes(check(0, "=", 0))).toBe(true)
    expect(passes(check(1, "within", [1, 2]))).toBe(true)
  })

  it("is not met by what is no finite number, on either side", () => {
    expect(passes(check(Infinity, ">=", 0.97))).toBe(false)
    expect(passes(check(Number.NaN, "<=", 4))).toBe(false)
    expect(passes(check(1, ">", Number.NaN))).toBe(false)
    expect(passes(check(1, "within", [0, Infinity]))).toBe(false)
    const stored = JSON.parse(JSON.stringify(check(Number.NaN, "<=", 4))) as Check
    expect(passes(stored)).toBe(false)
  })
})

describe("a result", () => {
  const bench = { name: "no-such-bench", proves: "", takes: "", run: () => Promise.reject(new Error()) }
  const how = { command: "", seed: 1, write: true, commit: "abc", loadBefore: 0 }
  const empty: BenchResult = { kind: "measured", checks: [], rows: [], notes: [] }

  it("without checks or rows is not written over a good one", () => {
    expect(() => report(bench, empty, how)).toThrow("no-such-bench ended without checks")
    const checked = { ...empty, checks: [check(1, ">=", 1)] }
    expect(() => report(bench, checked, how)).toThrow("no-such-bench ended without rows")
    expect(report(bench, empty, { ...how, write: false })).toEqual([])
  })

  it("names the commit that ran, and whether the tree differs from it", () => {
    expect(commitNow()).toMatch(/^([0-9a-f]{7,}(-dirty)?|unknown)$/)
  })
})

it("benches are the files in lower case, without the program that runs them", () => {
  expect(benchNames()).toContain("policy-steps")
  expect(benchNames()).not.toContain("main")
})
