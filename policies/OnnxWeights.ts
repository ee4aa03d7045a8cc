/** Weights out of an ONNX model's bytes, for what computes with them without ONNX Runtime. */
import protobuf from "protobufjs/minimal.js"
import { decodeHalf } from "../supernet/Float16.ts"
import { elementTypes } from "../supernet/onnx/Proto.ts"

const { Reader } = protobuf

/** Field numbers of onnx.proto. */
const modelGraph = 7
const graphInitializer = 5
const tensorType = 2
const tensorName = 8
const tensorData = 9

/** Calls `visit` for every field of a message; it says whether it read the field. */
const eachField = (
  message: Uint8Array,
  visit: (field: number, reader: InstanceType<typeof Reader>) => boolean,
): void => {
  const reader = Reader.create(message)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (!visit(tag >>> 3, reader)) reader.skipType(tag & 7)
  }
}

/** The messages in a repeated field; a graph that came in pieces has several (see `Proto.ts`). */
const messages = (message: Uint8Array, wanted: number): ReadonlyArray<Uint8Array> => {
  const out: Array<Uint8Array> = []
  eachField(message, (field, reader) => {
    if (field !== wanted) return false
    out.push(reader.bytes())
    return true
  })
  return out
}

const tensorOf = (message: Uint8Array) => {
  let [name, type, data] = ["", 0, new Uint8Array()]
  eachField(message, (field, reader) => {
    if (field === tensorName) name = reader.string()
    else if (field === tensorType) type = reader.int32()
    else if (field === tensorData) data = Uint8Array.from(reader.bytes())
    else return false
    return true
  })
  return { name, type, data }
}

/** Initializers of float32 and float16 by name, as float32. Throws on bytes that are no model. */
export const onnxWeights = (model: Uint8Array): ReadonlyMap<string, Float32Array> => {
  const weights = new Map<string, Float32Array>()
  for (const graph of messages(model, modelGraph)) {
    for (const { name, type, data } of messages(graph, graphInitializer).map(tensorOf)) {
      if (type === elementTypes.float32) weights.set(name, new Float32Array(data.buffer))
      if (type === elementTypes.float16) weights.set(name, decodeHalf(new Uint16Array(data.buffer)))
    }
  }
  return weights
}
