import { describe, expect, it } from "vitest"
import {
  type Decided,
  type Evolved,
  evolutionRow,
  figure18,
  timesAsLong,
} from "../../bench/EvolutionTimes.ts"

const decided: Decided = {
  constraint: new Float64Array(),
  alone: new Uint8Array(),
  repaired: new Uint8Array(),
  policyMs: 1,
  decideMs: 2,
  evaluations: 1,
  source: "policy",
}
const run = (ms: number, reached: boolean) => ({ ms, reached })
const alone = [run(10, true), run(15, true), run(90, false), run(20, true), run(30, true)]
const evolved: Evolved = {
  decided: alone.map(() => decided),
  alone,
  repaired: alone.map(({ ms }) => run(ms, true)),
}

describe("evolution beside decisions", () => {
  it("counts a search that gave up with its time, and says how many did not", () => {
    const row = evolutionRow("as good", alone)
    expect([row["evolution_runs"], row["evolution_p50_ms"], row["evolution_reached"]]).toEqual([5, 20, 0.8])
    expect(
      timesAsLong(
        alone,
        alone.map(() => 5),
      ),
    ).toBe(4)
  })

  it("says in figure 18 in how many conditions it gave up", () => {
    expect(figure18(evolved)).toContain("gave up (500 generations) in 20 % and 0 % of them")
    expect(figure18({ ...evolved, alone: evolved.repaired })).not.toContain("gave up (500")
  })
})
