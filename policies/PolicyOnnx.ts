/**
 * The policy as one ONNX graph that decodes whole strategies in one run: the first step outside, the steps of the blocks in
 * a Scan. Weights are float16 (cast once, when the session is made). Legality is added to the logits; a choice is looked up
 * in a table whose rows carry both what it changes in this step's later heads and what it tells the next step.
 *
 * Inputs: features [batch, F], present [batch, 1 + slots] (1 where a device is there).
 * Outputs: outline [1 + stages, batch], blocks [blocks, 8, batch]: genes, raw (call `canonicalize`).
 */
import { decodeHalf, encodeHalf } from "../supernet/Float16.ts"
import {
  type Attribute,
  type Initializer,
  initializers,
  model,
  type Node,
  subgraph,
  type Value,
} from "../supernet/onnx/Proto.ts"
import { maxTiles } from "./Genome.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import { type Head, isLegal, type ParameterName, type PolicyShape } from "./PolicyShape.ts"

/** Added to the logit of an illegal choice. */
const never = -1e9

class Graph {
  readonly nodes: Array<Node> = []
  readonly weights: Array<Initializer>
  readonly #prefix: string
  #next = 0

  constructor(prefix: string, weights: Array<Initializer>) {
    this.#prefix = prefix
    this.weights = weights
  }

  op(op: string, inputs: ReadonlyArray<string>, attributes?: Readonly<Record<string, Attribute>>): string {
    return this.many(op, inputs, 1, attributes)[0] ?? ""
  }

  many(
    op: string,
    inputs: ReadonlyArray<string>,
    count: number,
    attributes?: Readonly<Record<string, Attribute>>,
  ): ReadonlyArray<string> {
    const outputs = Array.from({ length: count }, () => `${this.#prefix}${this.#next++}`)
    this.nodes.push({ op, inputs, outputs, ...(attributes === undefined ? {} : { attributes }) })
    return outputs
  }

  constant(name: string, shape: ReadonlyArray<number>, data: Initializer["data"]): string {
    if (!this.weights.some((w) => w.name === name)) this.weights.push({ name, shape, data })
    return name
  }

  longs(name: string, ...values: ReadonlyArray<number>): string {
    return this.constant(name, [values.length], BigInt64Array.from(values, BigInt))
  }
}

/** One LSTM cell from its gates' pre-activations; without a cell before, that cell is zero. */
const cell = (g: Graph, gates: string, before?: string) => {
  const [i = "", f = "", q = "", o = ""] = g.many("Split", [gates], 4, { axis: 1 })
  const fresh = g.op("Mul", [g.op("Sigmoid", [i]), g.op("Tanh", [q])])
  const state =
    before === undefined ? fresh : g.op("Add", [g.op("Mul", [g.op("Sigmoid", [f]), before]), fresh])
  return { state, hidden: g.op("Mul", [g.op("Sigmoid", [o]), g.op("Tanh", [state])]) }
}

/** Name of the table of a head's choices: what each changes in later heads of the step, and tells the next step. */
const choicesOf = (head: Head): string => `choices${head.column}`

/**
 * Decodes heads in order. `gathered` is [batch, columns + 4H]: logits, then the gates' share known so far. Returns the
 * genes [heads, batch] and `gathered` with the chosen rows added.
 */
const decodeHeads = (g: Graph, heads: ReadonlyArray<Head>, gathered: string) => {
  let sum = gathered
  const chosen = heads.map((head) => {
    const [start, end] = [
      g.longs(`n${head.column}`, head.column),
      g.longs(`n${head.column + head.count}`, head.column + head.count),
    ]
    const logits = g.op("Slice", [sum, start, end, g.longs("n1", 1)])
    const value = g.op("ArgMax", [logits], { axis: 1, keepdims: 0 })
    sum = g.op("Add", [sum, g.op("Gather", [choicesOf(head), value], { axis: 0 })])
    return value
  })
  const flat = g.op("Concat", chosen, { axis: 0 })
  const genes = g.op("Reshape", [flat, g.longs(`rows${heads.length}`, heads.length, -1)])
  return { genes, gathered: sum }
}

