import { assert, describe, it } from "@effect/vitest"
import type { PickleValue } from "../../../supernet/import/PickleData.ts"
import { ForbiddenGlobal, MalformedPickle, unpickle } from "../../../supernet/import/Pickle.ts"

/** Pickle opcodes and short strings, one after the other. */
const pickle = (...parts: ReadonlyArray<string | number>) =>
  new Uint8Array(parts.flatMap((p) => (typeof p === "number" ? [p] : [...new TextEncoder().encode(p)])))
const short = (text: string) => [0x8c, text.length, text]
const error = (bytes: Uint8Array): unknown => {
  try {
    return unpickle(bytes)
  } catch (e) {
    return e
  }
}

describe("unpickle", () => {
  it("reads numbers, text, lists, tuples and dicts", () => {
    const bytes = pickle(
      0x80,
      2,
      "}(",
      ...short("a"),
      "K",
      7,
      ...short("b"),
      "](K",
      1,
      "M",
      2,
      1,
      "e",
      ...short("c"),
      "N",
      0x88,
      0x86,
      "u.",
    )
    const { value, end } = unpickle(bytes)
    assert.deepStrictEqual(
      value,
      new Map<PickleValue, PickleValue>([
        ["a", 7],
        ["b", [1, 258]],
        ["c", [null, true]],
      ]),
    )
    assert.strictEqual(end, bytes.length)
  })

  it("gives a memoised value twice as the same value", () => {
    const { value } = unpickle(pickle("](", ...short("x"), "q", 0, "h", 0, "e."))
    assert.deepStrictEqual(value, ["x", "x"])
  })

  it("reads long integers of any size and sign", () => {
    assert.strictEqual(unpickle(pickle(0x8a, 1, 0xff, ".")).value, -1)
    assert.strictEqual(unpickle(pickle(0x8a, 0, ".")).value, 0)
    assert.strictEqual(
      unpickle(pickle(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, ".")).value,
      0x1950a86a20f9469cfc6cn,
    )
  })

  it.each([
    ["os", "system"],
    ["posix", "system"],
    ["builtins", "eval"],
    ["__builtin__", "exec"],
    ["subprocess", "Popen"],
    ["torch", "load"],
    ["torch.hub", "load"],
    ["numpy.core.multiarray", "_reconstruct"],
    ["collections", "OrderedDict.__init__"],
    ["torch", "__proto__"],
    ["torch", "constructor"],
  ])("refuses %s.%s, named in the error, before anything is made of it", (module, name) => {
    const attack = pickle(`c${module}\n${name}\n`, ...short("echo pwned"), 0x85, "R.")
    const failure = error(attack)
    assert.instanceOf(failure, ForbiddenGlobal)
    assert.strictEqual(failure.global, `${module}.${name}`)
    assert.include(failure.message, `${module}.${name}`)
  })

  it("refuses a forbidden global also when it comes from the stack", () => {
    assert.instanceOf(error(pickle(...short("os"), ...short("system"), 0x93, ".")), ForbiddenGlobal)
  })

  it("refuses to call what is not a constructor of plain data", () => {
    const failure = error(pickle("ctorch\nFloatStorage\n)R."))
    assert.instanceOf(failure, MalformedPickle)
  })

  it.each([
    ["INST", pickle("(ios\nsystem\n.")],
    ["OBJ", pickle("(cos\nsystem\no.")],
    ["NEWOBJ", pickle(")", 0x81, ".")],
    ["EXT1", pickle(0x82, 1, ".")],
    ["textual PERSID", pickle("Pstorage\n.")],
  ])("does not know the opcode %s", (_, bytes) => {
    const failure = error(bytes)
    assert.isTrue(failure instanceof MalformedPickle || failure instanceof ForbiddenGlobal)
  })

  it("gives a typed error for every truncation and for every damaged byte", () => {
    const whole = pickle(
      0x80,
      2,
      "}(",
      ...short("a"),
      "K",
      7,
      ...short("b"),
      "](K",
      1,
      "eucollections\nOrderedDict\n)R.",
    )
    const truncated = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length))
    const damaged = Array.from({ length: whole.length * 256 }, (_, i) => whole.with(i >> 8, i & 255))
    const failures = [...truncated, ...damaged].map(error).filter((e) => e instanceof Error)
    const untyped = failures.filter((e) => !(e instanceof MalformedPickle) && !(e instanceof ForbiddenGlobal))
    assert.isAbove(failures.length, whole.length * 100)
    assert.deepStrictEqual(untyped, [])
  })
})
