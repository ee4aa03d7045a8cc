import { assert, describe, it } from "vitest"
import { requestWork } from "../../actors/RequestWork.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { sampleStrategy } from "../../supernet/Strategy.ts"
import { imageSource, taskGraph } from "../../supernet/TaskGraph.ts"

const spec = ofaMobileNetV3({ name: "t", version: "0", widthMultiplier: 0.5, classes: ["a", "b"] })
const random = seededRandom(7)
const graphs = Array.from({ length: 100 }, () => {
  const strategy = sampleStrategy(spec, ["a", "b", "c"], random)
  return { devices: strategy.devices.length, graph: taskGraph(spec, strategy) }
})

describe("the work of a request", () => {
  it("runs every task exactly once, each after all its inputs, on whichever device holds it", () => {
    for (const { devices, graph } of graphs) {
      const works = Array.from({ length: devices }, (_, d) => requestWork(graph, d))
      const ran: Array<number> = []
      const queue = works.flatMap((w, d) =>
        graph.edges.flatMap((e) =>
          e.from === imageSource && e.toDevice === d ? w.arrive(e.index).ready : [],
        ),
      )
      for (let task = queue.shift(); task !== undefined; task = queue.shift()) {
        const t = graph.tasks[task]
        assert(t !== undefined)
        for (const e of t.inputs) {
          const from = graph.edges[e]?.from ?? imageSource
          assert(from === imageSource || ran.includes(from), "an input was not computed yet")
        }
        ran.push(task)
        queue.push(...(works[t.device]?.done(task) ?? []))
        for (const e of t.outputs) {
          const edge = graph.edges[e]
          if (edge?.crosses === true) queue.push(...(works[edge.toDevice]?.arrive(e).ready ?? []))
        }
      }
      assert.strictEqual(new Set(ran).size, graph.tasks.length)
      assert.strictEqual(ran.length, graph.tasks.length)
      assert.deepStrictEqual(
        works.map((w) => w.remaining()),
        works.map(() => 0),
      )
    }
  })

  it("recognises duplicates and pieces that are not this device's", () => {
    const { graph } = graphs[0] ?? assert.fail()
    const work = requestWork(graph, 0)
    const mine = graph.edges.find((e) => e.toDevice === 0)
    const other = graph.edges.find((e) => e.toDevice !== 0)
    assert(mine !== undefined && other !== undefined)
    assert.strictEqual(work.arrive(mine.index).kind, "taken")
    assert.deepStrictEqual(work.arrive(mine.index), { kind: "duplicate", ready: [] })
    assert.strictEqual(work.arrive(other.index).kind, "foreign")
    assert.strictEqual(work.arrive(9999).kind, "foreign")
  })
})
