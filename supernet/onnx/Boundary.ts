/**
 * What happens to a feature map's values at a segment's boundary, as graphs: narrowed for the bus, widened on arrival.
 *
 *   8 bits   DynamicQuantizeLinear: uint8 with one scale and zero point for the region that is sent
 *   16 bits  float16
 *   32 bits  as they are: only cut out
 *
 * One graph serves every map, because channels, height and width are free.
 */
import { elementTypes, initializers, model, type Node, type Value } from "./Proto.ts"

const feature = (name: string, type: Value["type"], sides: ReadonlyArray<string> = ["H", "W"]): Value => ({
  name,
  type,
  shape: ["N", "C", ...sides],
})
const scalar = (name: string, type: Value["type"]): Value => ({ name, type, shape: [] })
const bound = (name: string): Value => ({ name, type: "int64", shape: [2] })

export interface NarrowOptions {
  readonly bits: 8 | 16
  /** Without a region the whole map is narrowed; saves a copy. */
  readonly region: boolean
}

/** x [, starts, ends] -> q [, scale, zero]. `starts` and `ends` are row and column bounds in the given map, int64 [2]. */
export const narrowModel = ({ bits, region }: NarrowOptions): Uint8Array => {
  const from = region ? "part" : "x"
  const slice: Node = { op: "Slice", inputs: ["x", "starts", "ends", "axes"], outputs: ["part"] }
  const narrow: Node =
    bits === 8
      ? { op: "DynamicQuantizeLinear", inputs: [from], outputs: ["q", "scale", "zero"] }
      : { op: "Cast", inputs: [from], outputs: ["q"], attributes: { to: elementTypes.float16 } }
  const sides = ["Ho", "Wo"]
  return model({
    inputs: [feature("x", "float32"), ...(region ? [bound("starts"), bound("ends")] : [])],
    outputs:
      bits === 8
        ? [feature("q", "uint8", sides), scalar("scale", "float32"), scalar("zero", "uint8")]
        : [feature("q", "float16", sides)],
    nodes: region ? [slice, narrow] : [narrow],
    weights: region ? [initializers([{ name: "axes", shape: [2], data: BigInt64Array.of(2n, 3n) }])] : [],
  })
}

/** q [, scale, zero] -> x */
export const widenModel = (bits: 8 | 16): Uint8Array =>
  model({
    inputs:
      bits === 8
        ? [feature("q", "uint8"), scalar("scale", "float32"), scalar("zero", "uint8")]
        : [feature("q", "float16")],
    outputs: [feature("x", "float32")],
    nodes: [
      bits === 8
        ? { op: "DequantizeLinear", inputs: ["q", "scale", "zero"], outputs: ["x"] }
        : { op: "Cast", inputs: ["q"], outputs: ["x"], attributes: { to: elementTypes.float32 } },
    ],
    weights: [],
  })
