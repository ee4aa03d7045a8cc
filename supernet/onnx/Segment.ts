/**
 * The ONNX model of any run of consecutive active blocks, one block or the whole network: a fused segment. Height, width
 * and batch are free, so one model serves every tile.
 */
import { hiddenChannels, type SupernetSpec } from "../Spec.ts"
import type { ActiveBlock } from "../Submodel.ts"
import type { Weights } from "../Weights.ts"
import { blockInitializers, blockNodes, type PixelType } from "./BlockGraph.ts"
import { variantKey } from "./BlockWeights.ts"
import { model, type Value } from "./Proto.ts"

/** Name of a segment model's input and output. */
export const segmentInput = "x"
export const segmentOutput = "y"

/** Channels of a block's depthwise convolution; 0 for stem and head, which have none. */
export const depthwiseChannels = (spec: SupernetSpec, block: ActiveBlock): number =>
  block.kind === "dynamic"
    ? hiddenChannels(spec, block.inChannels, block.expand)
    : block.kind === "first"
      ? block.inChannels
      : 0

/** Graph input for a block: pixels [N, H, W, 3] for the stem, a feature map [N, C, H, W] for the others. */
export const inputValue = (block: ActiveBlock, name: string, pixels: PixelType): Value =>
  block.kind === "stem"
    ? { name, type: pixels, shape: ["N", "H", "W", 3] }
    : { name, type: "float32", shape: ["N", block.inChannels, "H", "W"] }

export const outputValue = (block: ActiveBlock, name: string): Value =>
  block.kind === "head"
    ? { name, type: "float32", shape: ["N", block.outChannels] }
    : { name, type: "float32", shape: ["N", block.outChannels, "Ho", "Wo"] }

/** Builds models from a supernet's weights and keeps the encoded weights of block variants, up to a budget. */
export class SegmentBuilder {
  readonly spec: SupernetSpec
  readonly weights: Weights
  readonly #encoded = new Map<string, Uint8Array>()
  /** Of blocks by resolution: every segment of every strategy that is kept holds those of its blocks. */
  readonly #keys = new WeakMap<ActiveBlock, Map<number, string>>()
  readonly #budgetBytes: number
  #bytes = 0

  /** `budgetBytes` bounds what is kept for the next model; a block that is not kept is folded again (0.1 to 3 ms). */
  constructor(spec: SupernetSpec, weights: Weights, budgetBytes = 64e6) {
    this.spec = spec
    this.weights = weights
    this.#budgetBytes = budgetBytes
  }

  /** Equal keys mean equal computation. */
  key(block: ActiveBlock, resolution: number): string {
    const keys = this.#keys.get(block) ?? new Map<number, string>()
    this.#keys.set(block, keys)
    const key = keys.get(resolution) ?? variantKey(this.spec, this.weights, block, resolution)
    keys.set(resolution, key)
    return key
  }

  encodedWeights(block: ActiveBlock, resolution: number): Uint8Array {
    const key = this.key(block, resolution)
    const known = this.#encoded.get(key)
    if (known !== undefined) {
      this.#encoded.delete(key)
      this.#encoded.set(key, known)
      return known
    }
    const made = blockInitializers(this.spec, this.weights, block, resolution)
    this.#encoded.set(key, made)
    this.#bytes += made.byteLength
    for (const [oldest, bytes] of this.#encoded) {
      if (this.#bytes <= this.#budgetBytes || oldest === key) break
      this.#encoded.delete(oldest)
      this.#bytes -= bytes.byteLength
    }
    return made
  }

  /** Folds a block's weights before they are needed; false when they are there or there is no room for them. */
  foldAhead(block: ActiveBlock, resolution: number): boolean {
    // Half the budget stays free for what strategies really use.
    if (this.#encoded.has(this.key(block, resolution)) || this.#bytes > this.#budgetBytes / 2) return false
    this.encodedWeights(block, resolution)
    return true
  }

  /** Bytes of the segment's ModelProto, input `x`, output `y`. */
  build(blocks: ReadonlyArray<ActiveBlock>, resolution: number, pixels: PixelType = "uint8"): Uint8Array {
    const [first, last] = [blocks[0], blocks.at(-1)]
    if (first === undefined || last === undefined) throw new RangeError("a segment without blocks")
    const name = (i: number) => (i === 0 ? segmentInput : i === blocks.length ? segmentOutput : `t${i}`)
    return model({
      inputs: [inputValue(first, segmentInput, pixels)],
      outputs: [outputValue(last, segmentOutput)],
      nodes: blocks.flatMap((block, i) =>
        blockNodes(
          { block, input: name(i), output: name(i + 1), prefix: `v${i}.`, pixels },
          depthwiseChannels(this.spec, block),
        ),
      ),
      weights: blocks.map((block) => this.encodedWeights(block, resolution)),
    })
  }
}
