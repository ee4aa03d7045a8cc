/**
 * A PyTorch checkpoint as named tensors: the zip form (PyTorch 1.6 and newer) and the legacy form (plain pickles followed
 * by the storages). The state dict may stand bare or inside a dict, as training scripts save it.
 * Layouts: `torch/serialization.py`, `_legacy_load` and `_load`.
 */
import { Effect, Schema } from "effect"
import type { Tensor } from "../Weights.ts"
import { ForbiddenGlobal, MalformedPickle, unpickle } from "./Pickle.ts"
import { isTensorRef, type PickleValue, type TensorRef } from "./PickleData.ts"
import { elementBytes, readElements } from "./Storage.ts"
import { isZip, MalformedZip, readZip } from "./Zip.ts"

export class NotACheckpoint extends Schema.TaggedError<NotACheckpoint>()("NotACheckpoint", {
  problem: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.problem}; ${this.hint}`
  }
}

export type CheckpointError = NotACheckpoint | ForbiddenGlobal | MalformedPickle | MalformedZip

/** A state dict in the file's order. Numbers become float32, whatever they were. */
export type StateDict = ReadonlyMap<string, Tensor>

/** The unpickled object and the raw little-endian bytes of each storage. */
interface Contents {
  readonly value: PickleValue
  readonly storage: (key: string) => Uint8Array | undefined
}

const refuse = (problem: string, hint: string): never => {
  throw new NotACheckpoint({ problem, retryable: false, hint })
}

const readZipForm = (bytes: Uint8Array): Contents => {
  const entries = readZip(bytes)
  const dataName = [...entries.keys()].find((name) => name === "data.pkl" || name.endsWith("/data.pkl"))
  const data = dataName === undefined ? undefined : entries.get(dataName)
  if (dataName === undefined || data === undefined)
    return refuse("the zip archive has no data.pkl", "was it written by torch.save?")
  const folder = dataName.slice(0, -"data.pkl".length)
  const order = entries.get(`${folder}byteorder`)
  if (order !== undefined && new TextDecoder().decode(order()) !== "little")
    refuse("the checkpoint is big-endian", "save it again on a little-endian machine")
  // Each is read and checked once, however many tensors share it.
  const storages = new Map<string, Uint8Array | undefined>()
  const storage = (key: string): Uint8Array | undefined => {
    if (!storages.has(key)) storages.set(key, entries.get(`${folder}data/${key}`)?.())
    return storages.get(key)
  }
  return { value: unpickle(data()).value, storage }
}

/** First pickle of the legacy form: `torch.serialization.MAGIC_NUMBER`. */
const legacyMagic = 0x1950a86a20f9469cfc6cn

/** Bytes of an element by storage key, found where the tensors refer to it. Containers may hold one another many times over. */
const elementSizes = (value: PickleValue): ReadonlyMap<string, number> => {
  const sizes = new Map<string, number>()
  const visited = new Set<PickleValue>()
  const visit = (item: PickleValue): void => {
    if (isTensorRef(item)) sizes.set(item.storage.key, elementBytes[item.storage.type])
    if (!(Array.isArray(item) || item instanceof Map) || visited.has(item)) return
    visited.add(item)
    for (const inner of item.values()) visit(inner)
  }
  visit(value)
  return sizes
}

/** magic, protocol, system info, object, keys: a pickle each; then per key its element count and its bytes. */
const readLegacyForm = (bytes: Uint8Array): Contents => {
  const magic = unpickle(bytes)
  if (magic.value !== legacyMagic)
    refuse("the file is neither a zip archive nor a legacy torch pickle", "was it written by torch.save?")
  const system = unpickle(bytes, unpickle(bytes, magic.end).end)
  const littleEndian = system.value instanceof Map ? system.value.get("little_endian") : undefined
  if (littleEndian !== true) refuse("the checkpoint does not say that it is little-endian", "save it again")
  const { value, end } = unpickle(bytes, system.end)
  const keys = unpickle(bytes, end)
  if (!Array.isArray(keys.value)) return refuse("the list of storages is missing", "the file is damaged")
  const sizes = elementSizes(value)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const storages = new Map<string, Uint8Array>()
  let at = keys.end
  for (const key of keys.value) {
    if (typeof key !== "string") return refuse("a storage has no name", "the file is damaged")
    const size = sizes.get(key)
    if (size === undefined) return refuse(`no tensor uses storage ${key}`, "save the state dict alone")
    if (at + 8 > bytes.length) return refuse(`storage ${key} is cut short`, "the file is damaged")
    const length = Number(view.getBigInt64(at, true)) * size
    if (at + 8 + length > bytes.length) return refuse(`storage ${key} is cut short`, "the file is damaged")
    storages.set(key, bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return { value, storage: (key) => storages.get(key) }
}

/**
 * Numbers that may still be read: as many as the file has bytes, which lets each be used several times over (a float32 four times).
 * Without it a small file could have every one of its tensors copy the same large storage.
 */
interface Budget {
  left: number
}

const spend = (budget: Budget, elements: number): void => {
  budget.left -= elements
  if (budget.left < 0)
    refuse("its tensors have more numbers than the file has bytes", "save the state dict with cloned tensors")
}

/** The numbers of a tensor in row-major order, whatever its strides. */
const readTensor = (name: string, ref: TensorRef, contents: Contents, budget: Budget): Tensor => {
  const raw = contents.storage(ref.storage.key)
  if (raw === undefined) return refuse(`${name} has no data`, "the file is damaged")
  const start = ref.offset + ref.storage.viewOffset
  const count = ref.size.reduce((a, b) => a * b, 1)
  const span = ref.size.reduce((a, n, i) => a + (n - 1) * (ref.stride[i] ?? 0), 1)
  // Strides of 0 may repeat elements; more elements than the storage has would let a small file claim huge memory.
  const held = Math.floor(raw.length / elementBytes[ref.storage.type])
  if (count > 0 && (start + span > held || count > held))
    return refuse(`${name} reaches beyond its storage of ${held} elements`, "the file is damaged")
  spend(budget, Math.max(count, count === 0 ? 0 : span))
  const flat = readElements(raw, ref.storage.type, start, count === 0 ? 0 : span)
  let expected = 1
  const contiguous = ref.size.every((_, i) => {
    const dimension = ref.size.length - 1 - i
    const fits = ref.size[dimension] === 1 || ref.stride[dimension] === expected
    expected *= ref.size[dimension] ?? 1
    return fits
  })
  if (contiguous) return { shape: ref.size, data: flat }
  const data = new Float32Array(count)
  for (let i = 0; i < count; i++) {
    let [rest, at] = [i, 0]
    for (let d = ref.size.length - 1; d >= 0; d--) {
      const n = ref.size[d] ?? 1
      at += (rest % n) * (ref.stride[d] ?? 0)
      rest = Math.floor(rest / n)
    }
    data[i] = flat[at] ?? 0
  }
  return { shape: ref.size, data }
}

const isStateDict = (value: PickleValue | undefined): value is Map<PickleValue, PickleValue> =>
  value instanceof Map &&
  value.size > 0 &&
  [...value].every(([k, v]) => typeof k === "string" && isTensorRef(v))

/** Names under which training scripts put the state dict; OFA's use the first. */
const nestings = ["state_dict", "model_state_dict", "model", "state_dict_ema", "net"]

const findStateDict = (value: PickleValue): Map<PickleValue, PickleValue> => {
  if (isStateDict(value)) return value
  const nested = value instanceof Map ? nestings.map((name) => value.get(name)).find(isStateDict) : undefined
  return (
    nested ??
    refuse(
      "the checkpoint holds no dict of tensors, neither bare nor under state_dict",
      `looked under ${nestings.join(", ")}`,
    )
  )
}

const read = (bytes: Uint8Array): StateDict => {
  const contents = isZip(bytes) ? readZipForm(bytes) : readLegacyForm(bytes)
  const budget: Budget = { left: bytes.length }
  const tensors = [...findStateDict(contents.value)].flatMap(([name, ref]): Array<[string, Tensor]> =>
    typeof name === "string" && isTensorRef(ref) ? [[name, readTensor(name, ref, contents, budget)]] : [],
  )
  return new Map(tensors)
}

/** Tensors of a checkpoint file. Reads data only: no code of the file is ever run. */
export const readTorchCheckpoint = (bytes: Uint8Array): Effect.Effect<StateDict, CheckpointError> =>
  Effect.try({
    try: () => read(bytes),
    catch: (error) =>
      error instanceof NotACheckpoint ||
      error instanceof ForbiddenGlobal ||
      error instanceof MalformedPickle ||
      error instanceof MalformedZip
        ? error
        : new NotACheckpoint({ problem: String(error), retryable: false, hint: "the file is damaged" }),
  })
