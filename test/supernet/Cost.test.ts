import { assert, describe, it } from "@effect/vitest"
import { blockOps, submodelOps, totalMacs } from "../../supernet/Cost.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { activeBlocks, maxSubmodel, normalizeSubmodel } from "../../supernet/Submodel.ts"

const spec = ofaMobileNetV3({
  name: "ofa",
  version: "1",
  widthMultiplier: 1,
  classes: Array.from({ length: 1000 }, (_, i) => `${i}`),
})
const uniform = (resolution: number, depth: number, expand: number, kernel: number) =>
  normalizeSubmodel(spec, {
    resolution,
    depths: [depth, depth, depth, depth, depth],
    kernels: Array.from({ length: 20 }, () => kernel),
    expands: Array.from({ length: 20 }, () => expand),
  })

describe("work of a submodel", () => {
  // Once-for-All's own count of the uniform submodels of width 1.0 (ofa.py), millions of MACs at 224, 192, 160.
  it.each([
    ["D2-E3-K3", 2, 3, 3, [121, 90, 63]],
    ["D4-E3-K3", 4, 3, 3, [226, 167, 117]],
    ["D4-E4-K5", 4, 4, 5, [331, 244, 170]],
    ["D4-E6-K7", 4, 6, 7, [566, 417, 291]],
  ] as const)("of %s equals the published MACs at 224, 192 and 160", (_, d, e, k, published) => {
    const counted = [224, 192, 160].map((r) => totalMacs(submodelOps(spec, uniform(r, d, e, k))) / 1e6)
    for (const [i, millions] of published.entries()) assert.approximately(counted[i] ?? 0, millions, 1)
  })

  it.each([
    [2, 3, 3, 3.41],
    [4, 3, 3, 4.37],
    [4, 4, 5, 5.29],
    [4, 6, 7, 7.66],
  ])("has the published parameter count at depth %i, expand %i, kernel %i", (d, e, k, millions) => {
    const { parameters } = submodelOps(spec, uniform(224, d, e, k))
    assert.approximately(parameters / 1e6, millions, 0.02)
  })

  it("is shared exactly among the tiles of a cut, except for what every tile repeats", () => {
    const block = activeBlocks(spec, maxSubmodel(spec, 224)).find(
      (b) => b.kind === "dynamic" && b.stride === 1,
    )
    if (block === undefined) throw new Error("no stride 1 block")
    const whole = blockOps(spec, block, 56, 56)
    const tiles = [
      [32, 32],
      [32, 24],
      [24, 32],
      [24, 24],
    ].map(([h, w]) => blockOps(spec, block, h ?? 0, w ?? 0))
    const sum = (f: (o: typeof whole) => number) => tiles.reduce((s, o) => s + f(o), 0)
    assert.strictEqual(
      sum((o) => o.pointwise),
      whole.pointwise,
    )
    assert.strictEqual(
      sum((o) => o.depthwise7),
      whole.depthwise7,
    )
    assert.strictEqual(
      sum((o) => o.parameters),
      4 * whole.parameters,
    )
  })
})
