import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type BlockGeometry,
  geometry,
  type Grid,
  grids,
  intersect,
  mapSizes,
  type Region,
  regionArea,
  regionHeight,
  regionWidth,
  sameRegion,
  tileCount,
} from "../../supernet/Partition.ts"
import { pick, type Random, seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { type ActiveBlock, activeBlocks, sampleSubmodel } from "../../supernet/Submodel.ts"

const spec = ofaMobileNetV3({
  name: "geometry",
  version: "1",
  widthMultiplier: 1,
  classes: ["a", "b"],
  resolutions: [64, 96, 128, 160, 192, 224],
})
const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
const runs = { arbitrary: { runs: 300, size: 1e9 } }

interface Sample {
  readonly blocks: ReadonlyArray<ActiveBlock>
  readonly resolution: number
  readonly grids: ReadonlyArray<Grid>
  readonly geometry: ReadonlyArray<BlockGeometry>
}

const sample = (random: Random): Sample => {
  const submodel = sampleSubmodel(spec, random)
  const blocks = activeBlocks(spec, submodel)
  let grid: Grid = "1x1"
  const chosen = blocks.map((b) => {
    if (b.kind === "head") return "1x1"
    if (random.next() < 0.5) grid = pick(random, grids)
    return grid
  })
  const { resolution } = submodel
  return { blocks, resolution, grids: chosen, geometry: geometry(blocks, resolution, chosen) }
}

/** Whether regions cover a square map of this side exactly once, none of them empty. */
const coversOnce = (regions: ReadonlyArray<Region>, side: number): boolean => {
  const inside = regions.every(
    (r) => r.y0 >= 0 && r.x0 >= 0 && r.y1 <= side && r.x1 <= side && regionArea(r) > 0,
  )
  const disjoint = regions.every((a, i) => regions.every((b, j) => i === j || intersect(a, b) === undefined))
  return inside && disjoint && regions.reduce((sum, r) => sum + regionArea(r), 0) === side * side
}

it.prop(
  "tiles cover every block's input and output map exactly once",
  [Seed],
  ([seed]) => {
    const { geometry, grids } = sample(seededRandom(seed))
    for (const [i, g] of geometry.entries()) {
      assert.strictEqual(g.inputTiles.length, tileCount(grids[i] ?? "1x1"))
      assert.isTrue(coversOnce(g.inputTiles, g.inputSize))
      assert.isTrue(coversOnce(g.outputTiles, g.outputSize))
    }
  },
  runs,
)

it.prop(
  "a cut stays a whole pixel through every stride of its run",
  [Seed],
  ([seed]) => {
    const { blocks, geometry } = sample(seededRandom(seed))
    for (const [i, g] of geometry.entries()) {
      const [block, next] = [blocks[i], geometry[i + 1]]
      if (block === undefined || block.kind === "head") continue
      for (const [t, input] of g.inputTiles.entries()) {
        const output = g.outputTiles[t]
        for (const side of ["y0", "y1", "x0", "x1"] as const) {
          assert.isTrue(Number.isInteger(input[side]))
          assert.strictEqual(input[side], (output?.[side] ?? Number.NaN) * block.stride)
        }
        if (next?.run === g.run) assert.deepStrictEqual(next.inputTiles[t], output)
      }
    }
  },
  runs,
)

it.prop(
  "runs are maximal: neighbours share a run exactly where they share a grid",
  [Seed],
  ([seed]) => {
    const { geometry, grids } = sample(seededRandom(seed))
    for (const [i, g] of geometry.entries()) {
      const before = geometry[i - 1]
      if (before !== undefined) assert.strictEqual(g.run === before.run, grids[i] === grids[i - 1])
    }
  },
  runs,
)

it.prop(
  "tiles of one map differ in area by no more than the rounding of the cut",
  [Seed],
  ([seed]) => {
    const { geometry } = sample(seededRandom(seed))
    for (const g of geometry) {
      const last = geometry.findLast((other) => other.run === g.run)
      const step = g.outputSize / (last?.outputSize ?? 1)
      for (const a of g.outputTiles) {
        for (const b of g.outputTiles) {
          if (g.outputSize === 1) continue
          assert.isAtMost(
            Math.abs(regionHeight(a) - regionHeight(b)),
            g.grid.startsWith("2") ? g.outputSize / 3 + step : 0,
          )
          assert.isAtMost(
            Math.abs(regionWidth(a) - regionWidth(b)),
            g.grid.endsWith("2") ? g.outputSize / 3 + step : 0,
          )
        }
      }
    }
  },
  runs,
)

it("7 is cut as 4 + 3, and the maps before it as 8 + 6 and 16 + 12", () => {
  const submodel = sampleSubmodel(spec, seededRandom(1))
  const blocks = activeBlocks(spec, { ...submodel, resolution: 224 })
  const all = geometry(
    blocks,
    224,
    blocks.map((b) => (b.kind === "head" ? "1x1" : "2x1")),
  )
  const cuts = new Map(all.map((g) => [g.outputSize, g.outputTiles[0]?.y1]))
  assert.deepStrictEqual(
    [112, 56, 28, 14, 7].map((size) => cuts.get(size)),
    [64, 32, 16, 8, 4],
  )
  assert.deepStrictEqual(mapSizes(blocks, 224).at(-2), 7)
})

it.prop(
  "intersection is the common part: commutative, inside both, empty as undefined",
  [Seed],
  ([seed]) => {
    const random = seededRandom(seed)
    const region = (): Region => {
      const [y0, x0] = [Math.floor(random.next() * 9), Math.floor(random.next() * 9)]
      return {
        y0,
        x0,
        y1: y0 + 1 + Math.floor(random.next() * 5),
        x1: x0 + 1 + Math.floor(random.next() * 5),
      }
    }
    const [a, b] = [region(), region()]
    let common = 0
    for (let y = 0; y < 20; y++)
      for (let x = 0; x < 20; x++)
        if ([a, b].every((r) => y >= r.y0 && y < r.y1 && x >= r.x0 && x < r.x1)) common++
    const both = intersect(a, b)
    assert.deepStrictEqual(both, intersect(b, a))
    assert.strictEqual(both === undefined ? 0 : regionArea(both), common)
    assert.isTrue(sameRegion(intersect(a, a) ?? b, a))
  },
  runs,
)
