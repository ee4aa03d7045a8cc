/** Constant tables of the policy's ONNX graph: legality, which blocks run, what a choice says to the choices after it. */
import { maxTiles } from "./Genome.ts"
import { isLegal, type PolicyShape } from "./PolicyShape.ts"

/** Added to the logit of an illegal choice. */
const never = -1e9

/** Logit offsets of the blocks [blocks, columns]: bias, and `never` where a choice is illegal whoever is present. */
export const blockBias = (shape: PolicyShape, bias: Float32Array): Float32Array => {
  const everyone = (2 << shape.slots) - 1
  const out = new Float32Array(shape.space.blocks.length * shape.columns)
  for (let b = 0; b < shape.space.blocks.length; b++) out.set(bias, b * shape.columns)
  for (const [step, { block, heads }] of shape.plan.entries()) {
    if (block < 0) continue
    for (const [i, head] of heads.entries()) {
      for (let v = 0; v < head.count; v++) {
        if (!isLegal(shape, step, i, v, everyone)) out[block * shape.columns + head.column + v] = never
      }
    }
  }
  return out
}

/** For each block, which chosen depths make it run [blocks, stages * depths + 1, 1]; the last row is "always". */
export const runsWhen = (shape: PolicyShape): { readonly data: Float32Array; readonly width: number } => {
  const { spec, blocks } = shape.space
  const width = spec.stages.length * spec.depths.length + 1
  const data = new Float32Array(blocks.length * width)
  for (const [i, b] of blocks.entries()) {
    if (b.stage < 0) data[i * width + width - 1] = 1
    else {
      for (const [d, depth] of spec.depths.entries()) {
        if (b.place < depth) data[i * width + b.stage * spec.depths.length + d] = 1
      }
    }
  }
  return { data, width }
}

/** Rows of all choices [actions, columns + 4H]: shift of later heads in the step, input of the next step. */
export const choiceRows = (shape: PolicyShape, within: Float32Array, inputs: Float32Array): Float32Array => {
  const gates = 4 * shape.hidden
  const width = shape.columns + gates
  const out = new Float32Array(shape.actions * width)
  for (let a = 0; a < shape.actions; a++) {
    out.set(within.subarray(a * shape.columns, (a + 1) * shape.columns), a * width)
    const row = (shape.positions + a) * gates
    out.set(inputs.subarray(row, row + gates), a * width + shape.columns)
  }
  return out
}

/** [1 + slots, columns]: a present device cancels the `never` that `absentBias` puts on its choices. */
export const deviceColumns = (shape: PolicyShape) => {
  const present = new Float32Array((1 + shape.slots) * shape.columns)
  const bias = new Float32Array(shape.columns)
  for (const head of shape.blockHeads.slice(-maxTiles)) {
    for (let d = 0; d < head.count; d++) {
      present[d * shape.columns + head.column + d] = -never
      bias[head.column + d] = never
    }
  }
  return { present, bias }
}
