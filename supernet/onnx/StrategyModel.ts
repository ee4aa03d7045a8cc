/**
 * A whole strategy as one ONNX graph: every tile of every task, its cuts, joins and bus quantisation, from pixels to
 * logits in one session. It shares blocks' weights between tiles and nothing with the engine's walk over tasks, so each
 * checks the other; and it evaluates a strategy on many images at once.
 */
import { type Region, sameRegion } from "../Partition.ts"
import type { Strategy } from "../Strategy.ts"
import { type Edge, imageSource, type Task, taskGraph, type TaskGraph } from "../TaskGraph.ts"
import { blockNodes, type PixelType } from "./BlockGraph.ts"
import { elementTypes, type Initializer, initializers, model, type Node } from "./Proto.ts"
import {
  depthwiseChannels,
  inputValue,
  outputValue,
  type SegmentBuilder,
  segmentInput,
  segmentOutput,
} from "./Segment.ts"

/** Nodes being collected, with the constants that they use. */
class Draft {
  readonly nodes: Array<Node> = []
  readonly #constants = new Map<string, Initializer>()

  add(
    op: string,
    inputs: ReadonlyArray<string>,
    output: string,
    attributes: NonNullable<Node["attributes"]> = {},
  ): string {
    this.nodes.push({ op, inputs, outputs: [output], attributes })
    return output
  }

  longs(...values: ReadonlyArray<number>): string {
    const name = `long.${values.join(".")}`
    this.#constants.set(name, { name, shape: [values.length], data: BigInt64Array.from(values, BigInt) })
    return name
  }

  float(value: number): string {
    const name = `float.${value}`
    this.#constants.set(name, { name, shape: [], data: Float32Array.of(value) })
    return name
  }

  get constants(): Uint8Array {
    return initializers([...this.#constants.values()])
  }
}

/**
 * DynamicQuantizeLinear followed by DequantizeLinear, but with a scale and zero point per image of the batch: what each
 * image alone would get. Rounds half to even, divides by the scale, as the operators do.
 */
const quantised = (draft: Draft, x: string, v: (name: string) => string): string => {
  const { add, float } = { add: draft.add.bind(draft), float: draft.float.bind(draft) }
  const all = { axes: [1, 2, 3], keepdims: 1 }
  const low = add("Min", [add("ReduceMin", [x], v("min"), all), float(0)], v("low"))
  const high = add("Max", [add("ReduceMax", [x], v("max"), all), float(0)], v("high"))
  const range = add("Sub", [high, low], v("range"))
  const spread = add("Div", [range, float(255)], v("spread"))
  // A map of zeros only: any scale gives zeros back.
  const scale = add("Max", [spread, float(2 ** -126)], v("scale"))
  const clipped = (value: string, name: string) => add("Clip", [value, float(0), float(255)], v(name))
  const offset = add("Div", [add("Sub", [float(0), low], v("negated")), scale], v("offset"))
  const zero = add("Round", [clipped(offset, "zero.clipped")], v("zero"))
  const steps = add("Round", [add("Div", [x, scale], v("steps"))], v("rounded"))
  const q = clipped(add("Add", [steps, zero], v("shifted")), "q")
  return add("Mul", [add("Sub", [q, zero], v("unshifted")), scale], v("value"))
}

const halved = (draft: Draft, x: string, v: (name: string) => string): string =>
  draft.add("Cast", [draft.add("Cast", [x], v("half"), { to: elementTypes.float16 })], v("value"), {
    to: elementTypes.float32,
  })

/** The values of one edge as its consumer sees them. */
const edgeValue = (draft: Draft, graph: TaskGraph, edge: Edge): string => {
  const v = (name: string) => `e${edge.index}.${name}`
  const image = edge.from === imageSource
  const from = graph.tasks[edge.from]
  const have: Region = from?.output ?? wholeImage(graph)
  let value = image ? segmentInput : `task${edge.from}`
  if (!sameRegion(have, edge.region)) {
    const { y0, y1, x0, x1 } = edge.region
    const starts = draft.longs(y0 - have.y0, x0 - have.x0)
    const ends = draft.longs(y1 - have.y0, x1 - have.x0)
    value = draft.add(
      "Slice",
      [value, starts, ends, image ? draft.longs(1, 2) : draft.longs(2, 3)],
      v("part"),
    )
  }
  if (image || !edge.crosses || edge.bits === 32) return value
  return edge.bits === 8 ? quantised(draft, value, v) : halved(draft, value, v)
}

const wholeImage = (graph: TaskGraph): Region => {
  const size = graph.geometry[0]?.inputSize ?? 0
  return { y0: 0, y1: size, x0: 0, x1: size }
}

/** A task's input from its edges: rows of pieces side by side, then one above the other. */
const taskInput = (draft: Draft, graph: TaskGraph, task: Task): string => {
  const edges = task.inputs.flatMap((index) => graph.edges[index] ?? [])
  const rows = new Map<number, Array<Edge>>()
  for (const edge of edges) rows.set(edge.region.y0, [...(rows.get(edge.region.y0) ?? []), edge])
  const joined = [...rows]
    .sort(([a], [b]) => a - b)
    .map(([y, row]) => {
      const parts = row.sort((a, b) => a.region.x0 - b.region.x0).map((edge) => edgeValue(draft, graph, edge))
      return join(draft, parts, `task${task.index}.row${y}`, 3)
    })
  return join(draft, joined, `task${task.index}.input`, 2)
}

const join = (draft: Draft, parts: ReadonlyArray<string>, output: string, axis: number): string =>
  parts.length === 1 ? (parts[0] ?? "") : draft.add("Concat", parts, output, { axis })

export interface StrategyModelOptions {
  readonly pixels?: PixelType
}

/** Bytes of the ModelProto: x = pixels [N, R, R, 3] -> y = logits [N, K]. The strategy must be normalised. */
export const strategyModel = (
  builder: SegmentBuilder,
  strategy: Strategy,
  options: StrategyModelOptions = {},
): Uint8Array => {
  const pixels = options.pixels ?? "uint8"
  const { spec } = builder
  const { resolution } = strategy.submodel
  const graph = taskGraph(spec, strategy)
  const [first, last] = [graph.blocks[0], graph.blocks.at(-1)]
  if (first === undefined || last === undefined) throw new RangeError("a strategy without blocks")
  const draft = new Draft()
  for (const task of graph.tasks) {
    let value = taskInput(draft, graph, task)
    for (let i = task.first; i <= task.last; i++) {
      const block = graph.blocks[i]
      if (block === undefined) throw new RangeError(`no block ${i}`)
      const end = i === task.last
      const final = end && block.kind === "head" ? segmentOutput : `task${task.index}`
      const output = end ? final : `task${task.index}.b${i}`
      const instance = { block, input: value, output, prefix: `task${task.index}.v${i}.`, pixels }
      draft.nodes.push(...blockNodes(instance, depthwiseChannels(spec, block)))
      value = output
    }
  }
  return model({
    inputs: [inputValue(first, segmentInput, pixels)],
    outputs: [outputValue(last, segmentOutput)],
    nodes: draft.nodes,
    weights: [...graph.blocks.map((b) => builder.encodedWeights(b, resolution)), draft.constants],
  })
}
