import * as tf from "@tensorflow/tfjs"
import { beforeAll, describe, expect, it } from "vitest"
import { canonicalize, type Genome } from "../../policies/Genome.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import {
  isActiveStep,
  isLegal,
  type ParameterName,
  parameterSizes,
  policyShape,
  type PolicyShape,
  presence,
  stepAt,
  stepUnits,
  writeFeatures,
} from "../../policies/PolicyShape.ts"
import { absent, type Constraint } from "../../policies/Scenario.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { tinySpace } from "./TinyWorld.ts"

const hidden = 8
const sidesOf = (shape: PolicyShape): Record<ParameterName, [number, number]> => ({
  features: [shape.features, shape.trunk],
  trunk: [shape.trunk, 4 * hidden],
  inputs: [shape.inputs, 4 * hidden],
  hidden: [hidden, 4 * hidden],
  output: [hidden, shape.columns],
  bias: [1, shape.columns],
  within: [shape.actions, shape.columns],
})
/** Parameters that a shape has: without heads that share a step, nothing shifts within one. */
const namesOf = (shape: PolicyShape) =>
  Object.entries(parameterSizes(shape)).flatMap(([name, size]) => (size > 0 ? [name as ParameterName] : []))

/** The network's equations once more, in plain tfjs operations, one genome at a time: loss = -log-likelihood + value^2 / 2. */
const referenceLoss = (
  shape: PolicyShape,
  constraints: ReadonlyArray<Constraint>,
  genomes: ReadonlyArray<Genome>,
) => {
  return (...parameters: ReadonlyArray<tf.Tensor>): tf.Scalar => {
    const p = Object.fromEntries(namesOf(shape).map((n, i) => [n, parameters[i]])) as Record<
      ParameterName,
      tf.Tensor2D
    >
    const losses = genomes.map((genome, g) => {
      const features = new Float32Array(shape.features)
      writeFeatures(shape, constraints[g] ?? new Float64Array(), features, 0)
      const x0 = tf.tensor2d(features, [1, shape.features])
      const told = tf.matMul(tf.relu<tf.Tensor2D>(tf.matMul(x0, p.features)), p.trunk)
      let [h, c]: [tf.Tensor, tf.Tensor] = [tf.zeros([1, hidden]), tf.zeros([1, hidden])]
      let before: ReadonlyArray<number> = []
      let loss = tf.scalar(0)
      for (let step = 0; step < shape.steps; step++) {
        if (!isActiveStep(shape, genome, step)) continue
        const input = new Float32Array(shape.inputs)
        const { position, heads, gene } = stepAt(shape, step)
        for (const row of position) input[row] = 1
        for (const column of before) input[shape.positions + column] = 1
        const x = tf.matMul(tf.tensor2d(input, [1, shape.inputs]), p.inputs)
        const gates = tf.split(tf.add(tf.add(told, x), tf.matMul(h as tf.Tensor2D, p.hidden)), 4, 1)
        const [i, f, q, o] = gates as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
        c = tf.add(tf.mul(tf.sigmoid(f), c), tf.mul(tf.sigmoid(i), tf.tanh(q)))
        h = tf.mul(tf.sigmoid(o), tf.tanh(c))
        let logits = tf.add(tf.matMul(h as tf.Tensor2D, p.output), p.bias)
        const chosen: Array<number> = []
        for (const [k, head] of heads.entries()) {
          const value = genome[gene + k] ?? 0
          const present = presence(shape, constraints[g] ?? new Float64Array())
          const mask = Array.from({ length: head.count }, (_, v) =>
            isLegal(shape, step, k, v, present) ? 0 : -1e9,
          )
          const own = tf.add(logits.slice([0, head.column], [1, head.count]), tf.tensor2d([mask]))
          loss = tf.sub(loss, tf.logSoftmax(own).slice([0, value], [1, 1]).asScalar())
          chosen.push(head.column + value)
          if (heads.length > 1)
            logits = tf.add(logits, p.within.slice([head.column + value, 0], [1, shape.columns]))
        }
        const value = tf.add(
          tf.matMul(h as tf.Tensor2D, p.output.slice([0, shape.actions], [hidden, 1])),
          p.bias.slice([0, shape.actions], [1, 1]),
        )
        loss = tf.add(loss, tf.mul(0.5, tf.square(value).asScalar()))
        before = chosen
      }
      return loss
    })
    return tf.addN(losses).asScalar()
  }
}

