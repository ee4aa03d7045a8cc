/**
 * The plain data that a state dict's pickle may describe, and the allow-list of globals that build it.
 * Each "constructor" only arranges values that were already read; nothing here can run anything.
 */

/** Element types of torch storages, by the name of the storage class. */
export const storageTypes = {
  FloatStorage: "float32",
  DoubleStorage: "float64",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
} as const
export type StorageType = (typeof storageTypes)[keyof typeof storageTypes]

/** A run of numbers in the checkpoint, named by a key. */
export interface StorageRef {
  readonly kind: "storage"
  readonly type: StorageType
  readonly key: string
  readonly elements: number
  /** First element of a view on a shared storage (only in files older than PyTorch 0.4). */
  readonly viewOffset: number
}

/** A tensor as a view on a storage; offset and strides in elements. */
export interface TensorRef {
  readonly kind: "tensor"
  readonly storage: StorageRef
  readonly offset: number
  readonly size: ReadonlyArray<number>
  readonly stride: ReadonlyArray<number>
}

/** Lists and tuples are arrays, dicts are maps. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | StorageRef
  | TensorRef
  | GlobalRef
  | Array<PickleValue>
  | Map<PickleValue, PickleValue>

export interface GlobalRef {
  readonly kind: "global"
  readonly name: string
}

type Constructor = (args: ReadonlyArray<PickleValue>) => PickleValue | undefined

export const isTensorRef = (value: PickleValue | undefined): value is TensorRef =>
  typeof value === "object" && value !== null && "kind" in value && value.kind === "tensor"
const isStorageRef = (value: PickleValue | undefined): value is StorageRef =>
  typeof value === "object" && value !== null && "kind" in value && value.kind === "storage"
export const isGlobal = (value: PickleValue | undefined): value is GlobalRef =>
  typeof value === "object" && value !== null && "kind" in value && value.kind === "global"
const isCount = (value: PickleValue | undefined): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0
const areCounts = (value: PickleValue | undefined): value is Array<number> =>
  Array.isArray(value) && value.every(isCount)

/** `OrderedDict()` or `OrderedDict([[key, value], ...])`. */
const orderedDict: Constructor = ([pairs]) => {
  if (pairs === undefined) return new Map()
  if (!Array.isArray(pairs)) return undefined
  const entries = pairs.flatMap((p): Array<[PickleValue, PickleValue]> =>
    Array.isArray(p) && p.length === 2 ? [[p[0] ?? null, p[1] ?? null]] : [],
  )
  return entries.length === pairs.length ? new Map(entries) : undefined
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`. */
const rebuildTensor: Constructor = ([storage, offset, size, stride]) =>
  isStorageRef(storage) &&
  isCount(offset) &&
  areCounts(size) &&
  areCounts(stride) &&
  size.length === stride.length
    ? { kind: "tensor", storage, offset, size, stride }
    : undefined

/** What REDUCE may "call"; each only builds plain data and returns undefined for arguments of the wrong form. */
export const constructors: ReadonlyMap<string, Constructor> = new Map([
  ["collections.OrderedDict", orderedDict],
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_parameter", ([data]) => (isTensorRef(data) ? data : undefined)],
  ["torch.Size", ([sizes]) => (areCounts(sizes) ? sizes : undefined)],
])

const storageType = (value: PickleValue | undefined): StorageType | undefined => {
  if (!isGlobal(value)) return undefined
  const name = value.name.replace(/^torch\./, "")
  return Object.hasOwn(storageTypes, name) ? storageTypes[name as keyof typeof storageTypes] : undefined
}

export const isAllowed = (name: string): boolean =>
  constructors.has(name) || (name.startsWith("torch.") && Object.hasOwn(storageTypes, name.slice(6)))

/** `("storage", type, key, location, elements[, view])`, where a view is `(key, offset, elements)`. */
export const storageOf = (id: PickleValue | undefined): StorageRef | undefined => {
  if (!Array.isArray(id) || id[0] !== "storage") return undefined
  const [, typeName, key, , elements, view] = id
  const type = storageType(typeName)
  if (type === undefined || typeof key !== "string" || !isCount(elements)) return undefined
  const viewOffset = Array.isArray(view) ? view[1] : 0
  return isCount(viewOffset) ? { kind: "storage", type, key, elements, viewOffset } : undefined
}