/** Logit offsets of the block steps [blocks, columns]: bias, and `never` where a choice is illegal whoever is present. */
const blockBias = (shape: PolicyShape, bias: Float32Array): Float32Array => {
  const everyone = (2 << shape.slots) - 1
  const blocks = shape.steps - 1
  const out = new Float32Array(blocks * shape.columns)
  for (let b = 0; b < blocks; b++) {
    out.set(bias, b * shape.columns)
    for (const [i, head] of shape.blockHeads.entries()) {
      for (let v = 0; v < head.count; v++) {
        if (!isLegal(shape, b + 1, i, v, everyone)) out[b * shape.columns + head.column + v] = never
      }
    }
  }
  return out
}

/** For each block, which chosen depths make it run [blocks, stages * depths + 1, 1]; the last row is "always". */
const runsWhen = (shape: PolicyShape): { readonly data: Float32Array; readonly width: number } => {
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
const choiceRows = (shape: PolicyShape, within: Float32Array, inputs: Float32Array): Float32Array => {
  const gates = 4 * shape.hidden
  const width = shape.columns + gates
  const out = new Float32Array(shape.actions * width)
  for (let a = 0; a < shape.actions; a++) {
    out.set(within.subarray(a * shape.columns, (a + 1) * shape.columns), a * width)
    const row = (shape.steps + a) * gates
    out.set(inputs.subarray(row, row + gates), a * width + shape.columns)
  }
  return out
}

/** [1 + slots, columns]: a present device cancels the `never` that `absentBias` puts on its choices. */
const deviceColumns = (shape: PolicyShape) => {
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

const scanBody = (shape: PolicyShape, weights: Array<Initializer>, dwidth: number): Uint8Array => {
  const { hidden, columns } = shape
  const gates = 4 * hidden
  const g = new Graph("b", weights)
  const sum = g.op("Add", [g.op("Add", ["told", "position"]), g.op("MatMul", ["h", "hidden"])])
  const next = cell(g, sum, "c")
  const logits = g.op("Add", [g.op("MatMul", [next.hidden, "output"]), "offsets"])
  const masked = g.op("Add", [logits, "devices"])
  const decoded = decodeHeads(g, shape.blockHeads, g.op("Concat", [masked, "constraint"], { axis: 1 }))
  const told = g.op("Slice", [
    decoded.gathered,
    g.longs(`n${columns}`, columns),
    g.longs(`n${columns + gates}`, columns + gates),
    g.longs("n1", 1),
  ])
  const runs = g.op("Greater", [
    g.op("MatMul", ["depths", "runs"]),
    g.constant("half", [1], Float32Array.of(0.5)),
  ])
  const kept = [
    [next.hidden, "h", "hNext"],
    [next.state, "c", "cNext"],
    [told, "told", "toldNext"],
  ] as const
  for (const [fresh, old, name] of kept)
    g.nodes.push({ op: "Where", inputs: [runs, fresh, old], outputs: [name] })
  g.nodes.push({ op: "Identity", inputs: [decoded.genes], outputs: ["genes"] })
  const float = (name: string, ...sides: ReadonlyArray<number | string>): Value => ({
    name,
    type: "float32",
    shape: sides,
  })
  return subgraph({
    nodes: g.nodes,
    inputs: [
      float("h", "batch", hidden),
      float("c", "batch", hidden),
      float("told", "batch", gates),
      float("position", gates),
      float("offsets", columns),
      float("runs", dwidth, 1),
    ],
    outputs: [
      float("hNext", "batch", hidden),
      float("cNext", "batch", hidden),
      float("toldNext", "batch", gates),
      { name: "genes", type: "int64", shape: [shape.blockHeads.length, "batch"] },
    ],
  })
}

/** One-hots of the chosen depths, and a column of ones: [batch, stages * depths + 1]. */
const depthOneHots = (g: Graph, shape: PolicyShape, genes: string, width: number): string => {
  const { depths } = shape.space.spec
  const first = g.longs("n0", 0)
  const all = g.longs("genesEnd", shape.outlineHeads.length)
  const perGenome = g.op("Transpose", [g.op("Slice", [genes, g.longs("n1", 1), all, first])], {
    perm: [1, 0],
  })
  const offOn = g.constant("offOn", [2], Float32Array.of(0, 1))
  const hot = g.op("OneHot", [perGenome, g.longs("depthCount", depths.length), offOn])
  const flat = g.op("Reshape", [hot, g.longs("flatDepths", 0, width - 1)])
  const pads = g.longs("padOne", 0, 0, 0, 1)
  return g.op("Pad", [flat, pads, g.constant("one", [], Float32Array.of(1))])
}

/** The network's current weights, rounded to float16, as bytes of an ONNX model. */
export const policyModel = (network: PolicyNetwork): Uint8Array => {
  const { shape } = network
  const { hidden, columns, steps, features, trunk } = shape
  const gates = 4 * hidden
  const weights: Array<Initializer> = []
  const g = new Graph("v", weights)
  const parameter = (name: ParameterName) => network.parameters.weight(name).slice()
  const half = (name: string, sides: ReadonlyArray<number>, data: Float32Array) => {
    g.nodes.push({
      op: "Cast",
      inputs: [g.constant(`${name}16`, sides, encodeHalf(data))],
      outputs: [name],
      attributes: { to: 1 },
    })
  }
  const [inputs, bias] = [parameter("inputs"), parameter("bias")]
  half("features_w", [features, trunk], parameter("features"))
  half("trunk", [trunk, gates], parameter("trunk"))
  half("hidden", [hidden, gates], parameter("hidden"))
  half("output", [hidden, columns], parameter("output"))
  const rows = choiceRows(shape, parameter("within"), inputs)
  for (const head of [...shape.outlineHeads, ...shape.blockHeads]) {
    const [from, width] = [head.column, columns + gates]
    half(choicesOf(head), [head.count, width], rows.subarray(from * width, (from + head.count) * width))
  }
  half("start", [gates], inputs.subarray(0, gates))
  half("positions", [steps - 1, gates], inputs.subarray(gates, steps * gates))
  const roundedBias = decodeHalf(encodeHalf(bias))
  g.constant("outlineBias", [columns], roundedBias)
  g.constant("blockOffsets", [steps - 1, columns], blockBias(shape, roundedBias))
  const device = deviceColumns(shape)
  g.constant("devicePresent", [1 + shape.slots, columns], device.present)
  g.constant("deviceAbsent", [columns], device.bias)
  const runs = runsWhen(shape)
  g.constant("blockRuns", [steps - 1, runs.width, 1], runs.data)

  const rectified = g.op("Relu", [g.op("MatMul", ["features", "features_w"])])
  g.nodes.push({ op: "MatMul", inputs: [rectified, "trunk"], outputs: ["constraint"] })
  const first = cell(g, g.op("Add", ["constraint", "start"]))
  const logits = g.op("Add", [g.op("MatMul", [first.hidden, "output"]), "outlineBias"])
  const outline = decodeHeads(g, shape.outlineHeads, g.op("Concat", [logits, "constraint"], { axis: 1 }))
  g.nodes.push({ op: "Identity", inputs: [outline.genes], outputs: ["outline"] })
  g.nodes.push({
    op: "Identity",
    inputs: [depthOneHots(g, shape, outline.genes, runs.width)],
    outputs: ["depths"],
  })
  const present = g.op("MatMul", ["present", "devicePresent"])
  g.nodes.push({ op: "Add", inputs: [present, "deviceAbsent"], outputs: ["devices"] })
  const told = g.op("Slice", [
    outline.gathered,
    g.longs(`n${columns}`, columns),
    g.longs(`n${columns + gates}`, columns + gates),
    g.longs("n1", 1),
  ])
  const body = scanBody(shape, weights, runs.width)
  g.nodes.push({
    op: "Scan",
    inputs: [first.hidden, first.state, told, "positions", "blockOffsets", "blockRuns"],
    outputs: ["hLast", "cLast", "toldLast", "blocks"],
    attributes: { body: { graph: body }, num_scan_inputs: 3 },
  })
  return model({
    inputs: [
      { name: "features", type: "float32", shape: ["batch", features] },
      { name: "present", type: "float32", shape: ["batch", 1 + shape.slots] },
    ],
    outputs: [
      { name: "outline", type: "int64", shape: [shape.outlineHeads.length, "batch"] },
      { name: "blocks", type: "int64", shape: [steps - 1, shape.blockHeads.length, "batch"] },
    ],
    nodes: g.nodes,
    weights: [initializers(weights)],
  })
}
