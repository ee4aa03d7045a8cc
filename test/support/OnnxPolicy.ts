/** A policy's artifact as ONNX Runtime understands it: the reference for the decoder that devices use. */
import { blockGene, type Genome, genesPerBlock, type Space } from "../../policies/Genome.ts"
import type { PolicyRuntime } from "../../policies/PolicyRuntime.ts"
import { type PolicyShape, presence, writeFeatures } from "../../policies/PolicyShape.ts"
import { createSession, floatTensor, output, type Session } from "../../supernet/onnx/Runtime.ts"

const genesOf = (
  space: Space,
  outline: BigInt64Array,
  blocks: BigInt64Array,
  row: number,
  rows: number,
): Genome => {
  const genome = new Uint8Array(space.length)
  for (let i = 0; i < space.firstBlockGene; i++) genome[i] = Number(outline[i * rows + row])
  for (let b = 0; b < space.blocks.length; b++) {
    const from = b * genesPerBlock * rows + row
    for (let i = 0; i < genesPerBlock; i++) genome[blockGene(space, b) + i] = Number(blocks[from + i * rows])
  }
  return genome
}

const longs = (data: unknown): BigInt64Array => {
  if (data instanceof BigInt64Array) return data
  throw new TypeError("the policy's outputs are not int64")
}

/** Decodes as `loadPolicy` does, by ONNX Runtime. */
export const loadOnnxPolicy = async (model: Uint8Array, shape: PolicyShape): Promise<PolicyRuntime> => {
  const session: Session = await createSession(model)
  return {
    shape,
    decode: async (constraints) => {
      const rows = constraints.length
      const features = new Float32Array(rows * shape.features)
      const present = new Float32Array(rows * (1 + shape.slots))
      for (const [i, constraint] of constraints.entries()) {
        writeFeatures(shape, constraint, features, i * shape.features)
        const bits = presence(shape, constraint)
        for (let d = 0; d <= shape.slots; d++) present[i * (1 + shape.slots) + d] = (bits >> d) & 1
      }
      const result = await session.run({
        features: floatTensor(features, [rows, shape.features]),
        present: floatTensor(present, [rows, 1 + shape.slots]),
      })
      const [outline, blocks] = [longs(output(result, "outline").data), longs(output(result, "blocks").data)]
      return constraints.map((_, row) => genesOf(shape.space, outline, blocks, row, rows))
    },
  }
}
