/**
 * Reads the part of Python's pickle format that a PyTorch state dict needs, and nothing else.
 *
 * A pickle is a program; its GLOBAL and REDUCE opcodes can call any Python function. Here a global is only a name that is
 * looked up in a short list of data constructors, so a file can describe values but never run anything. Tensors come out
 * as descriptions (`TensorRef`) of where their numbers lie; TorchCheckpoint.ts fetches those.
 * Opcodes: docs of Python's `pickletools`. Globals and persistent ids: `torch/serialization.py`.
 */
import { Schema } from "effect"
import {
  constructors,
  type GlobalRef,
  isAllowed,
  isGlobal,
  type PickleValue,
  storageOf,
} from "./PickleData.ts"

export class ForbiddenGlobal extends Schema.TaggedError<ForbiddenGlobal>()("ForbiddenGlobal", {
  /** `module.name` as the file has it. */
  global: Schema.String,
  offset: Schema.Int,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `the checkpoint refers to ${this.global} (byte ${this.offset}), which is not on the list of plain data types; ${this.hint}`
  }
}

export class MalformedPickle extends Schema.TaggedError<MalformedPickle>()("MalformedPickle", {
  problem: Schema.String,
  offset: Schema.Int,
  retryable: Schema.Boolean,
}) {
  override get message() {
    return `not a pickle of a state dict: ${this.problem} at byte ${this.offset}`
  }
}

const text = new TextDecoder("utf-8", { fatal: true })
/** Marks the start of a tuple or of a dict's items on the stack. */
const mark = Symbol("mark")
type StackItem = PickleValue | typeof mark

class Machine {
  readonly stack: Array<StackItem> = []
  readonly memo = new Map<number, PickleValue>()
  readonly bytes: Uint8Array
  readonly view: DataView
  position: number

  constructor(bytes: Uint8Array, start: number) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.position = start
  }

  fail(problem: string): never {
    throw new MalformedPickle({ problem, offset: this.position, retryable: false })
  }

  take(count: number): number {
    const at = this.position
    if (at + count > this.bytes.length)
      this.fail(`${count} more bytes expected, ${this.bytes.length - at} left`)
    this.position += count
    return at
  }
  uint8 = () => this.view.getUint8(this.take(1))
  uint32 = () => this.view.getUint32(this.take(4), true)

  string(length: number): string {
    const at = this.take(length)
    try {
      return text.decode(this.bytes.subarray(at, at + length))
    } catch {
      return this.fail("text that is not UTF-8")
    }
  }

  line(): string {
    const end = this.bytes.indexOf(10, this.position)
    if (end < 0) this.fail("a name without end")
    const line = this.string(end - this.position)
    this.position++
    return line
  }

  /** Little-endian two's complement of any length, as LONG1 has it; 0 bytes = 0. */
  long(length: number): number | bigint {
    const at = this.take(length)
    let value = 0n
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i] ?? 0)
    value = BigInt.asIntN(Math.max(1, 8 * length), value)
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }

  pop(): PickleValue {
    const item = this.stack.pop()
    return item === undefined || item === mark ? this.fail("a value is missing") : item
  }
  top(): PickleValue {
    const item = this.stack.at(-1)
    return item === undefined || item === mark ? this.fail("a value is missing") : item
  }
  popToMark(): Array<PickleValue> {
    const at = this.stack.lastIndexOf(mark)
    if (at < 0) this.fail("a mark is missing")
    const items = this.stack.splice(at)
    return items.filter((item) => item !== mark)
  }
  popArray(count: number): Array<PickleValue> {
    return Array.from({ length: count }, () => this.pop()).toReversed()
  }

  setItems(items: ReadonlyArray<PickleValue>): void {
    const dict = this.top()
    if (!(dict instanceof Map) || items.length % 2 !== 0) this.fail("items set on what is not a dict")
    for (let i = 0; i < items.length; i += 2) dict.set(items[i] ?? null, items[i + 1] ?? null)
  }
  append(items: ReadonlyArray<PickleValue>): void {
    const list = this.top()
    if (!Array.isArray(list)) this.fail("values appended to what is not a list")
    for (const item of items) list.push(item)
  }

  global(module: string, name: string): GlobalRef {
    const full = `${module}.${name}`
    if (isAllowed(full)) return { kind: "global", name: full }
    const hint = "save the network's state dict alone: torch.save(net.state_dict(), path)"
    throw new ForbiddenGlobal({ global: full, offset: this.position, retryable: false, hint })
  }
  reduce(): PickleValue {
    const [args, callee] = [this.pop(), this.pop()]
    const build = isGlobal(callee) ? constructors.get(callee.name) : undefined
    const value = Array.isArray(args) ? build?.(args) : undefined
    if (value === undefined)
      this.fail(`unexpected arguments for ${isGlobal(callee) ? callee.name : "a value"}`)
    return value
  }
  /** State of an object. Only dicts get here; theirs (`_metadata`: versions of torch modules) is of no use to us. */
  build(): void {
    this.pop()
    if (!(this.top() instanceof Map)) this.fail("state set on what is not a dict")
  }
  remember(slot: number): void {
    this.memo.set(slot, this.top())
  }
  recall(slot: number): PickleValue {
    const value = this.memo.get(slot)
    return value === undefined ? this.fail(`nothing was stored under ${slot}`) : value
  }
  persistent(): PickleValue {
    return storageOf(this.pop()) ?? this.fail("a persistent id that is not a known tensor storage")
  }
}

