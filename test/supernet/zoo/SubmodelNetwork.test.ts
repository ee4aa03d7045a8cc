import { assert, describe, it } from "@effect/vitest"
import { submodelOps } from "../../../supernet/Cost.ts"
import { seededRandom } from "../../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../../supernet/Spec.ts"
import { sampleSubmodel } from "../../../supernet/Submodel.ts"
import { networkOps } from "../../../supernet/zoo/LayerGraph.ts"
import { submodelNetwork } from "../../../supernet/zoo/SubmodelNetwork.ts"

describe("submodelNetwork", () => {
  it.each([1, 1.2])("does the work of the submodel, class by class, at width %d", (widthMultiplier) => {
    const classes = Array.from({ length: 1000 }, (_, i) => String(i))
    const spec = ofaMobileNetV3({ name: "ofa", version: "1", widthMultiplier, classes })
    for (let seed = 0; seed < 40; seed++) {
      const submodel = sampleSubmodel(spec, seededRandom(seed))
      const network = submodelNetwork(spec, submodel, { name: "s", top1: 0.75, source: "" })
      assert.deepStrictEqual(networkOps(network), submodelOps(spec, submodel))
    }
  })
})
