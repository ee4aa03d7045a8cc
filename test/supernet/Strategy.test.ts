import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import {
  crossingBlocks,
  localStrategy,
  normalizeStrategy,
  sampleStrategy,
  type Strategy,
  strategyId,
  strategyProblems,
} from "../../supernet/Strategy.ts"
import { maxSubmodel, minSubmodel } from "../../supernet/Submodel.ts"
import { taskGraph } from "../../supernet/TaskGraph.ts"

const spec = ofaMobileNetV3({ name: "strategy", version: "1", widthMultiplier: 1, classes: ["a", "b"] })
const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
const runs = { arbitrary: { runs: 200, size: 1e9 } }
const sample = (seed: number): Strategy => sampleStrategy(spec, ["a", "b", "c"], seededRandom(seed))
const local = localStrategy(spec, maxSubmodel(spec), "a")

it.prop(
  "a sampled strategy is valid and in canonical form",
  [Seed],
  ([seed]) => {
    const strategy = sample(seed)
    assert.deepStrictEqual(strategyProblems(spec, strategy), [])
    assert.deepStrictEqual(normalizeStrategy(spec, strategy), strategy)
  },
  runs,
)

it.prop(
  "bits are 32 exactly where nothing crosses, and 8 where the image does",
  [Seed],
  ([seed]) => {
    const strategy = sample(seed)
    const graph = taskGraph(spec, strategy)
    const crossing = crossingBlocks(spec, strategy)
    for (const [i, plan] of strategy.blocks.entries()) {
      const crosses = graph.edges.some((e) => e.crosses && graph.tasks[e.to]?.first === i)
      assert.strictEqual(crossing[i], crosses)
      if (!crosses) assert.strictEqual(plan.bits, 32)
      else if (i === 0) assert.strictEqual(plan.bits, 8)
    }
  },
  runs,
)

it.prop(
  "equal behaviour is an equal id: idle devices, unused bits and unused blocks do not count",
  [Seed],
  ([seed]) => {
    const strategy = sample(seed)
    const crossing = crossingBlocks(spec, strategy)
    const same: Strategy = {
      submodel: {
        ...strategy.submodel,
        kernels: strategy.submodel.kernels.map((k) => (k === 0 ? 7 : k)),
      },
      devices: [...strategy.devices, "idle"],
      blocks: strategy.blocks.map((plan, i) => (crossing[i] === true ? plan : { ...plan, bits: 8 })),
    }
    assert.strictEqual(strategyId(spec, same), strategyId(spec, strategy))
    const moved: Strategy = { ...strategy, devices: strategy.devices.map((d) => `${d}'`) }
    assert.notStrictEqual(strategyId(spec, moved), strategyId(spec, strategy))
  },
  runs,
)

it("two hundred sampled strategies have two hundred ids", () => {
  const ids = new Set(Array.from({ length: 200 }, (_, seed) => strategyId(spec, sample(seed))))
  assert.strictEqual(ids.size, 200)
})

it("what is wrong with a strategy is said in words", () => {
  const problem = (change: Partial<Strategy>) => strategyProblems(spec, { ...local, ...change }).join("; ")
  assert.include(problem({ devices: [] }), "no devices")
  assert.include(problem({ devices: ["a", "a"] }), "twice")
  assert.include(problem({ blocks: local.blocks.slice(1) }), "block plans")
  assert.include(problem({ submodel: { ...local.submodel, resolution: 100 } }), "resolution 100")
  const withPlan = (at: number, plan: Strategy["blocks"][number]) =>
    problem({ blocks: local.blocks.map((p, i) => (i === at ? plan : p)) })
  assert.include(withPlan(3, { grid: "2x2", bits: 32, placement: [0] }), "1 devices for a 2x2 grid")
  assert.include(withPlan(3, { grid: "1x1", bits: 32, placement: [4] }), "device index 4 of 1")
  assert.include(
    withPlan(local.blocks.length - 1, { grid: "1x2", bits: 32, placement: [0, 0] }),
    "the head has grid",
  )
})

it("a cut that would leave a tile without pixels is a problem, not a crash", () => {
  const small = { ...spec, resolutions: [32] }
  const strategy = localStrategy(small, minSubmodel(small, 32), "a")
  const blocks = strategy.blocks.map((plan, i) =>
    i === strategy.blocks.length - 2 ? ({ grid: "2x1", bits: 32, placement: [0, 0] } as const) : plan,
  )
  assert.include(strategyProblems(small, { ...strategy, blocks }).join(), "without pixels")
  assert.deepStrictEqual(strategyProblems(small, strategy), [])
})

it("what is wrong with a strategy is a short list, however much a client has written into it", () => {
  const many = Array.from({ length: 100_000 }, () => 99)
  const depths = { ...local, submodel: { ...local.submodel, depths: many } }
  const placement = { ...local, blocks: local.blocks.map((b) => ({ ...b, placement: many })) }
  for (const strategy of [depths, placement]) {
    const { length } = strategyProblems(spec, strategy)
    assert.isAbove(length, 0)
    assert.isBelow(length, 100)
  }
})
