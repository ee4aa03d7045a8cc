import { describe, expect, it } from "vitest"
import { isPresent } from "../../policies/Scenario.ts"
import { loadScenario, scenarioNames } from "../../policies/ScenarioFiles.ts"
import { validationConstraints } from "../../policies/Validation.ts"

/** Pearson's correlation of two columns. */
const correlation = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const mean = (values: ReadonlyArray<number>) => values.reduce((x, y) => x + y, 0) / values.length
  const [meanA, meanB] = [mean(a), mean(b)]
  const product = (x: ReadonlyArray<number>, mx: number, y: ReadonlyArray<number>, my: number) =>
    x.reduce((sum, v, i) => sum + (v - mx) * ((y[i] ?? 0) - my), 0)
  return product(a, meanA, b, meanB) / Math.sqrt(product(a, meanA, a, meanA) * product(b, meanB, b, meanB))
}

describe.each(scenarioNames)("the validation grid of %s", (name) => {
  const scenario = loadScenario(name)
  const slots = scenario.remotes.map((_, slot) => slot)
  const constraints = validationConstraints(scenario, { count: 128, grid: true })
  const isMissing = constraints.map((c) => slots.map((slot) => (isPresent(c, slot) ? 0 : 1)))
  const missing = isMissing.map((slot) => Math.max(...slot))

  it("has remotes missing in a quarter of its constraints", () => {
    expect(Math.abs(missing.reduce<number>((sum, m) => sum + m, 0) / 128 - 0.25)).toBeLessThan(0.03)
  })

  it("asks as strict an SLO with remotes missing as without, whichever they are", () => {
    const slo = constraints.map((c) => c[0] ?? 0)
    // Twice the standard error of a correlation of 128 independent pairs is 0.18.
    expect(Math.abs(correlation(slo, missing))).toBeLessThan(0.1)
    for (const slot of slots) {
      const gone = isMissing.map((m) => m[slot] ?? 0)
      expect(Math.abs(correlation(slo, gone))).toBeLessThan(0.18)
    }
  })

  it("gives the links of present remotes no relation to the SLO", () => {
    for (let d = 1; d < 1 + 2 * slots.length; d++) {
      const there = constraints.filter((c) => (c[d] ?? -1) >= 0)
      const column = (at: number) => there.map((c) => c[at] ?? 0)
      expect(Math.abs(correlation(column(0), column(d)))).toBeLessThan(0.25)
    }
  })
})

it("a validation grid of subsets alone has a remote missing in every constraint", () => {
  const constraints = validationConstraints(loadScenario("swarm"), { count: 60, grid: false, subsets: 1 })
  expect(constraints.every((c) => [0, 1, 2, 3].some((slot) => !isPresent(c, slot)))).toBe(true)
})
