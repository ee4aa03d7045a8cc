/**
 * ONNX Runtime with the options that were measured to matter (docs/engine.md): full graph optimisation, since only it
 * uses the blocked NCHWc layout (four times faster on x64); no memory arena, which costs 350 MB over 180 sessions and gains
 * nothing; an explicit thread count without spinning, since spinning threads beside other processes halve the speed.
 *
 * Gotcha: `create` and `run` compute on the calling thread, whatever their promises suggest. Serve from a worker.
 */
import * as ort from "onnxruntime-node"

export type Session = ort.InferenceSession
export type OrtTensor = ort.Tensor

export interface RuntimeOptions {
  /** In order of preference, by ONNX Runtime's names: "cpu", "cuda", "tensorrt", "coreml", ... Default cpu. */
  readonly providers?: ReadonlyArray<string>
  /** Threads inside one operator. Default 1. */
  readonly threads?: number
  /** Whether idle threads spin: quicker alone, much slower where cores are shared. Default false. */
  readonly spinning?: boolean
}

export const createSession = (model: Uint8Array, options: RuntimeOptions = {}): Promise<Session> =>
  ort.InferenceSession.create(model, {
    executionProviders: [...(options.providers ?? ["cpu"])],
    intraOpNumThreads: options.threads ?? 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    enableCpuMemArena: false,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: options.spinning === true ? "1" : "0" } } },
  })

/** Execution providers that this installation of ONNX Runtime has. */
export const availableProviders = (): ReadonlyArray<string> => ort.listSupportedBackends().map((b) => b.name)

export const floatTensor = (data: Float32Array, shape: ReadonlyArray<number>): OrtTensor =>
  new ort.Tensor("float32", data, shape)
export const byteTensor = (data: Uint8Array, shape: ReadonlyArray<number>): OrtTensor =>
  new ort.Tensor("uint8", data, shape)
/** Half floats by their bits: Node 22 has no Float16Array, and ONNX Runtime then takes and gives a Uint16Array. */
export const halfTensor = (data: Uint16Array, shape: ReadonlyArray<number>): OrtTensor =>
  new ort.Tensor("float16", data, shape)
export const longTensor = (...values: ReadonlyArray<number>): OrtTensor =>
  new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length])

/** The named output, which a model of ours always has. */
export const output = (result: ort.InferenceSession.OnnxValueMapType, name: string): OrtTensor => {
  const found = result[name]
  if (found === undefined || !("data" in found)) throw new RangeError(`the model gave no tensor ${name}`)
  return found
}

export const floats = (tensor: OrtTensor): Float32Array => {
  if (tensor.data instanceof Float32Array) return tensor.data
  throw new TypeError(`expected float32 values, got ${tensor.type}`)
}

/**
 * Gives the memory of values back at once. Between two full collections of garbage, megabytes of used feature maps would lie among
 * the sessions that come and go, and the process would grow by the gaps. Nobody may look at the values afterwards.
 */
export const discard = (values: OrtTensor["data"] | Uint8Array): void => {
  if (ArrayBuffer.isView(values) && values.buffer instanceof ArrayBuffer) values.buffer.transfer(0)
}
