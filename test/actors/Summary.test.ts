/** The line for people about a strategy, and what the demo reads in it. */
import { assert, describe, it } from "@effect/vitest"
import { summarize } from "../../actors/Summary.ts"
import { type Place, placeOf } from "../../cli/DemoMeasures.ts"
import { type Grid, grids, tileCount } from "../../supernet/Partition.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { type Bits, normalizeStrategy, sampleStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { activeBlocks, maxSubmodel, minSubmodel, type Submodel } from "../../supernet/Submodel.ts"
import { taskGraph } from "../../supernet/TaskGraph.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const devices = ["pi-1", "pi-2", "pi-3"]

interface Block {
  readonly grid?: Grid
  readonly bits?: Bits
  readonly placement: ReadonlyArray<number>
}

/** A strategy whose block `i` of `n` is as told; 1x1 and whole values unless said. */
const strategyOf = (submodel: Submodel, block: (i: number, n: number) => Block): Strategy => {
  const blocks = activeBlocks(tinySpec, submodel)
  return normalizeStrategy(tinySpec, {
    submodel,
    devices,
    blocks: blocks.map((_, i) => ({ grid: "1x1", bits: 32, ...block(i, blocks.length) })),
  })
}

const summaryOf = (strategy: Strategy) => summarize({ strategy, graph: taskGraph(tinySpec, strategy) })
const [small, large] = [minSubmodel(tinySpec), maxSubmodel(tinySpec, 96)]

const examples: ReadonlyArray<readonly [Place, string, Strategy]> = [
  ["local", "whole", strategyOf(large, () => ({ placement: [0] }))],
  [
    "local",
    "cut, and all tiles here",
    strategyOf(small, (i) => (i < 3 ? { grid: "2x2", placement: [0, 0, 0, 0] } : { placement: [0] })),
  ],
  ["offloaded", "whole on another", strategyOf(small, () => ({ bits: 8, placement: [2] }))],
  [
    "split",
    "begun here, ended there",
    strategyOf(large, (i) => (i < 4 ? { placement: [0] } : { bits: 16, placement: [1] })),
  ],
  ["split", "there and back", strategyOf(large, (i, n) => ({ placement: [i > 2 && i < n - 2 ? 2 : 0] }))],
  [
    "split",
    "cut, its tiles on one other",
    strategyOf(small, (i) => (i < 3 ? { grid: "2x1", bits: 8, placement: [1, 1] } : { placement: [0] })),
  ],
  [
    "tiled",
    "two halves",
    strategyOf(small, (i) => (i < 3 ? { grid: "1x2", placement: [0, 1] } : { placement: [0] })),
  ],
  [
    "tiled",
    "four quarters on three, the rest elsewhere",
    strategyOf(large, (i) =>
      i < 5 ? { grid: "2x2", bits: 8, placement: [0, 1, 2, 1] } : { bits: 8, placement: [2] },
    ),
  ],
]

/** The same from the strategy itself. */
const placed = (strategy: Strategy): Place => {
  if (strategy.blocks.some((b) => new Set(b.placement).size > 1)) return "tiled"
  const used = new Set(strategy.blocks.flatMap((b) => b.placement))
  if (used.size > 1) return "split"
  return used.has(0) ? "local" : "offloaded"
}

describe("the summary of a strategy", () => {
  for (const [place, what, strategy] of examples) {
    it(`tells that it is ${place}: ${what}`, () => {
      const summary = summaryOf(strategy)
      assert.strictEqual(placeOf({ summary }), place, summary.text)
      assert.strictEqual(placed(strategy), place)
    })
  }

  it("tells for any strategy where it computes", () => {
    const random = seededRandom(12)
    const seen = new Set<Place>()
    for (let n = 0; n < 300; n++) {
      const count = 1 + (n % 3)
      const strategy = sampleStrategy(tinySpec, devices.slice(0, count), random)
      const summary = summaryOf(strategy)
      assert.strictEqual(placeOf({ summary }), placed(strategy), summary.text)
      seen.add(placed(strategy))
    }
    assert.include([...seen], "local")
    assert.include([...seen], "tiled")
  })

  it("names the submodel, each stretch of blocks with its grid, bits and devices, and what crosses", () => {
    const strategy = strategyOf(large, (i, n) =>
      i < 3 ? { grid: "2x1", bits: 8, placement: [0, 1] } : { bits: i < n - 1 ? 16 : 32, placement: [1] },
    )
    const summary = summaryOf(strategy)
    const [head, ...stretches] = summary.text.split(" · ")
    assert.strictEqual(head, `96px d${large.depths.join("")} e6.0`)
    assert.lengthOf(stretches, 2)
    assert.match(stretches[0] ?? "", /^stem-b2 2x1( 8bit)? on pi-1,pi-2$/)
    assert.match(stretches[1] ?? "", /^b3-head( 16bit)? on pi-2$/)
    assert.deepInclude(summary, { resolution: 96, depths: large.depths })
    assert.deepStrictEqual(summary.devices, strategy.devices)
    const graph = taskGraph(tinySpec, strategy)
    assert.strictEqual(summary.tasks, graph.tasks.length)
    assert.strictEqual(summary.crossings, graph.edges.filter((e) => e.fromDevice !== e.toDevice).length)
    assert.isAbove(summary.crossings, 0)
  })

  it("has a stretch for every grid that is used", () => {
    for (const grid of grids) {
      const placement = Array.from({ length: tileCount(grid) }, (_, t) => t % 3)
      const { text } = summaryOf(strategyOf(small, (i) => (i < 2 ? { grid, placement } : { placement: [0] })))
      assert.strictEqual(new RegExp(` ${grid}( 8bit)? on `).test(text), grid !== "1x1", text)
    }
  })
})
