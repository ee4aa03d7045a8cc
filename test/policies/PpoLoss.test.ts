/** PPO is a baseline, and must be right: its loss, and the gradient of that down to the weights. */
import { describe, expect, it } from "vitest"
import { canonicalize } from "../../policies/Genome.ts"
import { type HeadWeights, likelihoods, logitGradients } from "../../policies/PolicyHeads.ts"
import { type Forward, PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { pack } from "../../policies/PolicyPacking.ts"
import {
  parameterSizes,
  type ParameterName,
  policyShape,
  presence,
  stepAt,
} from "../../policies/PolicyShape.ts"
import { type Surrogate, surrogateLoss } from "../../policies/Ppo.ts"
import { absent } from "../../policies/Scenario.ts"
import { differentiate, type Update } from "../../policies/Update.ts"
import { below, normal, type Random, seededRandom } from "../../supernet/Random.ts"
import { tinySpace } from "./TinyWorld.ts"

const weights = { clip: 0.2, entropy: 0.03, valueWeight: 0.5 }
const countOf = (terms: Surrogate["terms"]) => terms.reduce((sum, t) => sum + t.advantage.length, 0)

/** Rows of trajectories of different lengths step by step, with rows that only pad; ratios well away from the clip's edges. */
const example = (random: Random): { readonly forward: Forward; readonly surrogate: Surrogate } => {
  const lengths = [7, 5, 5, 2]
  const rows: Array<{ readonly g: number; readonly log: number; readonly value: number }> = []
  const terms = lengths.map(() => ({
    reward: random.next(),
    logLikelihood: new Array<number>(),
    advantage: new Array<number>(),
  }))
  for (let t = 0; t < 7; t++) {
    for (const [g, length] of lengths.entries()) {
      if (t >= length) continue
      const before = -6 * random.next()
      const ratio = [0.5, 0.75, 0.9, 1, 1.1, 1.3, 2][below(random, 7)] ?? 1
      terms[g]?.logLikelihood.push(before)
      terms[g]?.advantage.push(normal(random))
      rows.push({ g, log: before + Math.log(ratio), value: normal(random) })
    }
    rows.push({ g: -1, log: 0, value: normal(random) })
  }
  const forward = {
    rows: rows.length,
    genomeOf: Int32Array.from(rows, (r) => r.g),
    logLikelihood: Float32Array.from(rows, (r) => r.log),
    value: Float32Array.from(rows, (r) => r.value),
  }
  return { forward, surrogate: { of: "surrogate", terms, steps: countOf(terms), ...weights } }
}

/** Equation 7 of Schulman et al. (2017), and the value's squared error, as means over the steps. */
const directLoss = (
  genomeOf: ArrayLike<number>,
  log: ArrayLike<number>,
  value: ArrayLike<number>,
  { terms, steps, clip, valueWeight }: Surrogate,
) => {
  let [clipped, squares] = [0, 0]
  for (const [g, { reward, logLikelihood, advantage }] of terms.entries()) {
    const own = Array.from(genomeOf).flatMap((of, row) => (of === g ? [row] : []))
    for (const [t, row] of own.entries()) {
      const ratio = Math.exp((log[row] ?? 0) - (logLikelihood[t] ?? 0))
      const a = advantage[t] ?? 0
      const within = ratio < 1 - clip ? 1 - clip : ratio > 1 + clip ? 1 + clip : ratio
      clipped += Math.min(ratio * a, within * a)
      squares += ((value[row] ?? 0) - reward) ** 2
    }
  }
  return { surrogate: -clipped / steps, value: (valueWeight * squares) / steps }
}

describe("PPO's loss", () => {
  it("is the clipped surrogate, and its gradient with the value's error is what differences say", () => {
    const random = seededRandom(8)
    for (let n = 0; n < 10; n++) {
      const { forward, surrogate } = example(random)
      const { genomeOf, logLikelihood, value } = forward
      const { value: loss, gradient } = surrogateLoss(forward, surrogate)
      expect(loss).toBeCloseTo(directLoss(genomeOf, logLikelihood, value, surrogate).surrogate, 6)
      const h = 1e-5
      const slope = (at: ArrayLike<number>, row: number, of: (moved: ReadonlyArray<number>) => number) => {
        const moved = (by: number) => Array.from(at, (x, i) => (i === row ? x + by : x))
        return (of(moved(h)) - of(moved(-h))) / (2 * h)
      }
      for (let row = 0; row < forward.rows; row++) {
        const byLog = slope(logLikelihood, row, (l) => directLoss(genomeOf, l, value, surrogate).surrogate)
        const byValue = slope(value, row, (v) => directLoss(genomeOf, logLikelihood, v, surrogate).value)
        expect(gradient.dLogLikelihood[row]).toBeCloseTo(byLog, 5)
        expect(gradient.dValue[row]).toBeCloseTo(byValue, 5)
      }
      // The bonus: every step's entropy lowers the loss.
      expect(gradient.dEntropy).toBeCloseTo(-weights.entropy / surrogate.steps, 12)
    }
  })

  it.each([
    ["what went well is made likelier", 1, 1, -1],
    ["but not beyond the clip", 1, 1.3, 0],
    ["also where it has become less likely meanwhile", 1, 0.7, -0.7],
    ["what went badly is made less likely", -1, 1, 1],
    ["but not beyond the clip", -1, 0.7, 0],
    ["also where it has become likelier meanwhile", -1, 1.3, 1.3],
  ])("%s (advantage %d, ratio %d)", (_, advantage, ratio, slope) => {
    const forward = {
      rows: 1,
      genomeOf: Int32Array.of(0),
      logLikelihood: Float32Array.of(Math.log(ratio)),
      value: Float32Array.of(0),
    }
    const terms = [{ reward: 0, logLikelihood: [0], advantage: [advantage] }]
    const { gradient } = surrogateLoss(forward, { of: "surrogate", terms, steps: 1, ...weights })
    expect(gradient.dLogLikelihood[0]).toBeCloseTo(slope, 5)
  })
})

const shape = policyShape(tinySpace, 2, 16)
const random = seededRandom(31)
const constraints = Array.from({ length: 6 }, (_, i) => {
  const c = Float64Array.from({ length: 5 }, () => random.next())
  if (i % 2 === 1) c[3] = c[4] = absent
  return c
})

describe("the gradient that PPO's loss has", () => {
  it("to every block of the network's weights is the slope of the loss along it", async () => {
    const network = await PolicyNetwork.make(shape, random)
    const genomes = network.choose(constraints, { greedy: false, random })
    const rolledOut = network.forward({ constraints, genomes })
    const terms = genomes.map((_, g) => {
      const rows = [...rolledOut.genomeOf.keys()].filter((r) => rolledOut.genomeOf[r] === g)
      return {
        reward: random.next(),
        // As after some updates: some steps are beyond the clip, either way.
        logLikelihood: rows.map((r) => (rolledOut.logLikelihood[r] ?? 0) + 0.4 * (random.next() - 0.5)),
        advantage: rows.map(() => normal(random)),
      }
    })
    const loss: Surrogate = { of: "surrogate", terms, steps: countOf(terms), ...weights, entropy: 0 }
    const update: Update = { batch: { constraints, genomes }, loss }
    const parts = () => {
      const { genomeOf, logLikelihood, value } = network.forward(update.batch)
      return directLoss(genomeOf, logLikelihood, value, loss)
    }
    const whole = () => parts().surrogate + parts().value
    const before = parts().surrogate
    expect(differentiate(network, update)).toBeCloseTo(before, 5)
    const names = Object.keys(parameterSizes(shape)) as ReadonlyArray<ParameterName>
    const gradients = names.map((name) => network.parameters.gradient(name).slice())
    for (const [i, name] of names.entries()) {
      const gradient = gradients[i] ?? new Float32Array()
      const norm = Math.hypot(...gradient)
      const step = 1e-2
      const moved = (by: number) => {
        const w = network.parameters.weight(name)
        const own = w.slice()
        for (let j = 0; j < w.length; j++) w[j] = (own[j] ?? 0) + (by * (gradient[j] ?? 0)) / norm
        const value = whole()
        network.parameters.weight(name).set(own)
        return value
      }
      const slope = (moved(step) - moved(-step)) / (2 * step)
      expect({ name, isSeen: norm > 1e-4 }).toEqual({ name, isSeen: true })
      expect({ name, ratio: slope / norm }).toEqual({ name, ratio: expect.closeTo(1, 1) })
    }
  })

  it("to the logits is what differences say, with the entropy of every head", () => {
    const genomes = Array.from({ length: 3 }, (_, i) => {
      const genome = Uint8Array.from({ length: tinySpace.length }, () => below(random, 2))
      genome[0] = i
      return canonicalize(tinySpace, genome)
    })
    const packing = pack(shape, genomes)
    const present = genomes.map(() =>
      presence(
        shape,
        Float64Array.from({ length: 5 }, () => 0.5),
      ),
    )
    const some = (length: number) => Float32Array.from({ length }, () => normal(random))
    const heads: HeadWeights = {
      bias: some(shape.columns),
      within: some(shape.actions * shape.columns).map((x) => 0.3 * x),
    }
    const logits = some(packing.rows * shape.columns)
    const dLogLikelihood = some(packing.rows)
    const dValue = some(packing.rows)
    const dEntropy = -0.7
    const isStep = (row: number) => (packing.genomeOf[row] ?? -1) >= 0
    const lossAt = (at: Float32Array): number => {
      const q = new Float32Array(at.length)
      const logs = likelihoods(shape, packing, genomes, present, at, heads, q)
      let loss = 0
      for (let row = 0; row < packing.rows; row++) {
        if (!isStep(row)) continue
        loss += (dLogLikelihood[row] ?? 0) * (logs[row] ?? 0)
        loss += (dValue[row] ?? 0) * (at[row * shape.columns + shape.actions] ?? 0)
        for (const { column, count } of stepAt(shape, packing.step[row] ?? 0).heads) {
          for (const p of q.subarray(row * shape.columns + column, row * shape.columns + column + count))
            if (p > 0) loss -= dEntropy * p * Math.log(p)
        }
      }
      return loss
    }
    const q = new Float32Array(logits.length)
    likelihoods(shape, packing, genomes, present, logits, heads, q)
    const d = new Float32Array(logits.length)
    const out = { bias: new Float32Array(shape.columns), within: new Float32Array(heads.within.length) }
    logitGradients(shape, packing, genomes, { dLogLikelihood, dEntropy, dValue }, q, d, out)
    const h = 0.02
    for (const row of [0, 1, packing.rows >> 1, packing.rows - 5].filter(isStep)) {
      for (let c = 0; c <= shape.actions; c++) {
        const at = row * shape.columns + c
        const [up, down] = [logits.slice(), logits.slice()]
        up[at] = (logits[at] ?? 0) + h
        down[at] = (logits[at] ?? 0) - h
        expect(Math.abs((d[at] ?? 0) - (lossAt(up) - lossAt(down)) / (2 * h))).toBeLessThan(3e-3)
      }
    }
  })
})
