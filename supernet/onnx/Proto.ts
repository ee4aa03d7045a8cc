/**
 * Just enough of onnx.proto to write a model: nodes, initializers, inputs and outputs.
 *
 * A protobuf message may arrive in pieces: the bytes of two ModelProtos put one after the other are one ModelProto whose
 * graph has the nodes and initializers of both. So heavy weights are encoded once per block variant (`initializers`) and
 * a segment of any blocks is made by copying bytes (`concatenate`).
 */
import protobuf from "protobufjs/minimal.js"

const { Writer } = protobuf
type Writer = InstanceType<typeof Writer>

/** TensorProto.DataType */
export const elementTypes = { float32: 1, uint8: 2, int64: 7, float16: 10 } as const
export type ElementType = keyof typeof elementTypes

export type Attribute =
  | number
  | { readonly float: number }
  /** Bytes of a GraphProto (see `subgraph`): the body of a Scan or Loop. */
  | { readonly graph: Uint8Array }
  | ReadonlyArray<number>

export interface Node {
  readonly op: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  /** Integers, `{ float }`, `{ graph }`, or lists of integers. */
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export interface Initializer {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** Half floats by their bits, as `Uint16Array`. */
  readonly data: Float32Array | Uint16Array | Uint8Array | BigInt64Array
}

export interface Value {
  readonly name: string
  readonly type: ElementType
  /** A number for a fixed side, a name for a free one. Empty for a scalar. */
  readonly shape: ReadonlyArray<number | string>
}

// Wire types of the protobuf encoding.
const varint = 0
const delimited = 2
const fixed32 = 5
const tag = (field: number, wire: number) => (field << 3) | wire

const modelGraph = 7
const graphNode = 1
const graphInitializer = 5
const [attributeFloat, attributeInt, attributeGraph, attributeInts] = [1, 2, 5, 7]

const writeAttribute = (writer: Writer, name: string, value: Attribute) => {
  writer.uint32(tag(1, delimited)).string(name)
  if (typeof value === "number") {
    writer.uint32(tag(3, varint)).int64(value)
    writer.uint32(tag(20, varint)).int32(attributeInt)
  } else if ("float" in value) {
    writer.uint32(tag(2, fixed32)).float(value.float)
    writer.uint32(tag(20, varint)).int32(attributeFloat)
  } else if ("graph" in value) {
    writer.uint32(tag(6, delimited)).bytes(value.graph)
    writer.uint32(tag(20, varint)).int32(attributeGraph)
  } else {
    for (const v of value) writer.uint32(tag(8, varint)).int64(v)
    writer.uint32(tag(20, varint)).int32(attributeInts)
  }
}

const writeNode = (writer: Writer, node: Node) => {
  for (const input of node.inputs) writer.uint32(tag(1, delimited)).string(input)
  for (const output of node.outputs) writer.uint32(tag(2, delimited)).string(output)
  writer.uint32(tag(3, delimited)).string(node.outputs[0] ?? "")
  writer.uint32(tag(4, delimited)).string(node.op)
  for (const [name, value] of Object.entries(node.attributes ?? {})) {
    writer.uint32(tag(5, delimited)).fork()
    writeAttribute(writer, name, value)
    writer.ldelim()
  }
}

const elementTypeOf = (data: Initializer["data"]): number =>
  data instanceof Float32Array
    ? elementTypes.float32
    : data instanceof BigInt64Array
      ? elementTypes.int64
      : data instanceof Uint16Array
        ? elementTypes.float16
        : elementTypes.uint8

const writeInitializer = (writer: Writer, { name, shape, data }: Initializer) => {
  for (const side of shape) writer.uint32(tag(1, varint)).int64(side)
  writer.uint32(tag(2, varint)).int32(elementTypeOf(data))
  writer.uint32(tag(8, delimited)).string(name)
  writer.uint32(tag(9, delimited)).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
}

const writeValue = (writer: Writer, { name, type, shape }: Value) => {
  writer.uint32(tag(1, delimited)).string(name)
  writer.uint32(tag(2, delimited)).fork()
  writer.uint32(tag(1, delimited)).fork()
  writer.uint32(tag(1, varint)).int32(elementTypes[type])
  writer.uint32(tag(2, delimited)).fork()
  for (const side of shape) {
    writer.uint32(tag(1, delimited)).fork()
    if (typeof side === "number") writer.uint32(tag(1, varint)).int64(side)
    else writer.uint32(tag(2, delimited)).string(side)
    writer.ldelim()
  }
  writer.ldelim().ldelim().ldelim()
}

/** A piece of a model that holds only weights. */
export const initializers = (values: ReadonlyArray<Initializer>): Uint8Array => {
  const writer = Writer.create().uint32(tag(modelGraph, delimited)).fork()
  for (const value of values) {
    writer.uint32(tag(graphInitializer, delimited)).fork()
    writeInitializer(writer, value)
    writer.ldelim()
  }
  return writer.ldelim().finish()
}

export interface ModelParts {
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
  /** In an order in which every value is computed before it is used. */
  readonly nodes: ReadonlyArray<Node>
  /** Results of `initializers`. */
  readonly weights: ReadonlyArray<Uint8Array>
}

const irVersion = 8
/** HardSwish came with opset 14; 17 is read by ONNX Runtime from 1.12 on. */
const opsetVersion = 17

const writeGraph = (writer: Writer, parts: Omit<ModelParts, "weights">) => {
  for (const node of parts.nodes) {
    writer.uint32(tag(graphNode, delimited)).fork()
    writeNode(writer, node)
    writer.ldelim()
  }
  writer.uint32(tag(2, delimited)).string("g")
  const values: ReadonlyArray<readonly [number, ReadonlyArray<Value>]> = [
    [11, parts.inputs],
    [12, parts.outputs],
  ]
  for (const [field, list] of values) {
    for (const value of list) {
      writer.uint32(tag(field, delimited)).fork()
      writeValue(writer, value)
      writer.ldelim()
    }
  }
}

/** Bytes of a GraphProto: the body of a Scan or Loop. It sees the values of the graph around it by name. */
export const subgraph = (parts: Omit<ModelParts, "weights">): Uint8Array => {
  const writer = Writer.create()
  writeGraph(writer, parts)
  return writer.finish()
}

/** Bytes of a ModelProto. */
export const model = (parts: ModelParts): Uint8Array => {
  const writer = Writer.create()
  writer.uint32(tag(1, varint)).int64(irVersion)
  writer.uint32(tag(2, delimited)).string("murmuration")
  writer.uint32(tag(8, delimited)).fork()
  writer.uint32(tag(2, varint)).int64(opsetVersion).ldelim()
  writer.uint32(tag(modelGraph, delimited)).fork()
  writeGraph(writer, parts)
  return concatenate([writer.ldelim().finish(), ...parts.weights])
}

const concatenate = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const out = new Uint8Array(parts.reduce((bytes, part) => bytes + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
