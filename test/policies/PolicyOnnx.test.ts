import { describe, expect, it } from "vitest"
import { canonicalize } from "../../policies/Genome.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyModel } from "../../policies/PolicyOnnx.ts"
import { loadPolicy } from "../../policies/PolicyRuntime.ts"
import { loadOnnxPolicy } from "../support/OnnxPolicy.ts"
import { policyShape, type StepUnit, stepUnits } from "../../policies/PolicyShape.ts"
import { absent } from "../../policies/Scenario.ts"
import { decodeHalf, encodeHalf } from "../../supernet/Float16.ts"
import { normal, seededRandom } from "../../supernet/Random.ts"
import { tinySpace } from "./TinyWorld.ts"

const random = seededRandom(4)
const constraints = Array.from({ length: 40 }, (_, i) => {
  const c = Float64Array.from({ length: 9 }, () => random.next())
  // Every subset of the remotes occurs.
  for (let slot = 0; slot < 4; slot++) if ((i >> slot) & 1) c[1 + 2 * slot] = c[2 + 2 * slot] = absent
  return c
})

/** A network with weights that are exact in float16, so that both decoders compute with the same numbers. */
const network = async (hidden: number, stepPer: StepUnit) => {
  const made = await PolicyNetwork.make(policyShape(tinySpace, 4, hidden, stepPer), random)
  for (const name of ["output", "within", "bias"] as const) {
    const w = made.parameters.weight(name)
    // Larger than at the start: close calls between choices would test rounding, not decoding.
    for (let i = 0; i < w.length; i++)
      w[i] = (name === "output" ? 3 / Math.sqrt(hidden) : 0.5) * normal(random)
  }
  // `within` has rows for choices and meets later heads only: clear what training could never set.
  const { shape } = made
  const within = made.parameters.weight("within")
  for (const heads of [shape.outlineHeads, shape.blockHeads]) {
    for (const [i, head] of heads.entries()) {
      for (let a = head.column; within.length > 0 && a < head.column + head.count; a++) {
        for (let c = 0; c < shape.columns; c++) {
          const later = heads.slice(i + 1).some((h) => c >= h.column && c < h.column + h.count)
          if (!later) within[a * shape.columns + c] = 0
        }
      }
    }
  }
  const { weights } = made.parameters.snapshot()
  made.parameters.restore({ weights: decodeHalf(encodeHalf(weights)) })
  return made
}

describe.each(stepUnits)("policy as ONNX with a step per %s", (stepPer) => {
  it("chooses what the trainer's own decoder chooses, for any subset of the devices", async () => {
    const trained = await network(64, stepPer)
    const runtime = await loadOnnxPolicy(policyModel(trained), trained.shape)
    const ours = trained.choose(constraints, { greedy: true, random })
    const theirs = await runtime.decode(constraints)
    for (const [i, genome] of theirs.entries()) {
      expect(canonicalize(tinySpace, genome)).toEqual(canonicalize(tinySpace, (ours[i] ?? genome).slice()))
    }
  })

  it("is read back into a network that chooses the same, one constraint at a time or many", async () => {
    const trained = await network(64, stepPer)
    // The shape says nothing of the steps: the model does.
    const device = await loadPolicy(policyModel(trained), policyShape(tinySpace, 4, 64))
    const ours = trained.choose(constraints, { greedy: true, random })
    expect(await device.decode(constraints)).toEqual(ours)
    for (const [i, c] of constraints.slice(0, 8).entries())
      expect(await device.decode([c])).toEqual([ours[i]])
  })

  it("is refused where it is of another shape", async () => {
    const model = policyModel(await network(32, stepPer))
    await expect(loadPolicy(model, policyShape(tinySpace, 4, 64))).rejects.toThrow(
      /weights 'features_w16'|scenario and supernet need/,
    )
    await expect(loadPolicy(model, policyShape(tinySpace, 3, 32))).rejects.toThrow(
      /scenario and supernet need/,
    )
  })

  it("never chooses an absent device", async () => {
    const trained = await network(32, stepPer)
    const runtime = await loadOnnxPolicy(policyModel(trained), trained.shape)
    const alone = new Float64Array(9).fill(absent).with(0, 0.5)
    const [genome] = await runtime.decode([alone])
    expect(genome).toBeDefined()
    expect(
      Array.from(canonicalize(tinySpace, genome ?? new Uint8Array()).slice(6)).filter((_, i) => i % 8 >= 4),
    ).not.toContain(4)
  })

  it("is at most one megabyte with 256 units", async () => {
    const trained = await network(256, stepPer)
    expect(policyModel(trained).byteLength).toBeLessThanOrEqual(1_000_000)
  })
})
