import { describe, expect, it } from "vitest"
import { policyShape, stepUnits, writeFeatures } from "../../policies/PolicyShape.ts"
import { absent } from "../../policies/Scenario.ts"
import { tinySpace } from "./TinyWorld.ts"

const shape = policyShape(tinySpace, 2, 8)
const featuresOf = (...constraint: ReadonlyArray<number>) => {
  const out = new Float32Array(shape.features)
  writeFeatures(shape, Float64Array.from(constraint), out, 0)
  return out
}
/** Zeros and ones only: what stays apart from the values themselves. */
const steps = (features: Float32Array) => features.filter((x) => x === 0 || x === 1)
const ones = (features: Float32Array) => features.reduce((sum, x) => sum + (x === 1 ? 1 : 0), 0)

describe.each(stepUnits)("a step per %s", (stepPer) => {
  it("decides every gene of a genome once, in order", () => {
    const { plan } = policyShape(tinySpace, 2, 8, stepPer)
    const genes = plan.flatMap(({ gene, heads }) => heads.map((_, i) => gene + i))
    expect(genes).toEqual(Array.from({ length: tinySpace.length }, (_, i) => i))
  })
})

describe("features of a constraint", () => {
  it("step exactly at the grid points of the replay buffer, and nowhere between", () => {
    const below = featuresOf(0.5, 4 / 9 - 1e-6, 0.3, absent, absent)
    const at = featuresOf(0.5, 4 / 9, 0.3, absent, absent)
    const above = featuresOf(0.5, 4 / 9 + 0.1, 0.3, absent, absent)
    expect(ones(at)).toBe(ones(below) + 1)
    expect(steps(above)).toEqual(steps(at))
  })

  it("never lose a one when the constraint is relaxed", () => {
    const strict = featuresOf(0.2, 0.1, 0.3, 0.5, 0.5)
    const relaxed = featuresOf(0.4, 0.6, 0.3, 0.9, 0.5)
    for (const [i, x] of strict.entries()) expect(relaxed[i]).toBeGreaterThanOrEqual(x)
  })

  it("are all zero for an absent remote", () => {
    const missing = featuresOf(0.5, absent, absent, absent, absent)
    const present = featuresOf(0.5, 0, 0, absent, absent)
    expect(ones(present)).toBeGreaterThan(ones(missing))
    expect(ones(missing)).toBe(1 + 19)
  })
})