const named = (m: Machine): PickleValue => {
  const [name, module] = [m.pop(), m.pop()]
  return typeof name === "string" && typeof module === "string"
    ? m.global(module, name)
    : m.fail("a global without a name")
}

const raw = (m: Machine, length: number): Uint8Array => {
  const at = m.take(length)
  return m.bytes.slice(at, at + length)
}

/** Opcodes that push one value. */
const pushes: ReadonlyMap<number, (m: Machine) => StackItem> = new Map<number, (m: Machine) => StackItem>([
  [0x28, () => mark], // (  MARK
  [0x4e, () => null], // N  NONE
  [0x88, () => true], //    NEWTRUE
  [0x89, () => false], //   NEWFALSE
  [0x4a, (m) => m.view.getInt32(m.take(4), true)], // J  BININT
  [0x4b, (m) => m.uint8()], // K  BININT1
  [0x4d, (m) => m.view.getUint16(m.take(2), true)], // M  BININT2
  [0x8a, (m) => m.long(m.uint8())], // LONG1
  [0x47, (m) => m.view.getFloat64(m.take(8), false)], // G  BINFLOAT
  [0x58, (m) => m.string(m.uint32())], // X  BINUNICODE
  [0x8c, (m) => m.string(m.uint8())], // SHORT_BINUNICODE
  [0x54, (m) => m.string(m.uint32())], // T  BINSTRING (Python 2)
  [0x55, (m) => m.string(m.uint8())], // U  SHORT_BINSTRING (Python 2)
  [0x42, (m) => raw(m, m.uint32())], // B  BINBYTES
  [0x43, (m) => raw(m, m.uint8())], // C  SHORT_BINBYTES
  [0x7d, () => new Map()], // }  EMPTY_DICT
  [0x5d, () => []], // ]  EMPTY_LIST
  [0x29, () => []], // )  EMPTY_TUPLE
  [0x74, (m) => m.popToMark()], // t  TUPLE
  [0x85, (m) => m.popArray(1)], // TUPLE1
  [0x86, (m) => m.popArray(2)], // TUPLE2
  [0x87, (m) => m.popArray(3)], // TUPLE3
  [0x63, (m) => m.global(m.line(), m.line())], // c  GLOBAL
  [0x93, named], // STACK_GLOBAL
  [0x52, (m) => m.reduce()], // R  REDUCE
  [0x51, (m) => m.persistent()], // Q  BINPERSID
  [0x68, (m) => m.recall(m.uint8())], // h  BINGET
  [0x6a, (m) => m.recall(m.uint32())], // j  LONG_BINGET
])

/** Opcodes that change what is there. */
const changes: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [0x80, (m) => void m.uint8()], // PROTO
  [0x95, (m) => void m.take(8)], // FRAME
  [0x71, (m) => m.remember(m.uint8())], // q  BINPUT
  [0x72, (m) => m.remember(m.uint32())], // r  LONG_BINPUT
  [0x94, (m) => m.remember(m.memo.size)], // MEMOIZE
  [0x61, (m) => m.append([m.pop()])], // a  APPEND
  [0x65, (m) => m.append(m.popToMark())], // e  APPENDS
  [0x73, (m) => m.setItems(m.popArray(2))], // s  SETITEM
  [0x75, (m) => m.setItems(m.popToMark())], // u  SETITEMS
  [0x62, (m) => m.build()], // b  BUILD
  [0x30, (m) => void m.stack.pop()], // 0  POP
])
const stop = 0x2e

/**
 * The value of the pickle that starts at byte `start`, and where it ends.
 * Throws `ForbiddenGlobal` or `MalformedPickle`.
 */
export const unpickle = (
  bytes: Uint8Array,
  start = 0,
): { readonly value: PickleValue; readonly end: number } => {
  const machine = new Machine(bytes, start)
  for (;;) {
    const opcode = machine.uint8()
    if (opcode === stop) return { value: machine.pop(), end: machine.position }
    const push = pushes.get(opcode)
    const change = changes.get(opcode)
    if (push !== undefined) machine.stack.push(push(machine))
    else if (change !== undefined) change(machine)
    else machine.fail(`opcode 0x${opcode.toString(16)} is not one that a state dict needs`)
  }
}
