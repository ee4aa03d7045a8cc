/** A scenario file that cannot be trained for is refused when it is read, with what to write instead. */
import { describe, expect, it } from "vitest"
import { decodeScenario, loadScenario, scenarioNames } from "../../policies/ScenarioFiles.ts"

const good = loadScenario("fleet")
const range = good.bandwidthMbps

describe("a scenario file", () => {
  it.each(scenarioNames)("that comes with the project is sound: %s", (name) => {
    expect(decodeScenario(JSON.parse(JSON.stringify(loadScenario(name))))).toEqual(loadScenario(name))
  })

  it.each([
    [{ bandwidthMbps: { ...range, min: 200, max: 200 } }, /min 200 is not below max 200/],
    [{ latencySloMs: { ...range, min: 0 } }, /a log scale cannot begin at 0.*"linear"/],
    [{ bandwidthMbps: { ...range, min: 0, scale: "linear" } }, /begins at 0: give min > 0/],
    [{ delayMs: { ...range, points: 1 } }, /give 2 or more/],
    [{ delayMs: { ...range, points: 2.5 } }, /integer/],
    [{ remotes: ["a", "b", "a"] }, /type a lie apart.*\["a","a","b"\]/],
  ])("is refused where it says %j", (changed, problem) => {
    expect(() => decodeScenario({ ...good, ...changed })).toThrow(problem)
  })

  it("may have delays of none, and several types", () => {
    const delayMs = { ...range, min: 0, scale: "linear" }
    expect(decodeScenario({ ...good, delayMs, remotes: ["a", "b", "b"] }).remotes).toEqual(["a", "b", "b"])
  })
})
