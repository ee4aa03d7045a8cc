import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { geometry, intersect, regionArea } from "../../supernet/Partition.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { localDevice, localStrategy, sampleStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { edgeBytes, imageSource, taskGraph } from "../../supernet/TaskGraph.ts"

const spec = ofaMobileNetV3({ name: "graph", version: "1", widthMultiplier: 1, classes: ["a", "b"] })
const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
const runs = { arbitrary: { runs: 200, size: 1e9 } }
const devices = ["a", "b", "c", "d"]
const sample = (seed: number): Strategy => {
  const random = seededRandom(seed)
  return sampleStrategy(spec, devices, random, { locality: random.next() })
}

it.prop(
  "every tile of every block is computed by exactly one task, on the device that the strategy says",
  [Seed],
  ([seed]) => {
    const strategy = sample(seed)
    const { tasks, blocks, geometry } = taskGraph(spec, strategy)
    const seen = new Map<string, number>()
    for (const task of tasks) {
      for (let block = task.first; block <= task.last; block++) {
        seen.set(`${block}/${task.tile}`, (seen.get(`${block}/${task.tile}`) ?? 0) + 1)
        assert.strictEqual(strategy.blocks[block]?.placement[task.tile], task.device)
        assert.strictEqual(geometry[block]?.run, geometry[task.first]?.run)
      }
      assert.deepStrictEqual(task.input, geometry[task.first]?.inputTiles[task.tile])
      assert.deepStrictEqual(task.output, geometry[task.last]?.outputTiles[task.tile])
    }
    assert.isTrue([...seen.values()].every((count) => count === 1))
    assert.strictEqual(
      seen.size,
      geometry.reduce((sum, g) => sum + g.inputTiles.length, 0),
    )
    assert.strictEqual(blocks[tasks.at(-1)?.last ?? -1]?.kind, "head")
  },
  runs,
)

it.prop(
  "edges cover each task's input exactly once, from producers that come before it",
  [Seed],
  ([seed]) => {
    const { tasks, edges, blocks } = taskGraph(spec, sample(seed))
    for (const task of tasks) {
      const inputs = task.inputs.map((i) => edges[i])
      let area = 0
      for (const [i, edge] of inputs.entries()) {
        assert.isDefined(edge)
        if (edge === undefined) continue
        area += regionArea(edge.region)
        assert.deepStrictEqual(intersect(edge.region, task.input), edge.region)
        assert.strictEqual(edge.to, task.index)
        assert.strictEqual(edge.channels, blocks[task.first]?.inChannels)
        for (const other of inputs.slice(i + 1)) {
          if (other !== undefined) assert.isUndefined(intersect(edge.region, other.region))
        }
        const producer = tasks[edge.from]
        if (edge.from === imageSource) {
          assert.strictEqual(edge.fromDevice, localDevice)
          continue
        }
        assert.isBelow(edge.from, task.index)
        assert.strictEqual(producer?.last, task.first - 1)
        assert.deepStrictEqual(intersect(edge.region, producer?.output ?? task.input), edge.region)
        assert.include(producer?.outputs ?? [], edge.index)
      }
      assert.strictEqual(area, regionArea(task.input))
    }
  },
  runs,
)

it.prop(
  "only edges between devices cross, and only they are narrowed",
  [Seed],
  ([seed]) => {
    const strategy = sample(seed)
    const { tasks, edges } = taskGraph(spec, strategy)
    for (const edge of edges) {
      assert.strictEqual(edge.crosses, edge.fromDevice !== edge.toDevice)
      assert.strictEqual(edge.toDevice, tasks[edge.to]?.device)
      assert.strictEqual(edge.bits, edge.crosses ? strategy.blocks[tasks[edge.to]?.first ?? -1]?.bits : 32)
      assert.strictEqual(edgeBytes(edge), (regionArea(edge.region) * edge.channels * edge.bits) / 8)
    }
  },
  runs,
)

it("one device and no cut is one task with the image as its only edge", () => {
  const submodel = maxSubmodel(spec)
  const { tasks, edges, blocks } = taskGraph(spec, localStrategy(spec, submodel, "a"))
  assert.strictEqual(tasks.length, 1)
  assert.strictEqual(edges.length, 1)
  assert.strictEqual(tasks[0]?.last, blocks.length - 1)
  assert.strictEqual(edges[0]?.from, imageSource)
  const one = geometry(
    blocks,
    submodel.resolution,
    blocks.map(() => "1x1"),
  )
  assert.deepStrictEqual(tasks[0]?.input, one[0]?.inputTiles[0])
})
