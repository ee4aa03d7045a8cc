/**
 * The heads of the policy: masked softmaxes over the columns of a step's logits, decoded in order, each shifted by the
 * choices made before it in the same step. Forward, choosing, and the gradient of a loss.
 */
import type { Random } from "../supernet/Random.ts"
import type { Genome } from "./Genome.ts"
import type { Packing } from "./PolicyPacking.ts"
import { type Head, legalValues, type PolicyShape, stepAt } from "./PolicyShape.ts"

/** Parameters of the heads beside the output matrix, or their gradients: [columns] and [actions, columns]. */
export interface HeadWeights {
  readonly bias: Float32Array
  readonly within: Float32Array
}

/** Softmax of one head's shifted logits over its legal values (a bit set), into `out`; illegal values get exactly 0. */
const softmaxHead = (
  shape: PolicyShape,
  logits: Float32Array,
  row: number,
  head: Head,
  earlier: ReadonlyArray<number>,
  legal: number,
  weights: HeadWeights,
  out: Float32Array,
): void => {
  const { columns } = shape
  const base = row * columns
  let max = Number.NEGATIVE_INFINITY
  for (let c = head.column; c < head.column + head.count; c++) {
    if (((legal >> (c - head.column)) & 1) === 0) {
      out[base + c] = Number.NEGATIVE_INFINITY
      continue
    }
    let x = (logits[base + c] ?? 0) + (weights.bias[c] ?? 0)
    for (let e = 0; e < earlier.length; e++) x += weights.within[(earlier[e] ?? 0) * columns + c] ?? 0
    out[base + c] = x
    if (x > max) max = x
  }
  let sum = 0
  for (let at = base + head.column; at < base + head.column + head.count; at++) {
    const e = Math.exp((out[at] ?? 0) - max)
    out[at] = e
    sum += e
  }
  for (let at = base + head.column; at < base + head.column + head.count; at++) out[at] = (out[at] ?? 0) / sum
}

/** How a choice is made from a head's probabilities. */
export interface ChooseOptions {
  /** Take the likeliest choice (deterministic), or draw from the distribution. */
  readonly greedy: boolean
  /** Chance, per head, of a uniformly random legal choice instead. */
  readonly epsilon?: number
  readonly random: Random
}

const likeliest = (q: Float32Array, base: number, count: number): number => {
  let best = 0
  for (let v = 1; v < count; v++) if ((q[base + v] ?? 0) > (q[base + best] ?? 0)) best = v
  return best
}

const drawn = (q: Float32Array, base: number, count: number, random: Random): number => {
  let left = random.next()
  let last = 0
  for (let v = 0; v < count; v++) {
    const p = q[base + v] ?? 0
    if (p <= 0) continue
    last = v
    left -= p
    if (left <= 0) return v
  }
  return last
}

/** Chooses the genes of one step of one genome, in place. `q` is scratch of the logits' size. */
export const chooseStep = (
  shape: PolicyShape,
  logits: Float32Array,
  row: number,
  step: number,
  genome: Genome,
  present: number,
  weights: HeadWeights,
  q: Float32Array,
  options: ChooseOptions,
): void => {
  const { gene, heads } = stepAt(shape, step)
  const earlier: Array<number> = []
  for (const [i, head] of heads.entries()) {
    const legal = legalValues(shape, step, i, present)
    softmaxHead(shape, logits, row, head, earlier, legal, weights, q)
    const base = row * shape.columns + head.column
    let value: number
    if (options.epsilon !== undefined && options.random.next() < options.epsilon) {
      const values = Array.from({ length: head.count }, (_, v) => v).filter((v) => ((legal >> v) & 1) === 1)
      value = values[Math.floor(options.random.next() * values.length)] ?? 0
    } else {
      value = options.greedy ? likeliest(q, base, head.count) : drawn(q, base, head.count, options.random)
    }
    genome[gene + i] = value
    earlier.push(head.column + value)
  }
}

/** Per packed row the log-likelihood of the choices made. Leaves the softmaxes in `q`. */
export const likelihoods = (
  shape: PolicyShape,
  packing: Packing,
  genomes: ReadonlyArray<Genome>,
  present: ReadonlyArray<number>,
  logits: Float32Array,
  weights: HeadWeights,
  q: Float32Array,
): Float32Array => {
  const logLikelihood = new Float32Array(packing.rows)
  for (let row = 0; row < packing.rows; row++) {
    const g = packing.genomeOf[row] ?? -1
    const genome = genomes[g]
    if (genome === undefined) continue
    const step = packing.step[row] ?? 0
    const { gene, heads } = stepAt(shape, step)
    const base = row * shape.columns
    const earlier: Array<number> = []
    let sum = 0
    for (const [i, head] of heads.entries()) {
      const chosen = head.column + (genome[gene + i] ?? 0)
      const legal = legalValues(shape, step, i, present[g] ?? 1)
      softmaxHead(shape, logits, row, head, earlier, legal, weights, q)
      sum += Math.log(Math.max(1e-12, q[base + chosen] ?? 0))
      earlier.push(chosen)
    }
    logLikelihood[row] = sum
  }
  return logLikelihood
}

/** Derivatives of a loss by row: to the log-likelihood, to the entropy (one for all rows), to the value. */
export interface LossGradient {
  readonly dLogLikelihood: Float32Array
  readonly dEntropy?: number
  readonly dValue?: Float32Array
}

const entropyOf = (q: Float32Array, from: number, to: number): number => {
  let entropy = 0
  for (let at = from; at < to; at++) {
    const p = q[at] ?? 0
    if (p > 1e-12) entropy -= p * Math.log(p)
  }
  return entropy
}

/** Writes the loss's gradient to the raw logits into `d`, and adds up those of bias and within in `out`. */
export const logitGradients = (
  shape: PolicyShape,
  packing: Packing,
  genomes: ReadonlyArray<Genome>,
  loss: LossGradient,
  q: Float32Array,
  d: Float32Array,
  out: HeadWeights,
): void => {
  const { columns } = shape
  const { bias, within } = out
  for (const a of [d, bias, within]) a.fill(0)
  const dEntropy = loss.dEntropy ?? 0
  for (let row = 0; row < packing.rows; row++) {
    const genome = genomes[packing.genomeOf[row] ?? -1]
    if (genome === undefined) continue
    const { gene, heads } = stepAt(shape, packing.step[row] ?? 0)
    const base = row * columns
    const weight = loss.dLogLikelihood[row] ?? 0
    const earlier: Array<number> = []
    for (const [i, head] of heads.entries()) {
      const chosen = head.column + (genome[gene + i] ?? 0)
      const [from, to] = [head.column, head.column + head.count]
      const entropy = dEntropy === 0 ? 0 : entropyOf(q, base + from, base + to)
      for (let c = from; c < to; c++) {
        const p = q[base + c] ?? 0
        if (p === 0) continue
        let g = weight * ((c === chosen ? 1 : 0) - p)
        if (dEntropy !== 0 && p > 1e-12) g -= dEntropy * p * (Math.log(p) + entropy)
        d[base + c] = g
        bias[c] = (bias[c] ?? 0) + g
        for (const e of earlier) within[e * columns + c] = (within[e * columns + c] ?? 0) + g
      }
      earlier.push(chosen)
    }
    const dValue = loss.dValue?.[row] ?? 0
    d[base + shape.actions] = dValue
    bias[shape.actions] = (bias[shape.actions] ?? 0) + dValue
  }
}
