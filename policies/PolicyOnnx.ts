/**
 * The policy as one ONNX graph that decodes whole strategies in one run: the outline's steps outside, those of a block in
 * the body of a Scan over the blocks. Weights are float16 (cast once, when the session is made). Legality is added to the logits; a choice is looked up
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
import { deviceGene, gridGene, tilesOfGrid } from "./Genome.ts"
import type { PolicyNetwork } from "./PolicyNetwork.ts"
import type { Head, ParameterName, PolicyShape, Step } from "./PolicyShape.ts"
import { blockBias, choiceRows, deviceColumns, runsWhen } from "./PolicyTables.ts"

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

  /** The same with a name of one's own for the output. */
  as(
    name: string,
    op: string,
    inputs: ReadonlyArray<string>,
    attributes?: Readonly<Record<string, Attribute>>,
  ): string {
    this.nodes.push({ op, inputs, outputs: [name], ...(attributes === undefined ? {} : { attributes }) })
    return name
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

/** Name of the row that tells a step which of its block's heads it has; where a block is one step there is none. */
const placeOf = ({ position }: Step): string | undefined =>
  position[1] === undefined ? undefined : `place${position[1]}`

/** Decodes heads in order from `known` [batch, columns + 4H]: logits, then the gates' share. Adds the rows of what it chose. */
const decodeHeads = (g: Graph, heads: ReadonlyArray<Head>, known: string) => {
  let sum = known
  const genes = heads.map((head) => {
    const [start, end] = [
      g.longs(`n${head.column}`, head.column),
      g.longs(`n${head.column + head.count}`, head.column + head.count),
    ]
    const logits = g.op("Slice", [sum, start, end, g.longs("n1", 1)])
    const value = g.op("ArgMax", [logits], { axis: 1, keepdims: 0 })
    sum = g.op("Add", [sum, g.op("Gather", [choicesOf(head), value], { axis: 0 })])
    return value
  })
  return { genes, sum }
}

/** What goes from step to step; at first neither hidden state nor cell. */
interface State {
  readonly hidden?: string
  readonly cell?: string
  /** The gates' share of the constraint and of the choices made last [batch, 4H]. */
  readonly told: string
}

/** One step of the LSTM from `before`, and its heads. `mask` adds biases and legality to the logits. */
const takeStep = (
  g: Graph,
  { columns, hidden }: PolicyShape,
  step: Step,
  before: State,
  position: string,
  mask: (logits: string) => string,
) => {
  const place = placeOf(step)
  let sum = g.op("Add", [before.told, position])
  if (place !== undefined) sum = g.op("Add", [sum, place])
  if (before.hidden !== undefined) sum = g.op("Add", [sum, g.op("MatMul", [before.hidden, "hidden"])])
  const next = cell(g, sum, before.cell)
  const logits = mask(g.op("MatMul", [next.hidden, "output"]))
  const decoded = decodeHeads(g, step.heads, g.op("Concat", [logits, "constraint"], { axis: 1 }))
  const [start, end] = [
    g.longs(`n${columns}`, columns),
    g.longs(`n${columns + 4 * hidden}`, columns + 4 * hidden),
  ]
  const told = g.op("Slice", [decoded.sum, start, end, g.longs("n1", 1)])
  return { hidden: next.hidden, cell: next.state, told, genes: decoded.genes }
}

/** Genes of all steps as one output [genes, batch]. */
const stack = (g: Graph, name: string, genes: ReadonlyArray<string>) => {
  const flat = g.op("Concat", genes, { axis: 0 })
  return g.as(name, "Reshape", [flat, g.longs(`rows${genes.length}`, genes.length, -1)])
}

/** The steps of one block, each kept only where it decides something. */
const scanBody = (shape: PolicyShape, weights: Array<Initializer>, dwidth: number): Uint8Array => {
  const { hidden, columns } = shape
  const gates = 4 * hidden
  const g = new Graph("b", weights)
  const half = g.constant("half", [1], Float32Array.of(0.5))
  const runs = g.op("Greater", [g.op("MatMul", ["depths", "runs"]), half])
  const mask = (logits: string) => g.op("Add", [g.op("Add", [logits, "offsets"]), "devices"])
  const steps = shape.plan.filter(({ block }) => block === 0)
  const genes: Array<string> = []
  let state: Required<State> = { hidden: "h", cell: "c", told: "told" }
  /** Whether a step decides something: not where the grid has no such tile. */
  const decides = ({ first }: Step): string => {
    const tile = first - deviceGene
    if (tile < 1) return runs
    const table = g.constant("tilesOfGrid", [tilesOfGrid.length, 1], Float32Array.from(tilesOfGrid))
    const tiles = g.op("Gather", [table, genes[gridGene] ?? ""], { axis: 0 })
    const there = g.op("Greater", [tiles, g.constant(`tile${tile}`, [1], Float32Array.of(tile))])
    return g.op("And", [runs, there])
  }
  for (const [i, step] of steps.entries()) {
    const next = takeStep(g, shape, step, state, "position", mask)
    genes.push(...next.genes)
    const [when, suffix] = [decides(step), i === steps.length - 1 ? "Next" : `${i}`]
    state = {
      hidden: g.as(`h${suffix}`, "Where", [when, next.hidden, state.hidden]),
      cell: g.as(`c${suffix}`, "Where", [when, next.cell, state.cell]),
      told: g.as(`told${suffix}`, "Where", [when, next.told, state.told]),
    }
  }
  stack(g, "genes", genes)
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

/** `depths`: one-hots of the chosen depths, and a column of ones: [batch, stages * depths + 1]. */
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
  return g.as("depths", "Pad", [flat, pads, g.constant("one", [], Float32Array.of(1))])
}

/** Adds a weight as half floats, cast once to what the graph computes with. */
const addHalf = (g: Graph, name: string, sides: ReadonlyArray<number>, data: Float32Array) =>
  g.as(name, "Cast", [g.constant(`${name}16`, sides, encodeHalf(data))], { to: 1 })

/** What was learned. */
const addWeights = (g: Graph, { shape, parameters }: PolicyNetwork) => {
  const { hidden, columns, features, trunk } = shape
  const blocks = shape.space.blocks.length
  const gates = 4 * hidden
  const parameter = (name: ParameterName) => parameters.weight(name).slice()
  const inputs = parameter("inputs")
  addHalf(g, "features_w", [features, trunk], parameter("features"))
  addHalf(g, "trunk", [trunk, gates], parameter("trunk"))
  addHalf(g, "hidden", [hidden, gates], parameter("hidden"))
  addHalf(g, "output", [hidden, columns], parameter("output"))
  const rows = choiceRows(shape, parameter("within"), inputs)
  for (const head of [...shape.outlineHeads, ...shape.blockHeads]) {
    const [from, width] = [head.column, columns + gates]
    const own = rows.subarray(from * width, (from + head.count) * width)
    addHalf(g, choicesOf(head), [head.count, width], own)
  }
  addHalf(g, "start", [gates], inputs.subarray(0, gates))
  addHalf(g, "positions", [blocks, gates], inputs.subarray(gates, (1 + blocks) * gates))
  for (const step of shape.plan.filter(({ block }) => block <= 0)) {
    const [place, [, row = 0]] = [placeOf(step), step.position]
    if (place !== undefined) addHalf(g, place, [gates], inputs.subarray(row * gates, (row + 1) * gates))
  }
}

/** Biases, and what is legal and runs: gives the width of the one-hots of the depths. */
const addTables = (g: Graph, { shape, parameters }: PolicyNetwork): number => {
  const { columns } = shape
  const blocks = shape.space.blocks.length
  const bias = decodeHalf(encodeHalf(parameters.weight("bias").slice()))
  g.constant("outlineBias", [columns], bias)
  g.constant("blockOffsets", [blocks, columns], blockBias(shape, bias))
  const device = deviceColumns(shape)
  g.constant("devicePresent", [1 + shape.slots, columns], device.present)
  g.constant("deviceAbsent", [columns], device.bias)
  const runs = runsWhen(shape)
  g.constant("blockRuns", [blocks, runs.width, 1], runs.data)
  return runs.width
}

/** The encoder and the outline's steps: gives the state after them, and the name of their genes. */
const addOutline = (g: Graph, shape: PolicyShape) => {
  const rectified = g.op("Relu", [g.op("MatMul", ["features", "features_w"])])
  g.as("constraint", "MatMul", [rectified, "trunk"])
  const mask = (logits: string) => g.op("Add", [logits, "outlineBias"])
  const genes: Array<string> = []
  let state: State = { told: "constraint" }
  for (const step of shape.plan.filter(({ block }) => block < 0)) {
    const next = takeStep(g, shape, step, state, "start", mask)
    genes.push(...next.genes)
    state = next
  }
  return { state, outline: stack(g, "outline", genes) }
}

/** The network's current weights, rounded to float16, as bytes of an ONNX model. */
export const policyModel = (network: PolicyNetwork): Uint8Array => {
  const { shape } = network
  const weights: Array<Initializer> = []
  const g = new Graph("v", weights)
  addWeights(g, network)
  const width = addTables(g, network)
  const { state, outline } = addOutline(g, shape)
  depthOneHots(g, shape, outline, width)
  g.as("devices", "Add", [g.op("MatMul", ["present", "devicePresent"]), "deviceAbsent"])
  const body = scanBody(shape, weights, width)
  g.nodes.push({
    op: "Scan",
    inputs: [state.hidden ?? "", state.cell ?? "", state.told, "positions", "blockOffsets", "blockRuns"],
    outputs: ["hLast", "cLast", "toldLast", "blocks"],
    attributes: { body: { graph: body }, num_scan_inputs: 3 },
  })
  return model({
    inputs: [
      { name: "features", type: "float32", shape: ["batch", shape.features] },
      { name: "present", type: "float32", shape: ["batch", 1 + shape.slots] },
    ],
    outputs: [
      { name: "outline", type: "int64", shape: [shape.outlineHeads.length, "batch"] },
      { name: "blocks", type: "int64", shape: [shape.space.blocks.length, shape.blockHeads.length, "batch"] },
    ],
    nodes: g.nodes,
    weights: [initializers(weights)],
  })
}