describe.each(stepUnits)("policy network with a step per %s", (stepPer) => {
  const shape = policyShape(tinySpace, 2, hidden, stepPer)
  const random = seededRandom(21)
  const constraints = Array.from({ length: 5 }, (_, i) => {
    const c = Float64Array.from({ length: 5 }, () => random.next())
    if (i % 2 === 1) c[3] = c[4] = absent
    return c
  })
  let network: PolicyNetwork
  let genomes: ReadonlyArray<Genome>

  beforeAll(async () => {
    await tf.setBackend("cpu")
    network = await PolicyNetwork.make(shape, random)
    const within = network.parameters.weight("within")
    for (let i = 0; i < within.length; i++) within[i] = 0.2 * (random.next() - 0.5)
    const chosen = network.choose(constraints, { greedy: false, random })
    genomes = chosen.map((g) => canonicalize(tinySpace, g))
  })

  it("has the gradient that tfjs derives from its equations", () => {
    // Depths differ, so the packing of steps is exercised too.
    expect(new Set(genomes.map((g) => g.slice(1, 6).join())).size).toBeGreaterThan(1)
    // Shifts that could reach other heads than later ones of the same step are no parameters of the model.
    const within = network.parameters.weight("within")
    for (let a = 0; a * shape.columns < within.length; a++) {
      const heads = a < (shape.blockHeads[0]?.column ?? 0) ? shape.outlineHeads : shape.blockHeads
      const own = heads.findIndex((h) => a >= h.column && a < h.column + h.count)
      for (let c = 0; c < shape.columns; c++) {
        const later = heads.slice(own + 1).some((h) => c >= h.column && c < h.column + h.count)
        if (!later) within[a * shape.columns + c] = 0
      }
    }
    const forward = network.forward({ constraints, genomes })
    const active = Float32Array.from(forward.genomeOf, (g) => (g < 0 ? 0 : -1))
    network.backward({ dLogLikelihood: active, dValue: forward.value.slice() })
    const [names, sides] = [namesOf(shape), sidesOf(shape)]
    const parameters = names.map((n) => tf.tensor2d(network.parameters.weight(n).slice(), sides[n]))
    const { value, grads } = tf.valueAndGrads(referenceLoss(shape, constraints, genomes))(parameters)
    let loss = 0
    for (let r = 0; r < forward.rows; r++) {
      if ((forward.genomeOf[r] ?? -1) >= 0)
        loss += 0.5 * (forward.value[r] ?? 0) ** 2 - (forward.logLikelihood[r] ?? 0)
    }
    expect(loss).toBeCloseTo(value.dataSync()[0] ?? Number.NaN, 2)
    for (const [i, name] of names.entries()) {
      const [ours, theirs] = [network.parameters.gradient(name), grads[i]?.dataSync() ?? new Float32Array()]
      const scale = Math.max(...theirs.map(Math.abs))
      let worst = 0
      for (let j = 0; j < ours.length; j++)
        worst = Math.max(worst, Math.abs((ours[j] ?? 0) - (theirs[j] ?? 0)))
      expect({ name, close: worst / scale < 2e-4 }).toEqual({ name, close: true })
    }
  })

  it("never chooses an absent device", () => {
    const chosen = network.choose(constraints, { greedy: false, epsilon: 0.5, random })
    const second = chosen.flatMap((g, i) =>
      i % 2 === 1 ? Array.from(g.slice(6)).filter((_, j) => j % 8 >= 4) : [],
    )
    expect(second).not.toContain(2)
  })

  it("learns by heart a few strategies under their constraints", async () => {
    const pupil = await PolicyNetwork.make(policyShape(tinySpace, 2, 32, stepPer), seededRandom(3))
    for (let n = 0; n < 250; n++) {
      const forward = pupil.forward({ constraints, genomes })
      const dLogLikelihood = Float32Array.from(forward.genomeOf, (g) => (g < 0 ? 0 : -1 / genomes.length))
      pupil.backward({ dLogLikelihood })
      pupil.parameters.step(1e-2, 5)
    }
    const chosen = pupil.choose(constraints, { greedy: true, random })
    expect(chosen.map((g) => canonicalize(tinySpace, g))).toEqual(genomes)
  })
})
